"""Systems side by side: their scores, figures with intervals, published trials, robustness."""
