"""What a recording is worth, on tones and noise whose level, ratio and spectrum are known."""

import numpy as np
import pytest

from helpers import SAMPLE_RATE, InputError, quality

RNG = np.random.default_rng(0)
SECOND = np.arange(SAMPLE_RATE) / SAMPLE_RATE


def bursts(seconds=2.0, noise=1e-4, amplitude=0.2):
    """Bursts of white noise of a tenth of a second with pauses as long, in quieter noise."""
    samples = int(seconds * SAMPLE_RATE)
    loud = (np.arange(samples) // 1600) % 2 == 0
    return (RNG.normal(size=samples) * np.where(loud, amplitude, noise)).clip(-1, 1).astype(np.float32)


def test_level_is_in_decibels_of_full_scale():
    tone = 0.1 * np.sin(2 * np.pi * 440 * SECOND).astype(np.float32)
    assert quality.measure_quality(tone).level == pytest.approx(-23.0, abs=0.1)  # 10 log10(0.1 ** 2 / 2)
    assert quality.measure_quality(tone / 10).level == pytest.approx(-43.0, abs=0.1)


def test_seconds_of_speech_leave_silence_out():
    half = np.concatenate([np.zeros(SAMPLE_RATE), bursts(1.0, noise=0.2), np.zeros(SAMPLE_RATE)])
    found = quality.measure_quality(half.astype(np.float32))
    assert found.seconds == 3
    assert found.speech_seconds == pytest.approx(1, abs=0.1)


def test_soft_speech_counts_and_what_is_35_dB_below_the_loudest_does_not():
    noise = RNG.normal(0, 0.2, SAMPLE_RATE)
    for decibels, parts in ((-25, 1), (-33, 1), (-38, 0)):
        soft = np.concatenate([0 * noise, 10 ** (decibels / 20) * noise, 0 * noise, noise])
        found = quality.speech_parts(soft.astype(np.float32))
        assert len(found) == 1 + parts


@pytest.mark.parametrize(("noise", "expected"), [(0.2 / 10, 20), (0.2 / 10**0.5, 10)])
def test_ratio_to_the_noise_in_the_pauses(noise, expected):
    assert quality.measure_quality(bursts(5, noise)).snr == pytest.approx(expected, abs=1.5)


def test_clipped_samples_are_counted_at_the_peak_whatever_the_gain():
    tone = np.sin(2 * np.pi * 440 * SECOND).astype(np.float32)
    whole, clipped = (
        quality.measure_quality(tone).clipped,
        quality.measure_quality(0.3 * np.clip(2 * tone, -1, 1)).clipped,
    )
    assert whole == pytest.approx(0.13, abs=0.01)  # a sine is near its peak so often
    assert clipped == pytest.approx(2 / 3, abs=0.02)  # above a half: from 30 to 150 degrees


def test_what_lies_above_4_kHz_is_told_apart():
    low, high = (np.sin(2 * np.pi * hertz * SECOND).astype(np.float32) for hertz in (1000, 6000))
    assert quality.measure_quality(low).high < -70
    assert quality.measure_quality(np.roll(low, 7)[: SAMPLE_RATE // 2 + 4]).high < -70  # cut where it is loud
    assert quality.measure_quality(low + high).high == pytest.approx(-3.0, abs=0.1)


def measured(**changes):
    return quality.Quality(3.0, 2.0, -20.0, 30.0, 0.0, -20.0)._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"speech_seconds": 0.3}, "a.wav has 0.3 s of speech; expected a second or more"),
        ({"seconds": 4000.0}, "a.wav is 4000 s long; expected 120 s at most"),
        ({"snr": 4.0}, "a.wav is too noisy \\(its speech is 4 dB above its quietest parts\\); expected"),
        ({"high": -71.0}, "a.wav has nothing above 4 kHz, like a telephone call; expected"),
    ],
)
def test_unfit_recordings_are_refused_in_one_line(changes, told):
    with pytest.raises(InputError, match=told) as error:
        quality.check_fit(measured(**changes), "a.wav")
    assert "\n" not in str(error.value)
    quality.check_fit(measured(), "a.wav")
    quality.check_fit(measured(high=-65.0), "a.wav")  # dull speech, as some microphones of speechocean762 are


def test_a_call_can_be_judged_by_a_model_that_has_learnt_from_calls():
    call = measured(high=-71.0)
    quality.check_fit(call, "a.wav", calls=True)
    with pytest.raises(InputError, match="too noisy"):
        quality.check_fit(call._replace(snr=4.0), "a.wav", calls=True)
    with pytest.raises(InputError, match=r"a\.wav has sound above 4 kHz; expected a telephone call"):
        quality.check_fit(measured(), "a.wav", calls=True)


def test_calls_are_counted():
    rows = np.stack([bursts()] * 4)
    rows[3] = np.convolve(rows[3], np.sinc(np.arange(-500, 501) / 8) / 8 * np.hanning(1001), mode="same")
    assert quality.telephone_share(rows) == 0.25  # below 1 kHz is nothing above 4 kHz
    assert quality.telephone_share(rows, most=2) == 0.5  # the first and the last


def test_remarks_say_what_is_wrong_and_nothing_about_a_good_recording():
    assert quality.remarks(measured()) == []
    spoilt = measured(speech_seconds=0.8, snr=9.0, clipped=0.05, level=-60.0)
    assert quality.remarks(spoilt) == [
        "short: 0.8 s of speech",
        "noisy: speech 9 dB above the quietest parts",
        "too loud: 5.0 % of the samples are clipped",
        "too quiet: 60 dB below full scale",
    ]


def test_spectra_are_alike_whatever_the_level_and_unlike_through_a_filter():
    noise = bursts(noise=0.2)
    dull = np.convolve(noise, np.ones(8) / 8, mode="same").astype(np.float32)
    assert quality.spectrum_distance(noise, noise / 7) == pytest.approx(0, abs=0.1)
    assert quality.spectrum_distance(noise, dull) > 5
    assert quality.spectrum_distance(dull, noise) == pytest.approx(quality.spectrum_distance(noise, dull))
