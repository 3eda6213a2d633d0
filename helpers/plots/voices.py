"""Pictures of an index of voices: t-SNE map, neighbours, open-set curves, search benchmarks."""

import json
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from helpers import SAMPLE_RATE
from helpers.files import atomic_write
from helpers.notebook import output_folder
from helpers.plots.style import BLUE, GREEN, GREY, ORANGE, place_legend

SIZE = 640  # pixels of the map's square in the page


def tsne_positions(places, seed=0):
    """Voices in two dimensions (n, 2), neighbours kept together as far as that goes: t-SNE.

    van der Maaten and Hinton (2008), "Visualizing data using t-SNE", JMLR 9. Near means alike; how far apart
    two distant clusters are, and how large one is, means nothing.

    Parameters
    ----------
    places : float array (n, d)
        Points whose Euclidean distances count, such as `VoiceIndex.places`.
    seed : int
    """
    from sklearn.manifold import TSNE

    perplexity = min(20, (len(places) - 1) / 3)  # about so many neighbours each point attends to
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(places)


def median_pitch(waveforms):
    """Median fundamental frequency in Hz (n,) of waveforms, by YIN between 65 and 400 Hz, loud frames only.

    de Cheveigné and Kawahara (2002), "YIN, a fundamental frequency estimator for speech and music", JASA 111.
    """
    import librosa

    found = []
    for waveform in waveforms:
        pitch = librosa.yin(waveform, fmin=65, fmax=400, sr=SAMPLE_RATE, frame_length=1024, hop_length=256)
        level = librosa.feature.rms(y=waveform, frame_length=1024, hop_length=256)[0]
        found.append(np.median(pitch[level >= np.median(level)]))
    return np.array(found)


def speaker_colours(speakers):
    """A hex colour for each speaker's voices (n,), as unlike as so many colours can be."""
    names, index = np.unique(speakers, return_inverse=True)
    hues = (np.arange(len(names)) * 0.618034) % 1  # neighbours in the list far apart on the circle
    values = np.array([0.95, 0.7, 0.5])[np.arange(len(names)) % 3]
    colours = plt.matplotlib.colors.hsv_to_rgb(np.stack([hues, np.full(len(hues), 0.75), values], axis=1))
    return [plt.matplotlib.colors.to_hex(colours[i]) for i in index]


def group_colours(groups):
    """Hex colours (n,) of a few groups such as genders, and the groups' names with their colours."""
    names = sorted(set(groups))
    key = {name: (ORANGE, BLUE, GREEN, GREY)[i % 4] for i, name in enumerate(names)}
    return [key[each] for each in groups], key


def plot_map(points, speakers, groups, known, kind="gender"):
    """A map of voices twice: a colour a speaker, and a colour a group.

    Parameters
    ----------
    points : float array (n, 2)
    groups : array (n,)
    known : bool array (n,)
        Voices of speakers that the encoder has learnt from: drawn as small dots, the others as rings.
    kind : str
        What the groups are.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5))
    colours, key = group_colours(groups)
    known = np.asarray(known)
    for axes, shades in ((left, np.array(speaker_colours(speakers))), (right, np.array(colours))):
        axes.scatter(*points[known].T, s=9, color=shades[known], linewidth=0)
        axes.scatter(*points[~known].T, s=22, facecolor="none", edgecolor=shades[~known], linewidth=1.2)
        axes.set(xticks=[], yticks=[], xlabel="first dimension of t-SNE", ylabel="second dimension")
    left.set_title(f"a colour for each of {len(set(speakers))} speakers")
    right.set_title(f"by {kind}")
    for name, shade in key.items():  # nothing but the legend's signs
        right.plot([], [], "o", color=shade, label=name)
    right.plot([], [], "o", color="0.3", markersize=3, label="learnt from")
    right.plot([], [], "o", color="0.3", markerfacecolor="none", label="never heard")
    place_legend(right)
    return figure


def map_page(points, table, colours, title):
    """The map as a page that answers the pointer: whose voice it is, and where else this speaker stands.

    Plain SVG with a few lines of script, nothing loaded from anywhere: it works in a notebook, in a browser
    and without a network.

    Parameters
    ----------
    points : float array (n, 2)
    table : pandas.DataFrame
        A row per voice, with the column `speaker`; all columns are shown.
    colours : dict of str to list of str
        Ways of colouring: their names, and a colour per voice.
    title : str

    Returns
    -------
    str
        HTML.
    """
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    places = 20 + (SIZE - 40) * (points - low) / span
    places[:, 1] = SIZE - places[:, 1]  # a page counts from its top
    rows = []
    for (x, y), row in zip(places.round(1).tolist(), table.to_dict("records"), strict=True):
        text = ", ".join(f"{name} {value}" for name, value in row.items() if str(value) not in ("", "nan"))
        rows.append({"x": x, "y": y, "s": str(row["speaker"]), "t": text})
    page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    page = page.replace("TITLE", escape(title)).replace("SIZE", str(SIZE))
    for name, value in (("COLOURS", colours), ("VOICES", rows)):
        page = page.replace(name, json.dumps(value).replace("<", "\\u003c"))
    return page


def save_page(page, out, name):
    """Save a page as figures/NAME.html in the output folder; returns its path."""
    path = output_folder(out) / "figures" / f"{name}.html"
    content = f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8">\n{page}</html>\n'
    with atomic_write(path) as part:
        part.write_text(content, encoding="utf-8")
    return path


def plot_accuracy_by_neighbours(counts, values, title=""):
    """Identification accuracy over the number of neighbours that vote."""
    figure, axes = plt.subplots(figsize=(6, 3.2))
    axes.plot(counts, 100 * np.asarray(values), "o-")
    axes.set(xlabel="neighbours that vote (k)", ylabel="identified (%)", xticks=counts, title=title)
    return figure


def plot_impostors_by_gallery(known, measured, expected, wanted, title=""):
    """Strangers who are given a name, over the number of speakers known: measured, and 1 - (1 - p)^known."""
    figure, axes = plt.subplots(figsize=(6.5, 3.4))
    label = "1 - (1 - p)$^N$, independent chances"
    axes.plot(known, 100 * np.asarray(expected), "--", color=GREY, label=label)
    axes.plot(known, 100 * np.asarray(measured), "o-", color=ORANGE, markersize=4, label="measured")
    axes.axhline(100 * wanted, color="0.7", linestyle=":", label="wanted")
    axes.set(xlabel="speakers known (N)", ylabel="strangers given a name (%)", title=title, ylim=(0, None))
    axes.locator_params(axis="x", integer=True)
    axes.legend()
    return figure


def plot_open_set(strangers, answers, marks, title=""):
    """Members turned away or misnamed over strangers given a name, as the threshold moves.

    Parameters
    ----------
    strangers : float array (n,)
        Each stranger's best score.
    answers : tuple of bool array (m,) and float array (m,)
        As `open_set.member_identifications`.
    """
    right, scores = answers

    def rates(threshold):
        return 100 * np.mean(strangers >= threshold), 100 * np.mean(~(right & (scores >= threshold)))

    thresholds = np.unique(np.concatenate([strangers, scores]))
    figure, axes = plt.subplots(figsize=(6.5, 3.6))
    axes.plot(*np.transpose([rates(each) for each in thresholds]), color="0.3")
    for (name, threshold), marker in zip(marks.items(), "osD^v", strict=False):
        point = rates(threshold)
        axes.plot(*point, marker, markersize=8, label=f"{name}: {point[0]:.0f} / {point[1]:.0f} %")
    axes.set(xlim=(-1, 100), ylim=(-1, 100), title=title)
    axes.set(xlabel="strangers given a name (%)", ylabel="members not named rightly (%)")
    axes.legend(title="strangers named / members not")
    return figure


def plot_searches(table, title=""):
    """Recall over latency of exact and approximate search, and the memory and building time of both.

    `table` is the pandas.DataFrame of `search_benchmark.compare_searches`.
    """
    graph, exact = table[table["search"] == "graph"], table[table["search"] == "exact"].iloc[0]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.2), width_ratios=[2.4, 1, 1])
    left.plot(graph["alone"], 100 * graph["recall"], "o-", color=BLUE, label="graph, one at a time")
    for _, row in graph.iloc[[0, -1]].iterrows():
        where = (row["alone"], 100 * row["recall"])
        below = {"xytext": (0, -6), "textcoords": "offset points", "va": "top"}
        left.annotate(f"breadth {row['breadth']}", where, **below)
    left.plot(exact["alone"], 100, "s", color=ORANGE, label="exact, one at a time")
    left.plot(exact["together"], 100, "s", color=ORANGE, fillstyle="none", label="exact, many at once")
    left.set(xlabel="milliseconds a query", ylabel="recall of the ten nearest (%)", title=title, xscale="log")
    ends = graph["alone"].min() / 2, 2 * exact["alone"]
    left.set(xlim=ends, ylim=(min(95, 100 * graph["recall"].min()) - 4, 101))
    left.xaxis.set_minor_formatter(plt.NullFormatter())
    left.xaxis.set_major_formatter(plt.matplotlib.ticker.StrMethodFormatter("{x:g}"))
    left.legend(loc="lower right", fontsize=8)
    both = [exact, graph.iloc[0]]
    for axes, name, label in ((middle, "megabytes", "memory (MB)"), (right, "build", "built in (s)")):
        bars = axes.bar(["exact", "graph"], [row[name] for row in both], color=[ORANGE, BLUE])
        axes.bar_label(bars, fmt="{:.0f}")
        axes.set_ylabel(label)
    return figure
