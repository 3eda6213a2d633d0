"""Pictures, one file a notebook or subject.

A function `plot_...` draws one and returns it as a matplotlib.figure.Figure; `draw_...` draws on axes.
Arguments of these names mean the same wherever a docstring does not say more:

title, titles : str, sequence of str
    The heading of the figure, and of each panel.
waveform : float array (samples,)
    At 16,000 Hz, in [-1, 1].
scores, labels : arrays (trials,)
    Of trials whose truth is known; labels are 1 for target trials and 0 for impostors.
speakers : array (utterances,)
    Who spoke.
systems : dict of str to score_files.Scores
    Short names, as in `style.SYSTEM_NAMES`, and what is drawn of each.
marks, points : dict of str to float
    Names and thresholds of operating points.
kind, kinds : str, (str, str)
    What the scores are called, and what trials labelled 1 and 0 are.
spectrogram : features.Spectrogram
    What the network reads.
"""
