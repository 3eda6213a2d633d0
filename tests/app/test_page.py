"""What the app is made of, without a browser: what is taken in and told, what an error costs, who may ask."""

import asyncio
import io
import socket
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers import SAMPLE_RATE, InputError, augmentation, quality, verify
from helpers.app import costs, markup, page, recorder, server, uploads
from helpers.data import corpora, decoding, synthesis
from helpers.features import Spectrogram

NAME = "<img src=x onerror=alert(1)>.wav"


def talk(seconds=3.0, rate=16_000, seed=0):
    """Bursts of noise with pauses: fit to be judged, though nobody speaks."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * rate)) / rate
    loud = np.where(time % 1 < 0.8, 0.2, 0.0005)
    return (loud * rng.normal(size=len(time)).clip(-3, 3)).astype(np.float32)


def sound(waveform, kind="WAV", rate=16_000):
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=kind)
    return file.getvalue()


def refusal(content, name="a.wav"):
    with pytest.raises(InputError) as refused:
        uploads.read_clip(name, content)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_pages_that_are_asked_for_at_once_are_counted_too(monkeypatch):
    async def start(self, **kwargs):
        await asyncio.sleep(0.01)
        return "a kernel"

    async def ask(kernels):
        first = await asyncio.gather(*[kernels.start_kernel() for _ in range(3)], return_exceptions=True)
        return first, await kernels.start_kernel()

    monkeypatch.setattr(server.AsyncMappingKernelManager, "start_kernel", start)
    first, later = asyncio.run(ask(server.LimitedKernels(most=2)))
    assert (first[:2], later) == (["a kernel"] * 2, "a kernel")
    assert (first[2].status_code, "open 2 times" in first[2].log_message) == (503, True)


def test_fewer_pages_than_one_are_none(capsys):
    assert server.main(["--pages", "0"]) == 2
    assert capsys.readouterr().err == "--pages 0; expected 1 or more\n"


@pytest.mark.parametrize("knows", [True, False])
def test_the_page_takes_what_its_model_can_judge(knows):
    clips = page.Clips(SimpleNamespace(trained_on_calls=knows, spectrogram=Spectrogram()), lambda: None)
    content = {True: sound(augmentation.telephone_call(talk(), None)), False: sound(talk())}
    clips.take("ours.wav", content[knows])
    with pytest.raises(InputError, match=r"theirs\.wav has"):
        clips.take("theirs.wav", content[not knows])
    assert [clip.name for clip in clips.accepted] == ["ours.wav"]


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_clip_of_every_kind_is_taken(kind):
    clip = uploads.read_clip("folder/my voice", sound(talk(), kind))
    assert clip.name == "my voice"
    assert clip.waveform.dtype == np.float32
    assert abs(len(clip.waveform) - 48_000) < 2000
    assert abs(clip.quality.speech_seconds - 2.4) < 0.3


def test_what_is_no_recording_is_refused_in_one_line(monkeypatch):
    assert refusal(b"") == f"a.wav is empty; expected {uploads.EXPECTED}"
    assert refusal(b"no sound" * 200).startswith("a.wav cannot be decoded (LibsndfileError: ")
    flac = sound(talk(), "FLAC")
    assert refusal(flac[:30], "b.flac").startswith("b.flac cannot be decoded (")
    assert "cannot be decoded" in refusal(flac[: len(flac) // 2], "b.flac")
    assert "holds silence" in refusal(sound(np.zeros(16_000)))
    call = sound(augmentation.telephone_call(talk(), None))
    assert "has nothing above 4 kHz, like a telephone call" in refusal(call)
    assert uploads.read_clip("a.wav", call, calls=True).quality.high < quality.NARROW
    assert "too noisy" in refusal(sound(0.1 * np.random.default_rng(0).normal(size=32_000)))
    monkeypatch.setattr(uploads, "LARGEST", 2**20)
    assert refusal(b"0" * 2**21) == "a.wav has 2 MB; expected 1 MB at most"


def test_a_few_bytes_that_hold_hours_are_not_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "_read", lambda *_: pytest.fail("it was decoded"))
    bomb = sound(np.zeros(4 * 60 * 16_000, np.float32), "FLAC")
    assert len(bomb) < 100_000
    assert (
        refusal(bomb, "b.flac") == "b.flac is 240 s long, in 1 channel; expected 120 s at most, in one or two"
    )
    wide = sound(np.zeros((60 * 96_000, 8), np.int16), "FLAC", 96_000)[:8000]
    monkeypatch.setattr(decoding, "MOST_SAMPLES", 40_000_000)
    assert "is 60 s long, in 8 channels" in refusal(wide)
    assert "has 1 samples a second" in refusal(sound(talk(), rate=1))


def test_a_decoder_s_failure_is_not_handed_to_other_programs(monkeypatch):
    import audioread

    monkeypatch.setattr(audioread, "audio_open", lambda *_: pytest.fail("another decoder was tried"))
    flac = sound(talk(), "FLAC")
    assert "cannot be decoded" in refusal(flac[: len(flac) // 2], "b.flac")


def test_names_are_told_without_paths_and_controls():
    assert uploads.plain_name("../../etc/passwd") == "passwd"
    assert uploads.plain_name("C:\\voices\\anna.wav") == "anna.wav"
    assert (
        uploads.plain_name("a\u202e\nvaw.exe") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}vaw.exe"
    )
    assert uploads.plain_name("..") == ".."
    assert uploads.plain_name("") == "a clip"
    long = uploads.plain_name("x" * 5000 + ".wav")
    assert len(long) == 40
    assert long.endswith("x.wav")


def test_what_is_shown_is_escaped():
    clip = uploads.read_clip(NAME, sound(talk(1.0)))
    clip = clip._replace(remarks=["<b>short</b>"])
    told = markup.clip_html(clip, Spectrogram())
    assert told.count("&lt;img src=x onerror=alert(1)&gt;.wav") == 3
    assert "<img src=x" not in told
    assert "<b>" not in told
    told = markup.verdict_html(verify.Verdict(False, -3.0, 0.05, 0.0, [f"{NAME} is short"], []))
    assert "Different people: the probability of one person is 5 %." in told
    assert "&lt;img src=x onerror=alert(1)&gt;.wav is short." in told
    assert "<img" not in told
    facts = {"corpus": NAME, "speakers_train": 3}
    assert "<img" not in markup.limits_html(SimpleNamespace(facts=facts))


def test_the_limits_are_those_of_the_model():
    said = {}
    for name in (synthesis.NAME, verify.NAME, "mine"):
        said[name] = markup.limits_html(SimpleNamespace(facts={"corpus": name, "speakers_train": 50}))
        assert "{" not in said[name]
    assert "50 synthesised voices.</b> With 39 other people it was wrong in 11 of 100" in said[synthesis.NAME]
    assert "It was trained on 85 Mandarin speakers</b>" in said[verify.NAME]
    assert "It was trained on 50 people</b> (mine)" in said["mine"]
    assert verify.training_corpus(verify.PEOPLE) == verify.NAME


def test_the_input_keeps_to_its_limits_whatever_the_browser_sends(monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 1000)
    taken = []
    widget = recorder.ClipInput(lambda *clip: taken.append(clip))

    def send(kind, *buffers, **message):
        widget._receive(
            widget, {"kind": kind, "name": "a.wav", **message}, [memoryview(each) for each in buffers]
        )

    send("piece", b"1" * 600)
    send("piece", b"2" * 400)
    send("whole", size=1000)
    assert taken == [("a.wav", b"1" * 600 + b"2" * 400)]
    for _ in range(50):
        send("piece", b"3" * 600)
    assert len(b"".join(widget.pieces)) <= 1000
    send("whole", size=10)
    assert len(taken) == 1
    assert "a.wav has" in widget.said
    send("start")
    assert widget.said == ""
    send("whole", size=0)
    assert widget.said.startswith("a.wav is empty")
    send("nonsense")
    assert widget.doing == ""


def test_whatever_taking_raises_is_a_line():
    def take(name, content):
        raise RuntimeError("boom\nsecond line")

    widget = recorder.ClipInput(take)
    widget._receive(widget, {"kind": "piece", "name": "a"}, [b"1"])
    widget._receive(widget, {"kind": "whole", "name": "a", "size": 1}, [])
    assert widget.said == "a: RuntimeError: boom"
    assert widget.doing == ""


def test_costs_of_an_operating_point_and_its_neighbours():
    scores = np.array([-3.0, -1.0, 1.0, 3.0, -2.5, -1.5, 0.5, 5.0])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert costs.error_shares(scores, labels, 0.0) == (0.5, 0.5)
    assert costs.error_shares(scores, labels, 1.0) == (0.75, 0.5)  # a score at the threshold is accepted
    assert costs.error_shares(scores, labels, 0.5) == (0.5, 0.5)
    table = {each.name: each for each in costs.operating_points(scores, labels, 0.0, 0.2, 10, 2)}
    assert table["as set"][1:] == (0.0, 100.0, 400.0, 1800.0)
    assert table["stricter"][1:] == (2.0, 150.0, 200.0, 1900.0)
    assert table["laxer"][1:] == (-2.0, 50.0, 600.0, 1700.0)
    assert table["nobody let in"][2:] == (200.0, 0.0, 2000.0)
    assert table["everybody let in"][2:] == (0.0, 800.0, 1600.0)


def test_a_recording_is_played_only_where_it_is_the_voice_s_own():
    voices = np.eye(3, dtype=np.float32)
    test = corpora.Recordings("c", [np.full(3, i) for i in range(3)], np.arange(3), pd.DataFrame())
    index = SimpleNamespace(embeddings=np.stack([voices[2], 0.5 * voices[0]]))
    known = costs.ReferenceVoices(index, test, voices)
    assert known.sound(0).tolist() == [2, 2, 2]
    assert known.sound(1) is None


def test_speech_is_marked_apart_from_pauses():
    parts = quality.speech_parts(talk(3.0)) / SAMPLE_RATE
    assert len(parts) == 3
    np.testing.assert_allclose(parts[1], [1.0, 1.8], atol=0.06)


def test_only_this_machine_is_listened_to_unless_told_otherwise():
    assert server.LOOPBACK == "127.0.0.1"
    assert [server.is_loopback(each) for each in ("127.0.0.1", "localhost", "::1")] == [True] * 3
    assert [server.is_loopback(each) for each in ("0.0.0.0", "", "192.168.1.2", "::")] == [False] * 4
    config = server.settings("127.0.0.1", 8866, False, pages=2)
    assert server.LimitedKernels(config=config).most == 2
    assert config.Voila.ip == "127.0.0.1"
    assert not config.Voila.tornado_settings["allow_remote_access"]
    assert server.settings("0.0.0.0", 8866, False).Voila.tornado_settings["allow_remote_access"]
    assert config.VoilaConfiguration.strip_sources
    assert not config.VoilaConfiguration.show_tracebacks
    assert config.Voila.tornado_settings["websocket_max_message_size"] < uploads.LARGEST


def test_a_taken_port_is_reported_in_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert server.main(["--port", str(port), "--no-browser"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"port {port} of 127.0.0.1 cannot be listened on (")
        assert said.count("\n") == 1
    assert server.free_port("127.0.0.1", 0) > 0
    for port, address in ((70_000, "127.0.0.1"), (-1, "127.0.0.1"), (0, "203.0.113.5")):
        with pytest.raises(InputError, match="cannot be listened on"):
            server.free_port(address, port)


def test_clips_longer_than_quality_allows_are_the_page_s_limit():
    assert f"{quality.LONGEST:.0f} s" in markup.limits_html(SimpleNamespace(facts={}))


def test_a_corpus_that_is_mapped_is_known(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 2000)).astype(np.float32)
    noise -= noise.mean(axis=1, keepdims=True)
    for part in ("trs", "tes"):
        np.save(tmp_path / f"{part}.npy", noise)
        pd.DataFrame({"speaker": ["a", "a", "b", "b"]}).to_csv(tmp_path / f"{part}.csv", index=False)
    monkeypatch.setattr(costs, "embed_recordings", lambda verifier, waveforms: np.eye(len(waveforms)))
    monkeypatch.setattr(costs.voice_index.VoiceIndex, "load", lambda *_: SimpleNamespace())
    known = costs.load_reference_voices(None, tmp_path, tmp_path)
    np.testing.assert_array_equal(np.stack(known.test.waveforms), noise)
    assert known.test.labels.tolist() == [0, 0, 1, 1]
