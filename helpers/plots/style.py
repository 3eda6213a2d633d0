"""The style of all pictures: colours, one for each meaning and system, and the parts that pictures share."""

import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito's colours, which differ for colour-blind eyes too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
SAME, DIFFERENT = BLUE, ORANGE  # pairs of one speaker, and of two
DECIBELS = 20 / np.log(10)  # of one unit of the natural logarithm

plt.rc("figure", dpi=80)
plt.rc("figure.constrained_layout", use=True)
plt.rc("axes", titlesize="medium", prop_cycle=plt.cycler(color=[BLUE, ORANGE, GREEN, GREY]))
plt.rc("axes.spines", top=False, right=False)
plt.rc("legend", frameon=False)

SYSTEM_NAMES = {
    "ensemble": "the ensemble",
    "siamese_gru": "Siamese GRU",
    "mfcc_lda": "MFCCs and LDA",
    "ge2e_softmax": "GE2E, softmax",
    "ge2e_contrast": "GE2E, contrast",
    "contrastive_mel": "contrastive CNN",
    "vgg_attention": "VGG, attention",
}
# Okabe and Ito's, and a brown that differs from them for every eye; none is GREY, "no difference".
SYSTEM_COLOURS = {
    "ensemble": BLUE,
    "siamese_gru": "#56B4E9",
    "mfcc_lda": GREEN,
    "published_recipe": ORANGE,
    "ge2e_softmax": "#CC79A7",
    "ge2e_contrast": "#662200",
    "contrastive_mel": "#E69F00",
    "vgg_attention": "#000000",
}
OTHER_COLOURS = ("#882255", "#999933", "#88CCEE", "#117733")  # Tol's, for systems of your own


def system_name(system):
    """A system's name in words."""
    return SYSTEM_NAMES.get(system, system.replace("_", " "))


def system_colours(systems):
    """A colour for each system, the same in every picture of every notebook."""
    others = [system for system in systems if system not in SYSTEM_COLOURS]
    return SYSTEM_COLOURS | {system: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, system in enumerate(others)}


def new_panels(parts, columns, width, height, **settings):
    """A figure, and the list of its axes: one for each part, at most so many `columns` beside each other.

    `width` and `height` are a panel's, in inches; `settings` are those of `matplotlib.pyplot.subplots`.
    """
    columns = min(columns, len(parts))
    rows = -(-len(parts) // columns)
    size = (width * columns, height * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, **settings)
    for spare in grid.flat[len(parts) :]:
        spare.axis("off")
    return figure, list(grid.flat[: len(parts)])


def draw_spectrogram(axes, values, extent, **style):
    """Draw values (frames, bands), time to the right and bands upwards; returns the image.

    `extent` is where the picture begins and ends: left, right, bottom, top.
    """
    style = {"cmap": "magma", "interpolation": "nearest"} | style
    return axes.imshow(np.transpose(values), origin="lower", aspect="auto", extent=extent, **style)


def place_legend(axes, **settings):
    """Put the legend to the right of the axes, where it covers nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), **settings)


class LivePicture:
    """Redraws a picture after each epoch of a training, for a person who watches.

    Parameters
    ----------
    draw : callable (history) -> matplotlib.figure.Figure
        `history` is what the training gives to its `after_epoch` first.
    """

    def __init__(self, draw):
        from IPython.display import display

        self.draw, self.shown = draw, display(display_id=True)

    def __call__(self, history, *_):
        figure = self.draw(history)
        self.shown.update(figure)
        plt.close(figure)
