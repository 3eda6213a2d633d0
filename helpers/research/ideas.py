"""The ideas that `experiments` tests: what each changes in the course's training.

What helped is in the course's own files. The rest was measured and left out, or serves as a comparison;
notebook 12 shows what each gave.

Each idea has a group, a description, the idea that it is compared with, and its changes: arguments of
`features.Spectrogram` (`spectrogram`), `batches.TrainingConfig` (`config`), `encoders.build_encoder`
(`encoder`), `training_hooks.training_copies` (`copies`), `training_hooks.augmenter` (`augment`); weights of
`objectives.OBJECTIVES` (`objective`). Each encoder learns from at most `max_speakers` speakers, drawn at
random. `average` takes the mean of the weights after the last epochs, `crops` that of the embeddings of
several stretches. `backend` trains nothing: one of `training_hooks.BACKENDS` scores the embeddings of the
base in place of the cosine, fitted with as many disturbed copies as `other_channels` says beside the clean
ones.
"""

from functools import partial

PLAIN = {"encoder": {"stride": 1, "shortcut": False}, "config": {"speeds": (0.9, 1.1), "widest_mask": 1 / 6}}

LAST_STATE = {"sequence": "last state", "pooling": "none", "shortcut": False}


def idea(group, what, base="course", **changes):
    """An entry of `IDEAS`; changes of the plain network are added to what makes it plain."""
    if base == "plain":
        changes = {part: settings | changes.get(part, {}) for part, settings in PLAIN.items()}
    return group, what, base, changes


GROUPS = ("alone", "ablation", "features", "encoder", "loss", "batches", "augmentation", "scores", "speakers")
alone, ablation, features, encoder, loss, batches, augmentation, scores, speakers = (
    partial(idea, group) for group in GROUPS
)
IDEAS = {
    "course": idea("", "the course's network", ""),
    "plain": idea("", "the plain Siamese GRU", "", **PLAIN),
    # alone: added to the plain network
    "plain_shortcut": alone("bands pooled beside the states", "plain", encoder={"shortcut": True}),
    "plain_speeds": alone("four other speeds, not two", "plain", config={"speeds": (0.8, 0.9, 1.1, 1.2)}),
    "plain_stride": alone("GRU at half the frame rate", "plain", encoder={"stride": 2}),
    "plain_mask": alone("masks up to a third, not a sixth", "plain", config={"widest_mask": 1 / 3}),
    # ablation: taken from the course's network
    "no_gru": ablation("no GRU", encoder={"sequence": "none"}),
    "no_shortcut": ablation("no bands pooled beside the states", encoder={"shortcut": False}),
    "no_speeds": ablation("no copies at other speeds", config={"speeds": ()}),
    "no_masks": ablation("no masks", config={"widest_mask": 0}),
    "no_crops": ablation("no crops", config={"crop": 1.0}),
    "no_logarithm": ablation("magnitudes, no logarithm", spectrogram={"compression": "none"}),
    "last_state": ablation("last state, no pooling", encoder=LAST_STATE),
    "few_pairs": ablation("two pairs an utterance, not all", objective={"few_pairs": 1}),
    "unshared": ablation("weights not shared", encoder={"towers": 2}, objective={"unshared": 1}),
    "cepstrum": features("cepstrum as a second view", encoder={"view": "spectrum and cepstrum"}),
    "cepstrum_only": features("cepstrum, no spectrum", encoder={"view": "cepstrum"}),
    "power": features("power law (0.2) in place of the logarithm", spectrogram={"compression": "power"}),
    "mel": features("80 mel bands", spectrogram={"mel_bands": 80}),
    "fast_frames": features("half the window and hop", spectrogram={"n_fft": 512, "hop_length": 256}),
    "below_6_kHz": features("bins below 6.25 kHz only", encoder={"view": "low bins"}),
    "own_mean": features("own mean spectrum taken away", encoder={"view": "own mean"}),
    "cnn": encoder("CNN in place of the GRU", encoder={"sequence": "cnn"}),
    "lstm": encoder("LSTM in place of the GRU", encoder={"sequence": "lstm"}),
    "two_layers": encoder("two GRU layers", encoder={"sequence": "two layers"}),
    "bidirectional": encoder("bidirectional GRU", encoder={"sequence": "bidirectional"}),
    "mean_only": encoder("mean of the states only", encoder={"pooling": "mean"}),
    "attention": encoder("attentive statistics", encoder={"pooling": "attention"}),
    "full_rate": encoder("GRU at the full frame rate", encoder={"stride": 1}),
    "hard_pairs": loss("hardest fifth of negative pairs", objective={"hard_pairs": 1}),
    "inner_product": loss(
        "inner product, no unit length", objective={"inner_product": 1}, encoder={"unit_length": False}
    ),
    "ge2e": loss("GE2E softmax", objective={"ge2e_softmax": 1}),
    "prototypes": loss("angular prototypical", objective={"prototypes": 1}),
    "additive_margin": loss("additive-margin softmax", objective={"additive_margin": 1}),
    "pairs_prototypes": loss("pairs and angular prototypical", objective={"pairs": 1, "prototypes": 0.3}),
    "pairs_margin": loss("pairs and additive margin", objective={"pairs": 1, "additive_margin": 0.1}),
    "fewer_speakers": batches(
        "10 speakers x 10 utterances", config={"batch_speakers": 10, "batch_utterances": 10}
    ),
    "larger": batches(
        "50 speakers x 4, twice the step", config={"batch_speakers": 50, "learning_rate": 0.003}
    ),
    "shorter_training": batches("10 epochs", config={"epochs": 10}),
    "thirty_epochs": batches("30 epochs", config={"epochs": 30}),
    "longer_training": batches("40 epochs", config={"epochs": 40}),
    "equalise": augmentation("random microphones", augment={"equalise": {}}),
    "equalise_mild": augmentation("mild random microphones", augment={"equalise": {"strength": 2}}),
    "noise": augmentation("noise, 10 to 40 dB", augment={"noise": {}}),
    "band_limit": augmentation("random band limits", augment={"band_limit": {}}),
    "rooms": augmentation("a copy in random rooms", copies={"rooms": 1}),
    "warps": augmentation("warped vocal tracts as speakers", copies={"warps": (0.9, 1.1)}),
    # embeddings and scores
    "three_towers": scores("three networks in one", encoder={"towers": 3}),
    "weight_average": scores("weights averaged over 5 epochs", average=5),
    "test_crops": scores("embedding of three crops", crops=3),
    "lda": scores("LDA on the embeddings", backend="lda"),
    "whitening": scores("within-class whitening", backend="whitening"),
    "plda": scores("PLDA, as the course scores", backend="plda"),
    "plda_channels": scores("PLDA that has heard other microphones", backend="plda", other_channels=1),
    "score_norm": scores("adaptive score normalisation", backend="score_norm"),
    # learning curve: the number of speakers that each encoder learns from, equally many steps
    "learners_5": speakers("5 speakers", max_speakers=5, config={"epochs": 200}),
    "learners_10": speakers("10 speakers", max_speakers=10, config={"epochs": 80}),
    "learners_20": speakers("20 speakers", max_speakers=20, config={"epochs": 40}),
    "learners_30": speakers("30 speakers", max_speakers=30, config={"epochs": 27}),
}
