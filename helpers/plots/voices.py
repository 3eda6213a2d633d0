"""Pictures of open-set identification: strangers by size of the gallery, and both errors by threshold."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.plots.style import DIFFERENT, GREY, new_panels


def plot_false_identifications(known, curves, wanted, title=""):
    """Strangers who are given a name, over the number of speakers known: a panel for each threshold.

    Parameters
    ----------
    known : int array (n,)
    curves : dict of str to tuple of float arrays (n,)
        By the threshold's name: shares measured, and those expected of independent chances.
    wanted : float
        The share that the threshold was set for.
    """
    figure, panels = new_panels(curves, 2, 4.6, 3.6, sharey=True)
    for axes, (name, (measured, expected)) in zip(panels, curves.items(), strict=True):
        axes.axhline(100 * wanted, color="0.6", linestyle=":", label=f"wanted: {100 * wanted:.0f} %")
        axes.plot(known, 100 * measured, "o", color=DIFFERENT, markersize=4, label="measured")
        axes.plot(known, 100 * expected, "--", color=GREY, label="1 - (1 - p)$^N$")
        axes.set(xlabel="speakers known (N)", title=name, ylim=(0, 100))
        axes.locator_params(axis="x", integer=True)
    panels[0].set_ylabel("strangers given a name (%)")
    panels[-1].legend()
    figure.suptitle(title)
    return figure


def plot_open_set(strangers, answers, marks, title=""):
    """False negative over false positive identification rate as the threshold moves, and marked thresholds.

    Parameters
    ----------
    strangers : float array (n,)
        Each stranger's best score.
    answers : tuple of bool array (m,) and float array (m,)
        As `open_set.member_identifications`.
    marks : dict of str to float
        Thresholds by name.
    """
    right, scores = answers

    def rates(threshold):
        return 100 * np.mean(strangers >= threshold), 100 * np.mean(~(right & (scores >= threshold)))

    thresholds = np.unique(np.concatenate([strangers, scores]))
    figure, axes = plt.subplots(figsize=(6.5, 4))
    axes.plot(*np.transpose([rates(each) for each in thresholds]), color="0.3")
    for (name, threshold), marker in zip(marks.items(), "osD^v", strict=False):
        point = rates(threshold)
        label = f"{name}: {point[0]:.1f} % / {point[1]:.1f} %"
        axes.plot(*point, marker, markersize=8, color="black", fillstyle="none", label=label, clip_on=False)
    axes.set(xlim=(0, 100), ylim=(0, 100), title=title)
    axes.set(xlabel="strangers given a name (%)", ylabel="members not identified (%)")
    axes.legend(title="threshold: strangers / members")
    return figure
