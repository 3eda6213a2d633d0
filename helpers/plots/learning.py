"""Pictures of a network that learns: the Siamese network, its batches, its losses, its embeddings."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.plots.style import BLUE, GREY, draw_spectrogram, new_panels, place_legend


def plot_siamese_network():
    """The Siamese network drawn: two utterances, one encoder used twice, a scaled cosine, a probability."""
    figure, axes = plt.subplots(figsize=(9, 2.6))
    axes.set(xlim=(0, 10), ylim=(0, 3))
    axes.axis("off")

    def box(x, y, text, colour):
        style = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "0.3"}
        axes.text(x, y, text, ha="center", va="center", bbox=style)

    def arrow(start, end):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.3"})

    for y, name in ((2.4, "a"), (0.6, "b")):
        box(0.9, y, f"utterance {name}\n(frames, bins)", "#EAF2FA")
        box(3.6, y, "encoder\nGRU, pooling", "#CFE3F5")
        box(5.9, y, f"embedding {name}\nlength 1", "#EAF2FA")
        arrow((1.85, y), (2.75, y))
        arrow((4.4, y), (5.3, y))
        arrow((6.5, y), (7.0, 1.5 + 0.25 * np.sign(y - 1.5)))
    axes.plot([3.6, 3.6], [1.15, 1.85], color=BLUE, linewidth=2, linestyle=":")
    axes.text(3.75, 1.5, "the same weights", color=BLUE, va="center")
    box(7.6, 1.5, "cosine", "#CFE3F5")
    box(9.1, 1.5, "w·cosine + b\nsigmoid", "#CFE3F5")
    arrow((8.05, 1.5), (8.4, 1.5))
    return figure


def plot_losses(histories, title="", quantity="loss"):
    """Losses over the epochs of a training, a panel each.

    Parameters
    ----------
    histories : dict of str to dict of str to list
        Panel, then line, then the loss of each epoch.
    quantity : str
        Names the loss, with its unit.
    """
    width = 8 if len(histories) == 1 else 4.75
    figure, panels = new_panels(histories, len(histories), width, 3.2)
    for axes, (name, lines) in zip(panels, histories.items(), strict=True):
        for label, losses in lines.items():
            axes.plot(np.arange(1, len(losses) + 1), losses, label=label)
        axes.set(xlabel="epoch", ylabel=quantity, title=name, ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    figure.suptitle(title, fontsize="medium")
    return figure


def plot_learning_curves(history, title=""):
    """Loss of the training batches and of the held-out speakers over the epochs; ln 2 is the line to leave.

    Parameters
    ----------
    history : dict of lists
        `loss` and `val_loss`; the first values are those before the first step.
    """
    figure, axes = plt.subplots(figsize=(8, 3.4))
    names = {"loss": "training batches (cropped, masked, other speeds)", "val_loss": "held-out speakers"}
    for key, name in names.items():
        axes.plot(history[key], marker=".", label=name)
    axes.axhline(np.log(2), color="0.6", linestyle="--")
    axes.text(
        len(history["loss"]) - 1, np.log(2), "ln 2: nothing told apart", ha="right", va="bottom", color="0.4"
    )
    axes.set(xlabel="epochs done", ylabel="balanced cross-entropy (nats)", title=title, ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    return figure


def plot_embeddings(maps, speakers):
    """Embeddings of several encoders in their first two principal components, a colour a speaker.

    `maps` are a dict of names to arrays (utterances, dimensions); the panels have one scale.
    """
    figure, panels = new_panels(maps, len(maps), 4.5, 4, sharex=True, sharey=True)
    names = np.unique(speakers)
    for axes, (title, embeddings) in zip(panels, maps.items(), strict=True):
        centred = embeddings - embeddings.mean(axis=0)
        points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        for i, name in enumerate(names):
            mine = points[speakers == name]
            style = {"color": plt.get_cmap("tab20")(i % 20), "marker": "osD^v"[i % 5], "label": name}
            axes.scatter(*mine.T, s=22, **style)
        axes.set(xlabel="first component", ylabel="second component", title=title)
    place_legend(panels[-1], title="speaker")
    return figure


def plot_loss_over_shift(shifts, losses, start, title=""):
    """Loss of an untrained network against the shift b of its logits, and the b that training starts from."""
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.axhline(np.log(2), color="0.5", linestyle="--")
    axes.text(shifts[0], np.log(2), " ln 2", va="bottom", color="0.4")
    axes.plot(shifts, losses, color=GREY)
    marks = {"training starts here": np.argmin(np.abs(shifts - start)), "the best b": np.argmin(losses)}
    for (name, at), marker in zip(marks.items(), "os", strict=True):
        axes.plot(shifts[at], losses[at], marker, color="black", label=name, fillstyle="none", markersize=9)
    axes.set(xlabel="shift b", ylabel="balanced cross-entropy (nats)", ylim=(0, None), title=title)
    axes.legend()
    return figure


def plot_batch(batch, speakers, spectrogram):
    """Three utterances of a batch, those with the widest masked bands, and which pairs share a speaker."""
    figure, rows = plt.subplots(1, 4, figsize=(12, 3.2))
    masked = np.sum(np.ptp(batch, axis=1) == 0, axis=1)
    for axes, row in zip(rows, np.sort(np.argsort(-masked)[:3]), strict=False):
        draw_spectrogram(axes, batch[row], _extent(batch[row], spectrogram))
        axes.set(xlabel="time (s)", ylabel="frequency (kHz)", title=f"row {row}, a band masked")
    rows[-1].imshow(speakers[:, None] == speakers, cmap="Blues", interpolation="nearest")
    rows[-1].set(xlabel="row of the batch", ylabel="row of the batch", title="pairs of one speaker")
    return figure


def _extent(values, spectrogram):
    """Where a spectrogram (frames, bins) begins and ends: 0, its seconds, 0, and its highest kHz."""
    seconds = len(values) * spectrogram.hop_length / spectrogram.sample_rate
    return 0, seconds, 0, spectrogram.sample_rate / 2000
