"""Recordings and corpora as people report them: each kind of fault, with inputs of several forms."""

import gzip
import io
import os
import pickle
import sys

import numpy as np
import pytest
import soundfile
from trees import RATE, tone

from helpers import InputError, augmentation, convert, quality
from helpers.app import uploads
from helpers.data import audio, corpora, decoding, pickles
from helpers.data.audio import decode, excerpt, load_recording

WAVE = tone(3)
WAVE -= WAVE.mean()
NOISE = np.random.default_rng(5).standard_normal((2, len(WAVE))).astype(np.float32)


def encoded(wave=WAVE, kind="WAV", coding=None, rate=RATE):
    """A waveform (samples,) or (samples, channels) as the bytes of a file that libsndfile writes."""
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind, subtype=coding)
    return file.getvalue()


def muxed(container, codec, rate=RATE, wave=WAVE, layout="mono", picture=False, given=RATE):
    """A waveform as the bytes of a file that libav writes; none (None) leaves a film without sound."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        if picture:
            film = output.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        if wave is not None:
            sound = output.add_stream(codec, rate=rate, layout=layout, bit_rate=64_000)
        if picture:
            output.mux(film.encode(av.VideoFrame(64, 64, "yuv420p")))
            output.mux(film.encode(None))
        if wave is not None:
            planes = np.ascontiguousarray(wave.reshape(len(wave), -1).T)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate = given
            size = sound.codec_context.frame_size
            resampler = av.AudioResampler(sound.format, layout, rate, frame_size=size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(sound.encode(part))
            output.mux(sound.encode(None))
    return file.getvalue()


def heard(content, wave=WAVE, slack=0, likeness=0.99):
    """What is decoded from bytes, when it is the waveform: its length, its level and its spectrum."""
    found = decode(io.BytesIO(content), name="x")
    assert abs(len(found) - len(wave)) <= slack
    spectra = [np.abs(np.fft.rfft(each, 1 << 16)) for each in (found, wave)]
    assert spectra[0] @ spectra[1] / np.linalg.norm(spectra[0]) / np.linalg.norm(spectra[1]) > likeness
    assert np.std(found) == pytest.approx(np.std(wave), rel=0.15)
    return found


def patched(content, mark, offset, new):
    """Bytes with others from `offset` after the first `mark` on."""
    start = content.index(mark) + offset
    return content[:start] + new + content[start + len(new) :]


def refusal(call, *arguments):
    with pytest.raises(InputError) as refused:
        call(*arguments)
    message = str(refused.value)
    assert message.isprintable()
    assert " at 0x" not in message
    return message


# ---- 2: a DC offset is no sound ----------------------------------------------------------------------------

OFFSETS = [0.003, 0.02, -0.1, 0.4]
LATE = np.concatenate([1e-3 * np.random.default_rng(6).standard_normal(2 * RATE), WAVE]).astype(np.float32)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("kind", "rate"), [("WAV", 16000), ("FLAC", 44100), ("mov", 48000), ("raw", 16000)])
def test_offset_is_taken_out_of_a_recording(tmp_path, offset, kind, rate):
    path, found = tmp_path / f"a.{kind}", []
    for wave in (tone(3, rate=rate), tone(3, rate=rate) + offset):
        samples = np.round(32767 * wave).astype(np.int16)
        if kind == "raw":
            path.write_bytes(samples.astype(">i2").tobytes())
        elif kind == "mov":
            path.write_bytes(muxed("mov", "pcm_s16le", rate, samples / np.float32(32768), given=rate))
        else:
            path.write_bytes(encoded(samples, kind, rate=rate))
        found.append(decode(path))
        assert abs(found[-1].mean()) < 1e-5
    np.testing.assert_allclose(*found, atol=2e-3)


@pytest.mark.parametrize("offset", OFFSETS)
def test_offset_counts_in_no_level(offset):
    shifted = (LATE + offset).astype(np.float32)
    plain, found = quality.measure_quality(LATE), quality.measure_quality(shifted)
    np.testing.assert_allclose(found, plain, rtol=1e-2, atol=0.02)
    np.testing.assert_array_equal(quality.speech_parts(shifted), quality.speech_parts(LATE))
    assert len(quality.trim_silence([shifted])[0]) == len(quality.trim_silence([LATE])[0]) < len(LATE)
    assert quality.spectrum_distance(shifted, LATE) < 0.1
    assert quality.telephone_share([0.01 * LATE + offset]) == quality.telephone_share([LATE]) == 0
    row, start = excerpt(shifted, RATE)
    assert start == excerpt(LATE, RATE)[1] >= 2 * RATE
    assert abs(row.mean()) < 1e-4
    noisy = [augmentation.add_noise(each[None], LATE[None, ::-1] + offset, 6)[0] for each in (LATE, shifted)]
    np.testing.assert_allclose(noisy[1] - noisy[0], offset, atol=1e-3)
    clipped = [augmentation.clip_peaks(each, None) for each in (LATE, shifted)]
    np.testing.assert_allclose(*clipped, atol=1e-3)


@pytest.mark.parametrize("offset", [0, 0.2, -0.2])
def test_offset_hides_no_clipping(offset):
    rails = np.where(np.arange(4000) % 90 < 30, 0.7, -0.7)
    (_, finite), (_, silent), (clipped, _) = corpora.find_faults((rails + offset)[None])
    assert (finite[:3], silent[:3], clipped.tolist()) == ("not", "sil", [True])
    assert quality.measure_quality(rails + offset).clipped == 1


def test_offset_of_a_course_pickle_and_of_a_mapped_array(tmp_path):
    rows = speech(6)
    (shifted := rows.copy())[[1, 4]] += [[0.02], [-0.3]]
    found = corpora.load_utterances(saved(tmp_path / "trs.pkl", shifted), 3).waveforms
    np.testing.assert_allclose(found, rows / max(1, np.abs(rows).max()), atol=1e-6)
    integers = np.round(20000 * shifted).astype(np.int16)
    found = corpora.load_utterances(saved(tmp_path / "trs.pkl", integers), 3).waveforms
    np.testing.assert_allclose(found, rows * 20000 / 32768, atol=1e-4)
    np.save(tmp_path / "trs.npy", (shifted / 2).astype(np.float32))
    said = refusal(corpora.load_utterances, tmp_path / "trs.npy", 3)
    assert said.startswith(
        "trs.npy has 2 of 6 rows with a DC offset, a mean beyond 0.001 (without: array -= "
    )
    assert ": 1, 4 (counted from 0); expected" in said


# ---- 3: channels of opposite phase -------------------------------------------------------------------------

STEREO = {
    "exact": (WAVE, -WAVE),
    "with noise": (WAVE + 0.02 * NOISE[0], -WAVE + 0.02 * NOISE[1]),
    "not as loud": (0.7 * WAVE, -WAVE),
    "with an offset": (WAVE + 0.1, 0.2 - WAVE),
    "beside nothing but an offset": (WAVE, -WAVE, 0 * WAVE + 0.9),
    "four channels": (WAVE, -WAVE, WAVE, -WAVE),
}


@pytest.mark.parametrize("kind", ["WAV", "mov"])
@pytest.mark.parametrize("case", STEREO)
def test_opposite_phase_leaves_the_loudest_channel(case, kind):
    channels = np.stack(STEREO[case], axis=1).astype(np.float32)
    if kind == "mov":
        layout = {2: "stereo", 3: "2.1", 4: "quad"}[channels.shape[1]]
        heard(muxed("mov", "pcm_s16le", wave=channels, layout=layout), likeness=0.98)
    else:
        heard(encoded(channels), likeness=0.98)


@pytest.mark.parametrize(
    ("channels", "mean"),
    [
        ((WAVE, 0 * WAVE), WAVE / 2),
        ((0 * WAVE, WAVE, 0 * WAVE), WAVE / 3),
        ((WAVE, 0.1 * NOISE[0]), WAVE / 2 + 0.05 * NOISE[0]),
        ((WAVE, WAVE), WAVE),
    ],
    ids=["one silent", "two silent", "unlike", "alike"],
)
def test_other_channels_are_averaged(channels, mean):
    found = decode(io.BytesIO(encoded(np.stack(channels, axis=1), coding="FLOAT")), name="x")
    np.testing.assert_allclose(found, mean - mean.mean(), atol=1e-5)


SPOILT = {
    "2 offset": lambda wave, noise: wave + 0.02,
    "2 offset and room noise": lambda wave, noise: wave + noise - 0.03,
    "2 large offset": lambda wave, noise: wave + 0.3,
    "3 opposite phase": lambda wave, noise: np.stack([wave, -wave], axis=1),
    "3 opposite phase and room noise": lambda wave, noise: np.stack(
        [wave + noise, noise[::-1] - wave], axis=1
    ),
}


@pytest.mark.parametrize("form", SPOILT)
def test_rows_of_a_converted_corpus_are_speech(tmp_path, form):
    for speaker in range(6):
        for number in range(6):
            wave = np.concatenate([np.zeros(2 * RATE), tone(6 * speaker + number, 1.6)])
            noise = 2e-3 * np.random.default_rng([speaker, number]).standard_normal(len(wave))
            path = tmp_path / "corpus" / f"s{speaker}" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(SPOILT[form](wave, noise)))
    small = ["--train-speakers", "3", "--test-speakers", "3", "--utterances", "6", "--workers", "1"]
    assert convert.main([str(tmp_path / "corpus"), "--out", str(tmp_path / "out"), *small]) == 0
    for corpus in corpora.load_course(tmp_path / "out", 6):
        assert corpus.waveforms.shape[0] == 18
        assert np.abs(corpus.waveforms.mean(axis=1)).max() < 1e-3
        assert (corpus.waveforms.std(axis=1) > 0.05).all()  # of speech, not of the room


# ---- 4, 5, 6, 21: lengths that are not said, codings that cannot be sought in, other formats ---------------


def endless(flac):
    """FLAC that says no length, as an encoder writes it into a pipe: 36 bits of its header are zero."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def cut_off(content):
    """WAV as a recorder leaves it that is cut off: no length of the samples nor of the whole."""
    return patched(patched(content, b"data", 4, bytes(4)), b"RIFF", 4, bytes(4))


def padded(content):
    """A WAV with 9,000 bytes before its samples, as field recorders write."""
    start = content.index(b"data")
    return content[:start] + b"JUNK" + (9000).to_bytes(4, "little") + bytes(9000) + content[start:]


OF_LIBSNDFILE = {
    "4 FLAC of unknown length": lambda: endless(encoded(kind="FLAC")),
    "4 FLAC of unknown length, 24 bits": lambda: endless(encoded(kind="FLAC", coding="PCM_24")),
    "4 FLAC of unknown length, stereo": lambda: endless(encoded(np.stack([WAVE, WAVE], 1), "FLAC")),
    "4 AU of unknown length": lambda: patched(encoded(kind="AU"), b".snd", 8, b"\xff" * 4),
    "4 WAV of unknown length": lambda: patched(encoded(), b"data", 4, b"\xff" * 4),
    "5 GSM 6.10 in WAV": lambda: encoded(coding="GSM610"),
    "5 GSM 6.10 in W64": lambda: encoded(kind="W64", coding="GSM610"),
    "5 GSM 6.10 in AIFF": lambda: encoded(kind="AIFF", coding="GSM610"),
    "5 G.721 in AU": lambda: encoded(kind="AU", coding="G721_32"),
    "5 ALAC in CAF": lambda: encoded(kind="CAF", coding="ALAC_16"),
    "firm RF64": lambda: encoded(kind="RF64"),
    "firm W64": lambda: encoded(kind="W64"),
    "firm mu-law": lambda: encoded(coding="ULAW"),
    "firm ADPCM": lambda: encoded(coding="MS_ADPCM"),
}
OF_LIBAV = {
    "4 CAF of unknown length": lambda: patched(encoded(kind="CAF"), b"data", 4, b"\xff" * 8),
    "6 WAV of length 0": lambda: patched(encoded(), b"data", 4, bytes(4)),
    "6 WAV of length 0, cut off": lambda: cut_off(encoded()),
    "6 WAV of length 0, cut off, padded": lambda: padded(cut_off(encoded())),
    "6 WAV of length 0, float": lambda: cut_off(encoded(coding="FLOAT")),
    "6 WAV of length 0, 24 bits": lambda: cut_off(encoded(coding="PCM_24")),
    "6 WAV of length 0, stereo": lambda: cut_off(encoded(np.stack([WAVE, WAVE], 1))),
    "6 WAV of length 0, extensible": lambda: cut_off(encoded(kind="WAVEX")),
    "21 IMA4 in CAF": lambda: muxed("caf", "adpcm_ima_qt"),
    "AC-3 in WAV": lambda: muxed("wav", "ac3", 48000),
    "PCM in MOV": lambda: muxed("mov", "pcm_s16le"),
    "PCM in MOV without ftyp": lambda: muxed("mov", "pcm_s16le")[20:],
    "Opus in Matroska": lambda: muxed("matroska", "libopus", 48000),
    "AAC in 3GP": lambda: muxed("3gp", "aac"),
    "AMR": lambda: muxed("amr", "libopencore_amrnb", 8000),
    "WMA": lambda: muxed("asf", "wmav2"),
    "film": lambda: muxed("mp4", "aac", picture=True),
}


@pytest.mark.parametrize("case", OF_LIBSNDFILE)
def test_what_libsndfile_reads_needs_nothing_else(case, monkeypatch):
    monkeypatch.setattr(decoding, "av", None)
    content = OF_LIBSNDFILE[case]()
    found = heard(content, slack=300)
    clip = io.BytesIO(content)
    assert len(load_recording(clip, "x", 120)) == len(found)
    assert len(decode(clip, 0.5, "x")) == 8000


@pytest.mark.parametrize("case", OF_LIBAV)
def test_what_libsndfile_cannot_read_libav_does(case, monkeypatch):
    content = OF_LIBAV[case]()
    found = heard(content, slack=3000, likeness=0.9)
    assert len(load_recording(io.BytesIO(content), "x", 120)) == len(found)
    monkeypatch.setattr(decoding, "av", None)
    assert "needs PyAV: pip install av); expected" in refusal(decode, io.BytesIO(content), None, "x")


@pytest.mark.parametrize("rest", [b"", b"LIST" + (4000).to_bytes(4, "little") + b"INFO" + bytes(3996)])
def test_a_wav_without_samples_stays_empty(rest):
    said = refusal(load_recording, io.BytesIO(patched(encoded(), b"data", 4, bytes(4))[:44] + rest), "a.wav")
    assert said.startswith("a.wav holds 0 samples; expected")


def test_a_film_without_sound_is_told():
    said = refusal(decode, io.BytesIO(muxed("mp4", None, wave=None, picture=True)), None, "film.mp4")
    assert said.startswith("film.mp4 cannot be decoded (no sound in it); expected")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: muxed("ipod", "aac")[:3000], "InvalidDataError: Invalid data found when processing input"),
        (lambda: encoded()[:30], "LibsndfileError: Error in WAV file. No 'data' chunk marker."),
        (lambda: encoded(kind="FLAC")[:30000], "LibsndfileError: Error : flac decoder lost sync."),
    ],
    ids=["M4A", "WAV", "FLAC"],
)
def test_a_damaged_file_is_told_by_the_decoder_that_knows_it(capfd, content, reason):
    said = refusal(decode, io.BytesIO(content()), None, "x")
    assert said.startswith(f"x cannot be decoded ({reason}); expected")
    assert "Traceback" not in capfd.readouterr().err


def test_more_channels_than_eight_are_read():
    wave = np.repeat(WAVE[:, None], 12, axis=1)
    for content in (encoded(wave), cut_off(encoded(wave))):
        np.testing.assert_allclose(decode(io.BytesIO(content), name="x"), WAVE, atol=1e-3)


# ---- 7, 1, 21: names and what lies beside ------------------------------------------------------------------

FORK = b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2\0\0\0\t\0\0\0\x32\0\0\x0e\xb0\0\0\0\2\0\0\x0e\xe2\0\0\1\x1e"


@pytest.mark.parametrize("kind", ["MP3", "WAV", "FLAC"])
def test_a_fork_of_a_mac_beside_a_recording_is_not_read(tmp_path, kind):
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(kind=kind))
    (tmp_path / f"._{path.name}").write_bytes(FORK + bytes(30))
    assert np.std(decode(path)) == pytest.approx(np.std(WAVE), rel=0.1)
    assert audio.list_recordings(tmp_path) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on this system")
@pytest.mark.parametrize("kind", ["WAV", "mov"])
def test_a_name_that_is_not_utf_8_is_read(tmp_path, kind):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_bytes(encoded() if kind == "WAV" else OF_LIBAV["PCM in MOV"]())
    assert len(decode(path)) == len(WAVE)
    path.write_bytes(b"no sound")
    assert refusal(decode, path).startswith("caf\\udce9.wav cannot be decoded (")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\nb.wav", "a\\nb.wav"),
        ("a\x1b[2Jb.wav", "a\\x1b[2Jb.wav"),
        ("z" * 200 + ".wav", "z" * 96 + ".wav"),
    ],
    ids=["a line break", "a control sequence", "long"],
)
def test_a_reason_is_one_line_behind_a_short_name(tmp_path, name, told):
    path = tmp_path / ("f" * 100) / ("g" * 100) / name
    path.parent.mkdir(parents=True)
    assert refusal(load_recording, path).startswith(f"{told} is missing; expected a recording")
    path.write_bytes(b"no sound in it" * 100)
    reason = "cannot be decoded (LibsndfileError: Format not recognised.); expected a recording of speech"
    assert refusal(load_recording, path).startswith(f"{told} {reason}")
    assert decoding.FORMATS in refusal(load_recording, path)
    path.write_bytes(encoded(0 * WAVE))
    assert refusal(load_recording, path).startswith(f"{told} holds silence")
    assert len(refusal(decode, tmp_path, None, str(path)).partition(" is missing")[0]) <= 110


# ---- lengths are told by headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            lambda: encoded(np.zeros(121 * RATE), "FLAC"),
            "is 121 s long, in 1 channel; expected 120 s at most",
        ),
        (lambda: muxed("mov", "pcm_s16le", wave=np.zeros(122 * RATE, "f4")), "is 122 s long, in 1 channel"),
        (lambda: encoded(np.zeros((2 * 96000, 8), "i2"), "FLAC", rate=96000), "is 2 s long, in 8 channels"),
        (
            lambda: endless(encoded(np.zeros((RATE, 8), "i2"), "FLAC", rate=96000)),
            "is of unknown length, in 8",
        ),
        (lambda: encoded(rate=1), "has 1 samples a second; expected 4,000 to 384,000"),
    ],
    ids=["FLAC", "MOV", "8 channels", "unknown, 8 channels", "rate"],
)
def test_what_is_too_long_is_not_decoded(monkeypatch, content, told):
    content = content()
    monkeypatch.setattr(decoding, "MOST_SAMPLES", 1_000_000)
    monkeypatch.setattr(decoding, "_read", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr(decoding.av, "AudioResampler", lambda *_, **__: pytest.fail("it was decoded"))
    for call in (uploads.read_clip, lambda name, content: load_recording(io.BytesIO(content), name, 120)):
        assert refusal(call, "hour.flac", content).startswith(f"hour.flac {told}")


def test_no_more_is_decoded_of_an_unknown_length():
    long = endless(encoded(np.tile(WAVE, 60), "FLAC"))
    assert len(load_recording(io.BytesIO(long), "x", 120)) == 121 * RATE
    assert "is 121 s long; expected 120 s at most" in refusal(uploads.read_clip, "x", long)


# ---- 15, 23, 25: the course's files ------------------------------------------------------------------------


def speech(rows=6, samples=1200, peak=0.9, seed=2):
    noise = np.random.default_rng(seed).normal(size=(rows, samples))
    noise -= noise.mean(axis=1, keepdims=True)
    return peak * noise / np.abs(noise).max()


def saved(path, content):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


def one_loud_row(rows, peak):
    rows[3] *= peak / np.abs(rows[3]).max()
    return rows


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (one_loud_row(speech(), 2.3), r"2\.3 in row 3"),
        (speech() / speech().std(), r"[3-5]\.\d+ in row \d"),
        (3 * speech() / speech().std(), r"1\d\.\d+ in row \d"),
        (one_loud_row(speech(), 300), "300 in row 3"),
        (one_loud_row(speech(), 20000), "20000 in row 3"),
        (speech(peak=200.5).astype(np.float32), r"200\.5 in row \d"),
        (one_loud_row(speech(peak=20000), 40000), "40000 in row 3"),
        (one_loud_row(speech(peak=20000), 40000).astype(int), "(39999|40000) in row 3"),
    ],
    ids=[
        "one row",
        "z-scored",
        "z-scored, tripled",
        "one at 300",
        "one of 16 bits",
        "near 16 bits",
        "beyond 16 bits",
        "integers beyond",
    ],
)
def test_floats_of_no_known_scale_are_named(tmp_path, rows, told):
    with pytest.raises(InputError, match=rf"^trs\.pkl has samples up to {told} \(counted from 0\); expected"):
        corpora.load_utterances(saved(tmp_path / "trs.pkl", rows), 3)


@pytest.mark.parametrize(
    "rows",
    [np.round(speech(peak=30)), speech(peak=300), speech(peak=32000).astype(np.float32)],
    ids=["whole numbers", "soft", "loud"],
)
def test_floats_that_are_16_bit_samples_are_scaled(tmp_path, rows):
    found = corpora.load_utterances(saved(tmp_path / "trs.pkl", rows), 3).waveforms
    np.testing.assert_allclose(found, rows / 32768, atol=1e-7, rtol=1e-5)


def course_of(folder, train, test, ending):
    for name, rows in (("trs", train), ("tes", test)):
        if ending == "npy":
            np.save(folder / f"{name}.npy", rows.astype(np.float32))
        else:
            saved(folder / f"{name}.pkl", rows.astype(np.float32))
    return folder


@pytest.mark.parametrize("ending", ["pkl", "npy"])
def test_files_that_share_recordings_are_refused(tmp_path, ending):
    train, other = speech(8, 3000), speech(8, 3600, seed=3)
    for rows in (train, other):
        rows[:, 900:2100] = 0  # silence in the middle is alike in all of them
        rows -= rows.mean(axis=1, keepdims=True) * (rows != 0) * rows.shape[1] / (rows.shape[1] - 1200)
    corpora.load_course(course_of(tmp_path, train, other, ending), 2)
    expected = (
        f"trs.{ending} and tes.{ending} share 8 recordings: row 0 of trs.{ending} is row 0 of tes.{ending}"
    )
    said = refusal(corpora.load_course, course_of(tmp_path, train, train, ending), 2)
    assert said.startswith(f"{expected}, row 1 of")
    assert said.endswith(", … (counted from 0); expected different speakers")
    other[5, :3000] = 0.3 * train[2] + 0.05 * (ending == "pkl")  # another gain and offset
    other[5, 3000:] = other[5, :3000].mean()
    other[5] -= other[5].mean() * (ending == "npy")
    said = refusal(corpora.load_course, course_of(tmp_path, train, other, ending), 2)
    assert f" share 1 recordings: row 2 of trs.{ending} is row 5 of tes.{ending} (counted from 0);" in said


@pytest.mark.parametrize("second", ["a.wav", "./a.wav", "b.wav", "c.flac"])
def test_a_table_may_not_name_a_recording_twice(tmp_path, second):
    samples = np.round(20000 * WAVE).astype(np.int16)
    for name in ("a.wav", "b.wav", "c.flac"):
        (tmp_path / name).write_bytes(encoded(samples, name[2:].upper()))
    (tmp_path / "utterances.csv").write_text(f"path,speaker\na.wav,s0\n{second},s1\n")
    said = refusal(corpora.load_recordings, tmp_path)
    assert f"has one recording twice: a.wav and {second}; expected a table" in said


def test_fortran_order_is_named(tmp_path):
    np.save(tmp_path / "trs.npy", np.asfortranarray(speech().astype(np.float32)))
    said = refusal(corpora.load_utterances, tmp_path / "trs.npy", 3)
    order = "is in Fortran order (in C order: np.save(path, np.ascontiguousarray(array)))"
    assert said.startswith(f"trs.npy {order}; expected a 2-D array")


NO_PICKLES = {
    "gzip": (gzip.compress(pickle.dumps(speech())), "is compressed with gzip: unpack it first"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer .*: run git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html><html>", r"is a web page \(HTML\)"),
    "HTML, old": (b"<HTML><head>", r"is a web page \(HTML\)"),
    "dict": (pickle.dumps({"x": speech(), "y": 1}), r"holds a Python dict \(SETITEMS at byte \d+\)"),
    "set": (pickle.dumps({1, 2}), r"holds a Python set \(ADDITEMS"),
    "CRLF": (pickle.dumps(speech(), 0).replace(b"\n", b"\r\n"), r"its line ends were changed \(CRLF\)"),
    "CRLF, rows": (pickle.dumps([[0.5, 0.1]] * 9, 0).replace(b"\n", b"\r\n"), r"were changed \(CRLF\)"),
}


@pytest.mark.parametrize("case", NO_PICKLES)
def test_what_is_no_pickle_is_told_for_what_it_is(tmp_path, case):
    content, told = NO_PICKLES[case]
    with pytest.raises(InputError, match=rf"^trs\.pkl {told}|^trs\.pkl .*{told}") as refused:
        pickles.read_array(saved(tmp_path / "trs.pkl", content))
    assert "hostile" not in str(refused.value)


# ---- 24: a folder of one person's clips --------------------------------------------------------------------


def test_other_files_in_a_folder_of_clips_are_passed_over(tmp_path):
    for name in ("Thumbs.db", "desktop.ini", "README.txt", ".DS_Store", "._a.wav", "cover.jpg", "list.csv"):
        (tmp_path / name).write_bytes(b"x")
    said = refusal(audio.list_recordings, tmp_path)
    assert (
        f"has no recording among its 5 files; expected recordings of one person, as {decoding.FORMATS}"
        in said
    )
    names = ["a.wav", "b.WAV", "c.m4a", "d.caf", "e.amr"]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in audio.list_recordings(tmp_path)] == names
