"""Pictures of a network that learns: the Siamese network, its batches, its losses, its embeddings."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.plots.style import BLUE, draw_spectrogram, new_panels


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
        box(5.9, y, f"voice {name}\nlength 1", "#EAF2FA")
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
        `loss` and `val_loss`.
    """
    batches = "training batches (cropped, masked, other speeds)"
    lines = {batches: history["loss"], "held-out speakers": history["val_loss"]}
    figure = plot_losses({"": lines}, title, "balanced cross-entropy (nats)")
    (axes,) = figure.axes
    axes.axhline(np.log(2), color="0.6", linestyle="--")
    axes.text(1, np.log(2), "ln 2: nothing told apart ", ha="left", va="bottom", color="0.4")
    axes.set_ylim(0, 0.85)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.79))  # below the line of ln 2
    return figure


def plot_embeddings(maps, speakers):
    """Embeddings of several encoders in their first two principal components, a colour a speaker.

    `maps` are a dict of names to arrays (utterances, dimensions).
    """
    figure, panels = new_panels(maps, len(maps), 4.5, 4)
    names = np.unique(speakers)
    for axes, (title, embeddings) in zip(panels, maps.items(), strict=True):
        centred = embeddings - embeddings.mean(axis=0)
        points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        for i, name in enumerate(names):
            mine = points[speakers == name]
            axes.scatter(*mine.T, s=22, color=plt.get_cmap("tab20")(i % 20), marker="osD^v"[i % 5])
        axes.set(xlabel="first component", ylabel="second component", title=title)
    return figure


def plot_loss_over_shift(shifts, losses, title=""):
    """Loss of an untrained network against the shift b of its logits, which no b brings below ln 2."""
    figure, axes = plt.subplots(figsize=(6, 2.8))
    axes.axhline(np.log(2), color="0.5", linestyle="--")
    axes.text(shifts[0], np.log(2), " ln 2", va="bottom", color="0.4")
    axes.plot(shifts, losses, color=BLUE)
    axes.set(xlabel="shift b", ylabel="balanced cross-entropy (nats)", ylim=(0, None))
    axes.set(title=f"untrained: loss over the shift, {title}")
    return figure


def plot_batch(batch, speakers, spectrogram):
    """Three cropped and masked utterances of a batch, and the pairs that the batch holds."""
    figure, rows = plt.subplots(1, 4, figsize=(10, 3))
    for axes, values in zip(rows[:-1], batch, strict=False):
        draw_spectrogram(axes, values, _extent(values, spectrogram))
        axes.set(xlabel="time (s)", ylabel="frequency (kHz)", title="crop with a masked band")
    rows[-1].imshow(speakers[:, None] == speakers, cmap="Blues", interpolation="nearest")
    rows[-1].set(xlabel="utterance", ylabel="utterance", title="same speaker")
    return figure


def _extent(values, spectrogram):
    """Where a spectrogram (frames, bins) begins and ends: 0, its seconds, 0, and its highest kHz."""
    seconds = len(values) * spectrogram.hop_length / spectrogram.sample_rate
    return 0, seconds, 0, spectrogram.sample_rate / 2000


def plot_gru_states(values, states, spectrogram, title=""):
    """A spectrogram `(frames, bins)` above the GRU's states `(frames, units)`, on one time axis."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 4.5), sharex=True)
    extent = _extent(values, spectrogram)
    draw_spectrogram(upper, values, extent)
    upper.set(ylabel="frequency (kHz)", title=f"log spectrogram, {title}")
    extent = (*extent[:3], states.shape[1])
    image = draw_spectrogram(lower, states, extent, cmap="RdBu", vmin=-1, vmax=1)
    lower.set(xlabel="time (s)", ylabel="state", title="the GRU's states, untrained")
    figure.colorbar(image, ax=lower, label="value")
    return figure
