"""Pictures and tables of the ideas that were tested by cross-validation."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from helpers import InputError, first_line
from helpers.plots.style import BLUE, ORANGE, new_panels, system_colours, system_name


def load_results(path, columns):
    """A table of results that the research wrote, as a pandas.DataFrame.

    Raises
    ------
    InputError
        When it is missing, or lacks one of the `columns`.
    """
    name, again = Path(path).name, "; python -m helpers.research.experiments writes it"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        found = first_line(type(error).__name__, error)
        raise InputError(f"{name} cannot be read ({found}){again}") from error
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise InputError(f"{name} has no column {', '.join(lacking)}{again}")
    return table


def plot_steps(table):
    """The error after each step from a plain network to the ensemble, a line a corpus; of steps.csv."""
    figure, axes = plt.subplots(figsize=(9, 3.8))
    middle = table.groupby("step")["eer"].transform("mean")
    for (corpus, rows), colour in zip(table.groupby("corpus", sort=False), (BLUE, ORANGE), strict=False):
        axes.plot(100 * rows["eer"], rows["step"], "o-", color=colour, label=corpus)
        for index, row in rows.iterrows():  # each value on the side where the other line is not
            at = {"xytext": (7, -6), "ha": "left"}
            if row["eer"] < middle[index]:
                at = {"xytext": (-7, 6), "ha": "right"}
            at |= {"textcoords": "offset points", "va": "center", "color": colour, "fontsize": 8}
            axes.annotate(f"{100 * row['eer']:.1f}", (100 * row["eer"], row["step"]), **at)
    axes.invert_yaxis()
    axes.set(
        xlabel="cross-validated equal error rate (%)", xlim=(0, None), title="each row adds to the one above"
    )
    axes.legend()
    return figure


def steps_table(table):
    """The steps of steps.csv as text: error, and paired difference from the step before, in per cent."""
    gaps = 100 * table[["difference", "low", "high"]].to_numpy()
    text = ["" if np.isnan(gap[0]) else "{:+.1f} ({:+.1f} to {:+.1f})".format(*gap) for gap in gaps]
    whole = {"EER %": (100 * table["eer"]).round(1), "to the step before": text}
    return table[["corpus", "step"]].assign(**whole).set_index(["corpus", "step"])


def plot_difference_by_speakers(rows, title=""):
    """How much higher the error is with fewer training speakers, with 95 % intervals of the differences.

    `rows` are those of the group "speakers" in ideas.csv, a pandas.DataFrame.
    """
    rows = rows.sort_values("max_speakers")
    figure, axes = plt.subplots(figsize=(7, 3.4))
    value, low, high = 100 * rows[["difference", "low", "high"]].to_numpy().T
    bars = [value - low, high - value]
    axes.errorbar(rows["max_speakers"], value, bars, fmt="o", color=BLUE, capsize=3)
    for x, y, eer in zip(rows["max_speakers"], value, 100 * rows["eer"], strict=True):
        axes.annotate(f"EER {eer:.1f} %", (x, y), xytext=(7, 3), textcoords="offset points")
    axes.axhline(0, color="0.3", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(rows["max_speakers"], rows["max_speakers"])
    axes.minorticks_off()
    axes.margins(x=0.15)
    axes.set(xlabel="training speakers", ylabel="EER, points above\nthat with all speakers", title=title)
    return figure


def plot_cv_against_test(table):
    """The test file's EER over that of held-out speakers, a dot a seed; `table` as in seeds.csv."""
    corpora = list(dict.fromkeys(table["corpus"]))
    figure, panels = new_panels(corpora, len(corpora), 4.4, 4)
    for axes, corpus in zip(panels, corpora, strict=True):
        here = table[table["corpus"] == corpus]
        end = 115 * here[["held_out_eer", "eer"]].max().max()
        for name, rows in here.groupby("system", sort=False):
            x, y = 100 * rows["held_out_eer"], 100 * rows["eer"]
            shade = system_colours(table["system"])[name]
            axes.plot(x, y, "o", color=shade, alpha=0.8, label=system_name(name))
        axes.plot([0, end], [0, end], color="0.6", linestyle="--")
        axes.set(xlim=(0, end), ylim=(0, end), aspect="equal", title=corpus)
        axes.set(xlabel="EER of held-out speakers (%)", ylabel="EER of the test speakers (%)")
    panels[0].legend(loc="lower right")
    return figure
