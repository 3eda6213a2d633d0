"""Published trial lists: read, found in whatever folder and format, each recording embedded once."""

import json

import numpy as np
import pytest
from trees import tone, write

from helpers import PROJECT, InputError, metrics
from helpers.evaluation.trial_lists import figures, find_recordings, main, read_trials, score_trials
from helpers.verifier import embed_recordings, load_verifier

LIST = """1 id10270/a/00001.wav id10270/b/00002.wav
0 id10270/a/00001.wav id10300/c/00001.wav

0 id10300/c/00001.wav id10270/b/00002.wav
1 id10300/c/00001.wav id10300/d/00003.wav
"""
NAMES = ["id10270/a/00001.wav", "id10270/b/00002.wav", "id10300/c/00001.wav", "id10300/d/00003.wav"]


@pytest.fixture
def corpus(tmp_path):
    """Four recordings of two voices, in a folder and in formats that the list does not name."""
    folder = tmp_path / "vox1"
    for name in NAMES:
        write(folder / "test" / "wav" / name.replace(".wav", ".flac"), tone(int(name[4]), 1.3))
    (tmp_path / "veri_test.txt").write_text(LIST)
    return folder


class Spectra:
    """Stands in for a verifier: spectra compared by their cosine; notes how many waveforms were embedded."""

    def __init__(self):
        self.heard = []

    def embed(self, waveforms):
        self.heard.append(len(waveforms))
        found = np.stack([np.abs(np.fft.rfft(wave, 4096))[:64] for wave in waveforms])
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def pair_scores(self, first, second):
        return np.sum(first * second, axis=1)


def test_a_list_is_read(tmp_path, corpus):
    trials = read_trials(tmp_path / "veri_test.txt")
    assert trials["label"].tolist() == [1, 0, 0, 1]
    assert trials["first"].tolist()[:2] == [NAMES[0]] * 2
    assert trials["second"].tolist() == [NAMES[1], NAMES[2], NAMES[1], NAMES[3]]
    for content, said in (
        (LIST + "2 a b", "trial 5"),
        (LIST + "1 a", "has 1 a as trial 5"),
        ("\n", "no trials"),
        (None, "cannot be read"),
    ):
        path = tmp_path / "broken.txt"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputError, match=rf"^broken\.txt .*{said}.*; expected lines of 0 or 1"):
            read_trials(path)


def test_recordings_are_found_where_they_are(corpus):
    places = find_recordings(NAMES, corpus)
    assert places[NAMES[3]] == corpus / "test" / "wav" / "id10300" / "d" / "00003.flac"
    direct = write(corpus / NAMES[0], tone())
    assert find_recordings(NAMES, corpus)[NAMES[0]] == direct
    places[NAMES[3]].unlink()
    with pytest.raises(
        InputError, match=r"^1 of 4 recordings are not in vox1: id10300/d/00003\.wav; expected all"
    ):
        find_recordings(NAMES, corpus)


@pytest.mark.parametrize(
    "content",
    ["\ufeff" + LIST, LIST.replace("\n", "\r\n"), LIST.replace("/", "\\"), LIST.replace(" ", "\t")],
    ids=["byte order mark", "line ends of Windows", "backslashes", "tabs"],
)
def test_lists_in_the_forms_of_other_programs(tmp_path, corpus, content):
    (tmp_path / "mine.txt").write_bytes(content.encode())
    trials = read_trials(tmp_path / "mine.txt")
    assert trials["label"].tolist() == [1, 0, 0, 1]
    names = sorted({*trials["first"], *trials["second"]})
    for place in (corpus, corpus / "test" / "wav"):
        found = [
            path.relative_to(corpus / "test" / "wav")
            for path in map(find_recordings(names, place).get, names)
        ]
        assert [path.with_suffix(".wav").as_posix() for path in found] == NAMES


def test_a_list_in_utf16_is_refused_in_one_line(tmp_path):
    (tmp_path / "list.txt").write_bytes(LIST.encode("utf-16"))
    with pytest.raises(
        InputError, match=r"^list\.txt cannot be read \(no text in UTF-8: .*; expected lines of 0"
    ):
        read_trials(tmp_path / "list.txt")


def test_a_name_that_may_mean_several_recordings(tmp_path):
    for speaker in ("anna", "ben"):
        write(tmp_path / "voices" / speaker / "a" / "b" / "1.flac", tone())
    with pytest.raises(
        InputError,
        match=r"^1 of 1 recordings are more than once in voices: a/b/1\.wav; expected paths that tell",
    ):
        find_recordings(["a/b/1.wav"], tmp_path / "voices")
    assert len(find_recordings(["anna/a/b/1.flac", "ben/a/b/1.flac"], tmp_path / "voices")) == 2


def test_a_recording_of_no_use_is_named_by_its_path_in_the_list(tmp_path, corpus):
    (corpus / "test" / "wav" / "id10300" / "d" / "00003.flac").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"^id10300/d/00003\.wav cannot be decoded"):
        score_trials(read_trials(tmp_path / "veri_test.txt"), corpus, Spectra())


def test_each_trial_is_scored_and_each_recording_embedded_once(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr("helpers.evaluation.trial_lists.BATCH", 3)
    monkeypatch.setattr("helpers.evaluation.trial_lists.TRIALS", 3)
    verifier, trials = Spectra(), read_trials(tmp_path / "veri_test.txt")
    scores = score_trials(trials, corpus, verifier)
    assert verifier.heard == [3, 1]
    cosines = metrics.cosine_scores(verifier.embed([tone(int(name[4]), 1.3) for name in NAMES]))
    np.testing.assert_allclose(
        scores, [cosines[0, 1], cosines[0, 2], cosines[2, 1], cosines[2, 3]], atol=1e-3
    )
    assert min(scores[[0, 3]]) > max(scores[1:3])


def test_the_published_figures():
    labels, scores = np.repeat([1, 0], [100, 900]), np.random.default_rng(0).normal(size=1000)
    scores[:100] += 2
    found = figures(scores, labels)
    assert (found["trials"], found["targets"]) == (1000, 100)
    assert found["eer"] == metrics.equal_error(scores, labels)[0]
    thresholds = np.append(scores, np.inf)[:, None]
    missed = (scores[:100] < thresholds).mean(axis=1)
    accepted = (scores[100:] >= thresholds).mean(axis=1)
    for prior in (0.01, 0.05):
        cost = (prior * missed + (1 - prior) * accepted).min() / prior
        assert found[f"min_dcf_{prior}"] == pytest.approx(cost)


@pytest.mark.slow
def test_the_command(tmp_path, corpus, capsys):
    model = PROJECT / "notebooks" / "models" / "siamese_gru.keras"
    arguments = ["--data", str(corpus), "--model", str(model), "--out", str(tmp_path / "out")]
    assert main([str(tmp_path / "veri_test.txt"), *arguments]) == 0
    assert capsys.readouterr().out.startswith("4 trials, 2 of them targets: EER ")
    assert json.loads((tmp_path / "out" / "veri_test.json").read_text())["trials"] == 4
    rows = (tmp_path / "out" / "veri_test.csv").read_text().splitlines()
    assert rows[0] == "label,first,second,score"
    assert rows[1].startswith(f"1,{NAMES[0]},{NAMES[1]},")
    verifier = load_verifier(model)
    own = verifier.scores(embed_recordings(verifier, [tone(int(name[4]), 1.3) for name in NAMES]))
    theirs = [float(row.split(",")[-1]) for row in rows[1:]]
    np.testing.assert_allclose(theirs, [own[0, 1], own[0, 2], own[2, 1], own[2, 3]], atol=0.05)
    assert main([str(tmp_path / "none.txt"), *arguments]) == 1
    assert capsys.readouterr().err.count("\n") == 1
