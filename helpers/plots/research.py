"""Pictures and tables of the ideas that were tested by cross-validation."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from helpers import InputError, first_line
from helpers.bootstrap import Interval
from helpers.plots.comparison import difference_colour, draw_intervals
from helpers.plots.style import BLUE, GREEN, GREY, ORANGE, new_panels, system_colours, system_name


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


def plot_forest(table, group):
    """Ideas of a group against what each is compared with: differences with intervals, a column a corpus.

    Parameters
    ----------
    table : pandas.DataFrame
        A row an idea and corpus: `corpus`, `idea`, `group`, `what`, `base`, `difference`, `low`, `high`.
    group : str
    """
    what = dict(zip(table["idea"], table["what"], strict=True))
    ours = table[(table["group"] == group) & table["difference"].notna()]
    corpora, order = list(dict.fromkeys(ours["corpus"])), []
    for base, ideas in ours.groupby("base", sort=False):
        best_first = ideas.groupby("idea")["difference"].mean().sort_values().index
        order += [(base, None), *((base, idea) for idea in best_first)]
    height = 0.9 + 0.42 * len(order)
    figure, panels = new_panels(corpora, len(corpora), 9.5 / len(corpora), height, sharex=True, sharey=True)
    for axes, corpus in zip(panels, corpora, strict=True):
        here = ours[ours["corpus"] == corpus].set_index(["base", "idea"])
        rows = []
        for base, idea in order:
            label = f"compared with: {what.get(base, base)}" if idea is None else what[idea]
            found = None
            if (base, idea) in here.index:
                found = Interval(*(100 * here.loc[(base, idea), ["difference", "low", "high"]]))
            rows.append((textwrap.fill(label, 38), found, difference_colour(found) if found else GREY))
        draw_intervals(axes, rows, zero=True)
        axes.set(title=corpus, xlabel="EER, percentage points\n(left of the line is better)")
    for text, (_, idea) in zip(panels[0].get_yticklabels(), order, strict=True):
        text.set(fontweight="bold" if idea is None else "normal")
    panels[0].set_ylabel(group)
    return figure


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


def ideas_table(tested):
    """All ideas of ideas.csv, a pandas.DataFrame, as text: corpus by corpus the best first, in per cent."""
    rows = []
    for _, one in tested.sort_values(["corpus", "eer"], kind="stable").iterrows():
        gap = [100 * one[name] for name in ("difference", "low", "high")]
        other = one["difference_disturbed"]
        rows.append(
            {
                "corpus": one["corpus"],
                "idea": one["what"],
                "EER %": f"{100 * one['eer']:.1f}",
                "to its base": "" if np.isnan(gap[0]) else "{:+.1f} ({:+.1f} to {:+.1f})".format(*gap),
                "enrolled 5": f"{100 * one['eer_enrol5']:.1f}",
                "disturbed": f"{100 * one['eer_disturbed']:.1f}",
                "to its base, disturbed": f"{100 * other:+.1f}" if np.isfinite(other) else "",
                "parameters": f"{one['parameters']:,.0f}",
                "seeds": f"{one['seeds']:.0f}",
            }
        )
    return pd.DataFrame(rows).set_index(["corpus", "idea"])


def plot_error_by_speakers(tested):
    """Equal error rate over the number of speakers learnt from; whiskers are of the difference from the most.

    Parameters
    ----------
    tested : pandas.DataFrame
        As ideas.csv: the ideas of the group "speakers", and what they are compared with.
    """
    figure, axes = plt.subplots(figsize=(7, 3.6))
    ticks = set()
    groups = tested.groupby("corpus", sort=False)
    for (corpus, rows), colour in zip(groups, (BLUE, ORANGE, GREEN), strict=False):
        fewer = rows[rows["group"] == "speakers"].sort_values("max_speakers")
        base = rows[rows["idea"].isin(fewer["base"])]
        if len(fewer):
            whole = (fewer["eer"] - fewer["difference"]).mean()  # the base's, with their seeds
            ends = 100 * (whole + fewer[["low", "high"]].to_numpy().T)
            axes.plot([fewer["max_speakers"]] * 2, ends, color=colour, alpha=0.5, linewidth=4)
            curve = 100 * np.append(fewer["eer"], whole)
            numbers = [*fewer["max_speakers"], base["max_speakers"].item()]
            axes.plot(numbers, curve, "o-", color=colour, label=corpus)
            ticks |= set(numbers)
    axes.set_xscale("log")
    axes.set_xticks(sorted(ticks), sorted(ticks))
    axes.minorticks_off()
    axes.set(xlabel="speakers learnt from", ylabel="equal error rate (%)", ylim=(0, None))
    whiskers = "whiskers: 95 % of the difference from the most speakers"
    axes.set_title(f"as many steps for each; {whiskers}", fontsize=10)
    axes.legend()
    return figure


def plot_cv_against_test(table):
    """The test file's EER over what cross-validation said before, a dot a seed; `table` as in seeds.csv."""
    corpora = list(dict.fromkeys(table["corpus"]))
    figure, panels = new_panels(corpora, len(corpora), 4.2, 4)
    for axes, corpus in zip(panels, corpora, strict=True):
        here = table[table["corpus"] == corpus]
        end = 115 * here[["held_out_eer", "eer"]].max().max()
        for name, rows in here.groupby("system", sort=False):
            x, y = 100 * rows["held_out_eer"], 100 * rows["eer"]
            shade = system_colours(table["system"])[name]
            axes.plot(x, y, "o", color=shade, alpha=0.8, label=system_name(name))
        axes.plot([0, end], [0, end], color="0.6", linestyle="--")
        axes.set(xlim=(0, end), ylim=(0, end), aspect="equal", title=corpus)
        axes.set(xlabel="EER by cross-validation (%)", ylabel="EER on the test file (%)")
    panels[0].legend(loc="upper left")
    return figure
