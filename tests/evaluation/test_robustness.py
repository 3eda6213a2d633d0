"""Recordings altered on purpose: each way does what it says, and the errors are counted."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers import SAMPLE_RATE, augmentation, quality
from helpers.data.corpora import Recordings
from helpers.evaluation import robustness
from helpers.research import robustness as research_robustness


def spoken(hertz, number=0, seconds=2):
    """A buzz with pauses, in a little noise: harmonics up to 8 kHz, the pitch itself the strongest."""
    rng, time = np.random.default_rng([int(hertz), number]), np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    buzz = sum(
        np.sin(2 * np.pi * hertz * k * time + rng.uniform(0, 6)) / k for k in range(1, int(7900 / hertz))
    )
    buzz *= (time * 4 % 1 < 0.7) * (1 + np.sin(2 * np.pi * 3 * time)) / np.abs(buzz).max() / 4
    return (buzz + 1e-4 * rng.normal(size=len(time))).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_each_way_does_what_it_says(rng):
    clean = spoken(120)
    assert len(augmentation.cut_to_half_second(clean, rng)) == SAMPLE_RATE / 2
    noise = augmentation.add_white_noise(clean, rng) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.01)
    assert (
        quality.measure_quality(augmentation.clip_peaks(clean, rng)).clipped
        > 3 * quality.measure_quality(clean).clipped
    )
    assert np.abs(augmentation.clip_peaks(clean, rng)).max() == 1
    assert (
        quality.measure_quality(augmentation.telephone_call(clean, rng)).high
        < quality.NARROW
        < quality.measure_quality(clean).high
    )
    assert len(augmentation.telephone_call(clean, rng)) == len(clean)
    assert quality.spectrum_distance(clean, augmentation.random_microphone(clean, rng)) > 2
    echo = augmentation.random_room(clean, rng)[6400:]
    pause = np.abs(clean[6400:]) < 1e-3
    assert np.mean(echo[pause] ** 2) > 10 * np.mean(clean[6400:][pause] ** 2)


def test_a_call_leaves_its_band_and_hiss(rng):
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    hertz = np.array([100, 300, 1000, 3400, 5000])
    tones = 0.1 * np.sin(2 * np.pi * hertz[:, None] * time).sum(axis=0).astype(np.float32)
    tones[SAMPLE_RATE:] = 0.1 * np.sin(2 * np.pi * 1000 * time[SAMPLE_RATE:])
    heard = augmentation.telephone_call(tones, rng)
    assert heard.dtype == np.float32
    levels = np.abs(np.fft.rfft(heard[:SAMPLE_RATE]))[hertz]
    decibels = 20 * np.log10(levels / levels[2])
    np.testing.assert_allclose(decibels[[1, 3]], -3, atol=0.5)  # a Butterworth filter's corners
    assert decibels[0] < -30
    assert decibels[4] < -60
    power = np.abs(np.fft.rfft(heard[SAMPLE_RATE + 2000 : -2000])) ** 2  # 12,000 samples: a bin is 4/3 Hz
    noise = power.sum() - power[740:761].sum()
    assert 30 < 10 * np.log10(power.sum() / noise) < 45  # 8 bits of the mu-law: some 38 dB at any level


def test_ways_are_the_same_with_the_same_seed():
    for spoil in augmentation.CONDITIONS.values():
        one, two, other = (spoil(spoken(120), np.random.default_rng(seed)) for seed in (3, 3, 4))
        assert np.array_equal(one, two)
        random = spoil in (
            augmentation.add_white_noise,
            augmentation.random_microphone,
            augmentation.random_room,
        )
        assert np.array_equal(one, other) is not random


def pitch_verifier():
    """Tells speakers apart by their strongest frequency from 50 to 300 Hz: the pitch."""

    def embed(waveforms):
        spectra = np.abs(np.fft.rfft(waveforms, 4 * SAMPLE_RATE))[:, 200:1200]
        return (200 + spectra.argmax(axis=1, keepdims=True)) / 4

    return SimpleNamespace(
        embed=embed, scores=lambda x, z: 5 - np.abs(x - z.T), threshold=0.0, trained_on_calls=False
    )


def test_errors_are_counted_between_clean_and_spoilt():
    speakers = np.repeat([0, 1, 2], 3)
    waveforms = [
        spoken((100, 150, 200)[who], number) for who, number in zip(speakers, [0, 1, 2] * 3, strict=True)
    ]
    first = waveforms[0]
    ways = {
        "all alike": lambda waveform, rng: first,
        "telephone": augmentation.telephone_call,
        "clipped": augmentation.clip_peaks,
        "thin": lambda waveform, rng: np.diff(waveform, n=2, prepend=[0, 0]),  # 12 dB an octave
    }
    table = robustness.robustness_table(pitch_verifier(), waveforms, speakers, ways)
    assert list(table.index) == ["as they are", *ways]
    clean, alike = table.loc["as they are"], table.loc["all alike"]
    assert (clean == 0).all()
    # all sound like speaker 0: 12 of 18 target trials are rejected; impostors get in where 0 is enrolled
    assert alike["false_rejection"] == pytest.approx(12 / 18)
    assert alike["false_acceptance"] == pytest.approx(18 / 54)
    assert alike["more"] == alike["eer"]  # in each draw, the clean ones have none
    assert (alike[["more_low", "more_high"]].to_numpy() == alike[["low", "high"]]).all()
    assert 0 < alike["low"] <= alike["eer"] <= alike["high"]
    assert table.loc["telephone", "refused"] == 1
    assert table.loc["telephone", "warned"] == 0
    verifier = pitch_verifier()
    verifier.trained_on_calls = True
    calls = robustness.robustness_table(
        verifier, waveforms, speakers, {"telephone": augmentation.telephone_call}
    ).loc["telephone"]
    assert (calls["refused"], calls["warned"]) == (0, 1)  # they do not sound like the clean ones
    assert (table.loc["clipped", "refused"], table.loc["clipped", "warned"]) == (0, 1)
    assert table.loc["thin", "warned"] == 1


def test_speakers_are_drawn_with_enough_recordings():
    labels = np.repeat([0, 1, 2, 3], [2, 5, 5, 5])
    found = Recordings("r", list(range(len(labels))), labels, pd.DataFrame({"n": labels}))
    chosen = research_robustness.draw_recordings(found, 2, 3)
    assert len(chosen.labels) == 6
    assert len(set(chosen.labels)) == 2
    assert 0 not in chosen.labels


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert research_robustness.main(["--data", str(tmp_path), "--model", "none.keras"]) == 1
    assert "none.keras does not exist" in capsys.readouterr().err


def test_decisions_are_those_of_verify_with_three_enrolled():
    pitches, speakers = (100, 150, 200, 250), np.repeat([0, 1, 2, 3], [4, 5, 4, 3])
    waveforms = [spoken(pitches[who], number) for number, who in enumerate(speakers)]
    found = research_robustness.verification_accuracy(pitch_verifier(), waveforms, speakers)
    assert found == {"same": (3, 3), "other": (3, 3), "refused": 0}  # the fourth speaker has too few
    waveforms[3] = spoken(200, 3)  # of speaker 0 the recording that is verified: speaker 2's voice
    found = research_robustness.verification_accuracy(pitch_verifier(), waveforms, speakers)
    assert found["same"] == (2, 3)
    waveforms[3] = waveforms[3][:4000]
    found = research_robustness.verification_accuracy(pitch_verifier(), waveforms, speakers)
    assert found["same"] == (2, 2)
    assert found["refused"] == 1 + (3 - found["other"][1]) > 0
