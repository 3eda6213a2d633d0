"""Recordings decoded: every format to one form, what each damage is called, and which stretch is used."""

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile
from trees import shortened, sphere, tone, write

from helpers import InputError
from helpers.data import audio, decoding
from helpers.data.audio import EXPECTED, decode, excerpt
from helpers.data.decoding import FORMATS

WAVE = tone(3)
WAVE -= WAVE.mean()
SAMPLES = np.round(WAVE * 32767).astype(np.int16)


def refusal(path):
    with pytest.raises(InputError) as refused:
        decode(path)
    message = str(refused.value)
    assert "\n" not in message
    assert message.endswith(f"; expected {EXPECTED}" + f", as {FORMATS}" * ("cannot be decoded" in message))
    return message


def scaled(samples):
    """What is decoded from 16-bit samples: float32 without their mean."""
    waveform = samples / np.float32(32768)
    return waveform - waveform.mean(dtype=float).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a", "webm", "sph", "aiff"])
@pytest.mark.parametrize("rate", [16000, 22050])
def test_every_format_comes_at_16_khz(tmp_path, suffix, rate):
    found = decode(write(tmp_path / f"voice.{suffix}", tone(3, rate=rate), rate))
    assert found.dtype == np.float32
    slack = 3000 if suffix in ("mp3", "m4a", "webm") else 2  # encoders begin and end with a little silence
    assert abs(len(found) - len(WAVE)) <= slack
    theirs, ours = np.abs(np.fft.rfft(found, 1 << 16)), np.abs(np.fft.rfft(WAVE, 1 << 16))
    assert theirs @ ours / np.linalg.norm(theirs) / np.linalg.norm(ours) > 0.95
    assert 0.4 < np.abs(found).max() < 0.6


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.stack([WAVE, np.zeros_like(WAVE)], axis=1), 16000, "FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "two.wav"), WAVE / 2, atol=1e-6)


def test_no_more_than_is_asked_for_is_decoded(tmp_path):
    for suffix in ("wav", "m4a", "raw"):
        assert len(decode(write(tmp_path / f"one.{suffix}", WAVE), 0.5)) == 8000
    half = WAVE[:8000] - WAVE[:8000].mean()
    np.testing.assert_allclose(decode(tmp_path / "one.wav", 0.5), half, atol=1e-4)


@pytest.mark.parametrize("coding", ["01", "10"])
def test_sphere_in_both_byte_orders_under_the_name_of_a_wav(tmp_path, coding):
    path = tmp_path / "SA1.WAV"
    content = SAMPLES.astype("<i2" if coding == "01" else ">i2").tobytes()
    path.write_bytes(sphere(content, len(SAMPLES), "pcm", coding))
    np.testing.assert_array_equal(decode(path), scaled(SAMPLES))


def test_sphere_with_shorten_in_it(tmp_path, monkeypatch):
    samples, path = SAMPLES[:10240], tmp_path / "SA1.WAV"
    path.write_bytes(sphere(shortened(samples), len(samples), "pcm,embedded-shorten-v2.00", "01"))
    np.testing.assert_array_equal(decode(path), scaled(samples))
    monkeypatch.setattr(decoding, "av", None)
    assert "it needs PyAV: pip install av" in refusal(path)


def test_m4a_without_its_decoder(tmp_path, monkeypatch):
    path = write(tmp_path / "00001.m4a", WAVE)
    monkeypatch.setattr(decoding, "av", None)
    assert "it needs PyAV: pip install av" in refusal(path)
    path = tmp_path / "damaged.wav"
    path.write_bytes(b"words " * 500)
    assert "PyAV" not in refusal(path)


def test_no_file_makes_libav_open_another(tmp_path, monkeypatch):
    path = tmp_path / "list.m4a"
    monkeypatch.setattr(decoding.av, "open", lambda *_, **__: pytest.fail("libav was asked"))
    for words in (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0",
    ):
        path.write_bytes(words * 50)
        assert refusal(path).startswith("list.m4a cannot be decoded (LibsndfileError")


def test_an_open_file_is_decoded_like_its_path(tmp_path):
    for name in ("a.wav", "b.flac", "c.m4a"):
        path = write(tmp_path / name, WAVE)
        with path.open("rb") as file:
            np.testing.assert_array_equal(decode(file, name=name), decode(path))


@pytest.mark.parametrize("order", ["<i2", ">i2"])
@pytest.mark.parametrize("level", [1.0, 0.1, 0.003])
def test_the_byte_order_of_headerless_files_is_heard(tmp_path, order, level):
    samples = np.round(WAVE * level * 32767).astype(np.int16)
    path = tmp_path / "an251-fash-b.raw"
    path.write_bytes(samples.astype(order).tobytes())
    np.testing.assert_array_equal(decode(path), scaled(samples))
    path.write_bytes(samples.astype(order).tobytes()[:-1])
    assert "an odd number of bytes" in refusal(path)


def test_damage_is_named(tmp_path):
    whole = write(tmp_path / "whole.flac", WAVE).read_bytes()
    for content in (b"", b"RIFF but no more", b"words " * 500, whole[:40]):
        path = tmp_path / "one.flac"
        path.write_bytes(content)
        assert refusal(path).startswith("one.flac cannot be decoded (")
    assert refusal(tmp_path / "none.wav").startswith("none.wav is missing")
    with pytest.raises(InputError, match=r"^a/none is missing"):
        decode(tmp_path / "none.wav", name="a/none")


# ---- the stretch that is used ------------------------------------------------------------------------------


def silence(samples):
    return 1e-4 * np.random.default_rng(1).standard_normal(samples)


def voice(samples):
    return tone(5, samples / 16000, 0)[:samples]


def test_a_long_recording_is_cut_where_most_is_said():
    waveform = np.concatenate([silence(4000), voice(3000), silence(12000), voice(20000), silence(4000)])
    row, start = excerpt(waveform, 16000)
    assert row.dtype == np.float32
    assert 19000 - 1024 <= start <= 19000
    np.testing.assert_array_equal(row, waveform[start : start + 16000].astype(np.float32))
    first = excerpt(np.concatenate([silence(4000), voice(40000)]), 16000)[1]
    assert 4000 - 1024 <= first <= 4000  # of equals the first


def test_a_short_recording_keeps_its_own_silence_before_zeros():
    waveform = np.concatenate([silence(6000), voice(12000), silence(6000)])
    row, start = excerpt(waveform, 16000)
    assert abs(start - 4000) < 600
    np.testing.assert_array_equal(row, waveform[start : start + 16000].astype(np.float32))
    row, start = excerpt(voice(12000), 16000)
    assert start == 0
    assert (row[:12000] != 0).mean() > 0.99
    assert not row[12000:].any()


def test_too_little_voice():
    for waveform in (
        np.concatenate([silence(8000), voice(8000), silence(8000)]),
        np.concatenate([voice(1500), silence(30000), voice(1500)]),  # two words far apart
    ):
        with pytest.raises(InputError, match=r"too short: 0\.\d\d s of voice; expected 0\.60 s"):
            excerpt(waveform, 16000)
    assert excerpt(np.concatenate([silence(8000), voice(10000), silence(8000)]), 16000)[0].any()


def test_a_peak_beyond_1_is_brought_down():
    row, _ = excerpt(4 * voice(16000), 16000)
    assert np.abs(row).max() == 1
    assert np.abs(excerpt(voice(16000), 16000)[0]).max() == pytest.approx(0.5, abs=0.02)  # others stay


def test_a_query_is_loaded_and_a_bad_one_named(tmp_path):
    tone = (8000 * np.sin(np.arange(4000) / 10)).astype(np.int16)
    wavfile.write(tmp_path / "me.wav", 8000, tone)
    assert audio.load_recording(str(tmp_path / "me.wav")).shape == (8000,)
    wavfile.write(tmp_path / "still.wav", 16000, 0 * tone)
    (tmp_path / "text.wav").write_text("no sound")
    for name, said in (("none", "is missing"), ("still", "holds silence"), ("text", "cannot be decoded")):
        with pytest.raises(InputError, match=rf"^{name}\.wav {said}.*; expected a recording of speech"):
            audio.load_recording(tmp_path / f"{name}.wav")
