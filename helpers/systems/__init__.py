"""Other systems than the Siamese GRU, and the baselines."""
