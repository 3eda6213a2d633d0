"""The style of all pictures: colours, one for each meaning and system."""

import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito's colours, which differ for colour-blind eyes too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
DECIBELS = 20 / np.log(10)  # of one unit of the natural logarithm

plt.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "figure.dpi": 80,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, GREY]),
        "legend.frameon": False,
    }
)

SYSTEM_NAMES = {
    "siamese_gru": "Siamese GRU",
    "published_recipe": "published recipe",
    "mfcc_lda": "MFCCs and LDA",
    "ge2e_softmax": "GE2E, softmax",
    "ge2e_contrast": "GE2E, contrast",
    "contrastive_mel": "contrastive CNN",
    "vgg_attention": "VGG, attention",
    "resnet18_attention": "ResNet-18, attention",
}
MAIN_COLOURS = {"siamese_gru": BLUE, "published_recipe": ORANGE, "mfcc_lda": GREEN}
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000", GREY)  # Okabe and Ito's as well


def system_name(system):
    """A system's name in words."""
    return SYSTEM_NAMES.get(system, system.replace("_", " "))


def system_colours(systems):
    """A colour for each system, the same in every picture of a notebook."""
    others = [system for system in systems if system not in MAIN_COLOURS]
    return MAIN_COLOURS | {system: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, system in enumerate(others)}
