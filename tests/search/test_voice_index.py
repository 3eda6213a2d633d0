"""The index of voices: exact and approximate search, additions and removals, and what is refused on disk."""

import zipfile

import keras
import numpy as np
import pandas as pd
import pytest

from helpers import InputError
from helpers.data import corpora
from helpers.features import Spectrogram
from helpers.metrics import cosine_scores
from helpers.models import ScaledCosine, concatenate_encoders, gru_encoder
from helpers.plda import PLDA
from helpers.search import voice_index
from helpers.search.plda_distance import PLDADistance
from helpers.search.voice_index import VoiceIndex
from helpers.verifier import Verifier

SPECTROGRAM = Spectrogram(n_fft=256, hop_length=128)


def some_voices(speakers, each, seed=0):
    """Voices of length 1, as two encoders of 6 dimensions side by side give them, and their speakers."""
    rng = np.random.default_rng(seed)
    embeddings = np.repeat(rng.normal(size=(speakers, 12)), each, axis=0)
    embeddings += 0.5 * rng.normal(size=embeddings.shape)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype("float32"), np.repeat(np.arange(speakers), each)


def some_verifier(offset=-0.4, spectrogram=SPECTROGRAM, plda=None):
    """A small verifier, untrained; its PLDA knows of speakers in fewer directions than voices have."""
    keras.utils.set_random_seed(0)
    spectrograms = np.random.default_rng(0).normal(size=(4, 9, spectrogram.bins)).astype("float32")
    encoders = []
    for number in range(2):
        encoders.append(gru_encoder(spectrograms, bands=4, units=3, dimensions=6, stride=1))
        encoders[-1].name = f"encoder_{number}"
    embeddings, speakers = some_voices(5, 6)
    learnt = speakers > 0
    plda = plda or PLDA(2, 6).fit(embeddings[learnt], speakers[learnt])
    return Verifier(concatenate_encoders(encoders), plda, ScaledCosine(1.7, offset), spectrogram, 0.0)


@pytest.fixture(scope="module")
def verifier():
    return some_verifier()


VOICES, SPEAKERS = some_voices(8, 5, seed=1)
ASKED, _ = some_voices(8, 2, seed=2)


def table_of(speakers=SPEAKERS):
    return pd.DataFrame({"speaker": [f"s{each}" for each in speakers], "file": 'a "b",\nü.wav'})


@pytest.fixture
def index(verifier):
    return VoiceIndex(VOICES, table_of(), verifier)


# ---- scores as distances -----------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.parametrize("weights", [None, (0.7, 0.3), (1.0, 0.0), (1e-4, 0.9999)])
@pytest.mark.parametrize(("fitted", "directions"), [(True, 3), (False, 6)])
def test_the_likelihood_ratio_is_a_distance(fitted, directions, weights):
    verifier = some_verifier(plda=None if fitted else PLDA(2, 6))
    parts = 2 if weights is None else np.count_nonzero(weights)
    if weights:
        verifier.plda.weigh(weights)
    distance = PLDADistance(verifier)
    places, (aims, offsets) = distance.places(VOICES), distance.aims(ASKED)
    squares = ((aims[:, None] - places) ** 2).sum(axis=2)
    scores = offsets[:, None] + (aims**2).sum(axis=1)[:, None] / 2 - squares / 2
    expected = verifier.scores(ASKED, VOICES)
    np.testing.assert_allclose(scores, expected, atol=1e-3 * np.ptp(expected))
    # Four speakers were learnt from: they differ in three directions. A part that is left out has no place.
    assert places.shape[1] == parts * directions
    rows = VoiceIndex(VOICES, table_of(), verifier).search(ASKED, 5).rows
    np.testing.assert_array_equal(rows, np.argsort(-expected, axis=1)[:, :5])


@pytest.mark.parametrize(("weights", "numbers"), [((0.5, 0.5), 12), ((1.0, 0.0), 6)])
def test_an_unfitted_plda_searches_by_the_cosine(weights, numbers):
    """Each part scores its x'z less half the squares, and their weighted sum is stretched by the calibration:
    of all numbers the cosine, less 1, and of the first encoder's alone minus half the squared distance."""
    verifier = some_verifier(plda=PLDA(2, 6).weigh(weights))
    verifier.scale.w.assign(1 / weights[0])
    verifier.scale.b.assign(1.0)
    rows, scores = VoiceIndex(VOICES, table_of(), verifier).search(VOICES, 7)
    parts = VOICES[:, :numbers]
    matrix = 1 - ((parts[:, None] - parts) ** 2).sum(axis=2) / 2
    if numbers == 12:
        np.testing.assert_allclose(matrix, cosine_scores(VOICES), atol=1e-6)
    np.testing.assert_allclose(scores, -np.sort(-matrix, axis=1)[:, :7], atol=1e-5)
    assert rows[:, 0].tolist() == list(range(len(VOICES)))


# ---- searching ---------------------------------------------------------------------------------------------


@pytest.mark.backend
def test_exact_search_gives_the_likeliest(index, verifier, monkeypatch):
    matrix = verifier.scores(ASKED, VOICES)
    rows, scores = index.search(ASKED, 6)
    order = np.argsort(-matrix, axis=1)[:, :6]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(scores, np.take_along_axis(matrix, order, axis=1), atol=2e-3)
    assert index.search(ASKED, 1000).rows.shape == (len(ASKED), len(VOICES))
    monkeypatch.setattr(voice_index, "BLOCK", 3 * len(VOICES))  # three queries at a time
    np.testing.assert_array_equal(index.search(ASKED, 6).rows, order)
    own = np.arange(len(VOICES))
    alone = index.search(VOICES, len(VOICES) - 1, without=own).rows
    assert all(sorted([*row, i]) == own.tolist() for i, row in enumerate(alone))


def test_the_graph_finds_what_the_exact_search_finds(index):
    index.connect(links=8, breadth=50)
    found, true = index.search_graph(ASKED, 5, breadth=40), index.search(ASKED, 5)
    np.testing.assert_array_equal(found.rows, true.rows)
    np.testing.assert_allclose(found.scores, true.scores, atol=1e-4)
    assert index.search_graph(ASKED[:1], 3).rows.shape == (1, 3)


def test_equal_voices_give_equal_graphs(index, verifier):
    first, again = index.connect().graph.as_bytes(), index.connect().graph.as_bytes()
    assert first == again
    assert first != VoiceIndex(VOICES[::-1], table_of(), verifier).connect().graph.as_bytes()


def test_a_graph_of_voices_that_are_gone_still_answers(index):
    index.connect(links=4, breadth=10)
    index.remove(np.arange(40) >= 7)
    found = index.search_graph(ASKED, 7, breadth=1)
    np.testing.assert_array_equal(found.rows, index.search(ASKED, 7).rows)
    assert found.rows.max() == 6


def test_no_graph_no_approximate_search(index):
    with pytest.raises(InputError, match=r"no graph to search; build it with connect"):
        index.search_graph(ASKED)


# ---- adding and removing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [False, True], ids=["exact", "graph"])
def test_voices_come_and_go(index, verifier, graph, tmp_path):
    if graph:
        index.connect(breadth=50)
    more, speakers = some_voices(3, 4, seed=3)
    last = index.speakers == "s7"
    index.remove(last)
    index.remove(index.speakers == "s2")
    index.add(more, pd.DataFrame({"speaker": [f"new {each}" for each in speakers], "age": 30}))
    assert index.ids[-len(more) :].tolist() == list(range(40, 52))  # not those of the removed
    stay = (SPEAKERS != 2) & (SPEAKERS != 7)
    fresh = VoiceIndex(np.concatenate([VOICES[stay], more]), table_of([*SPEAKERS[stay], *speakers]), verifier)
    assert index.speakers.tolist() == [*fresh.speakers[: stay.sum()], *(f"new {each}" for each in speakers)]
    assert index.table["age"].tolist() == [""] * stay.sum() + ["30"] * len(more)
    index.save(tmp_path / "voices.zip")
    index.remove(index.speakers == "new 2")
    index.add(more[speakers == 2], pd.DataFrame({"speaker": ["new 2"] * 4}))
    for each in (index, VoiceIndex.load(tmp_path / "voices.zip", verifier)):
        true = fresh.search(ASKED, 9)
        found = each.search_graph(ASKED, 9, breadth=60) if graph else each.search(ASKED, 9)
        np.testing.assert_array_equal(found.rows, true.rows)
        np.testing.assert_allclose(found.scores, true.scores, atol=1e-4)
        assert len(set(each.ids)) == len(each)


WRONG = {"none": np.zeros(40, bool), "all": np.ones(40, bool), "few": np.ones(3, bool), "ints": np.arange(40)}


@pytest.mark.parametrize("chosen", WRONG.values(), ids=WRONG)
def test_removing_takes_a_bool_for_each(index, chosen):
    with pytest.raises(InputError, match="expected at least one to go and one to stay"):
        index.remove(chosen)
    assert len(index) == 40


@pytest.mark.parametrize(
    ("embeddings", "table", "said"),
    [
        (VOICES[:, :9], table_of(), r"voices \(40, 9\) and a table of 40 rows; expected 12 numbers"),
        (VOICES[:-1], table_of(), r"voices \(39, 12\) and a table of 40 rows"),
        (VOICES[:0], table_of()[:0], r"voices \(0, 12\) and a table of 0 rows"),
        (VOICES * np.nan, table_of(), "not finite"),
        (
            VOICES,
            table_of().rename(columns={"speaker": "who"}),
            "columns who, file; expected one named speaker",
        ),
    ],
)
def test_what_does_not_fit_is_refused(index, verifier, embeddings, table, said):
    with pytest.raises(InputError, match=said):
        VoiceIndex(embeddings, table, verifier)
    with pytest.raises(InputError, match=said):
        index.add(embeddings, table)
    assert len(index) == 40


# ---- on disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(index, tmp_path):
    index.connect().save(tmp_path / "voices.zip")
    return tmp_path / "voices.zip"


def refusal(path, verifier):
    with pytest.raises(InputError) as refused:
        VoiceIndex.load(path, verifier)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(path.name)
    return str(refused.value)


def rewritten(path, **members):
    """The archive with some of its members replaced, or left out where they are None."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", "."): value for name, value in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            if value is not None:
                archive.writestr(name, value)


@pytest.mark.backend
def test_an_index_comes_back_as_it_was(saved, index, verifier):
    loaded = VoiceIndex.load(saved, verifier)
    np.testing.assert_array_equal(loaded.embeddings, index.embeddings)
    np.testing.assert_array_equal(loaded.ids, index.ids)
    pd.testing.assert_frame_equal(loaded.table, index.table)
    np.testing.assert_array_equal(loaded.search(ASKED).rows, index.search(ASKED).rows)
    assert loaded.graph.as_bytes() == index.graph.as_bytes()


def test_odd_names_come_back(verifier, tmp_path):
    table = pd.DataFrame({"speaker": ["NA", "007", "", "nan", "Zoë, 2"], "row": range(5)})
    VoiceIndex(VOICES[:5], table, verifier).save(tmp_path / "a.zip")
    assert VoiceIndex.load(tmp_path / "a.zip", verifier).speakers.tolist() == table["speaker"].tolist()


def test_a_damaged_index_is_named(saved, verifier):
    content = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        starts = {info.filename: info.header_offset + 100 for info in archive.infolist()}
    assert set(starts) == {"about.json", "table.csv", "voices.npy", "ids.npy", "graph.voyager"}
    broken = {
        name: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for name, at in starts.items()
    }
    broken |= {f"cut at {share}": content[: int(share * len(content))] for share in (0, 0.3, 0.9, 0.999)}
    broken |= {"other": b"RIFF"}
    for kind, each in broken.items():
        saved.write_bytes(each)
        assert "is no whole index of voices" in refusal(saved, verifier), kind
    saved.write_bytes(content)
    VoiceIndex.load(saved, verifier)


@pytest.mark.parametrize("member", ["about_json", "table_csv", "voices_npy", "ids_npy"])
def test_an_index_without_a_part_is_refused(saved, verifier, member):
    rewritten(saved, **{member: None})
    assert "is no whole index of voices" in refusal(saved, verifier)


def test_another_format_is_refused(saved, verifier):
    rewritten(saved, about_json=b'{"format": "2", "model": "", "features": {}, "next_id": 1, "linked": 0}')
    assert "its format is '2'" in refusal(saved, verifier)
    rewritten(saved, about_json=b'{"format": "siamese-voices index 1"}')
    assert "is no whole index of voices (KeyError" in refusal(saved, verifier)


def test_parts_of_unlike_lengths_are_refused(saved, index, verifier):
    with zipfile.ZipFile(saved) as archive:
        table, embeddings = archive.read("table.csv"), archive.read("voices.npy")
    rewritten(saved, table_csv=table_of(SPEAKERS[:-1]).to_csv(index=False))
    assert "has voices (40, 12) and a table of 39 rows" in refusal(saved, verifier)
    other = saved.with_name("other.zip")
    shorter = VoiceIndex(VOICES[:30], table_of(SPEAKERS[:30]), verifier).connect()
    shorter.save(other)
    with zipfile.ZipFile(other) as archive:
        parts = {name: archive.read(name) for name in ("ids.npy", "graph.voyager")}
    rewritten(saved, table_csv=table, ids_npy=parts["ids.npy"])
    assert "has 40 voices, 30 numbers of voices and 40 linked: parts of different" in refusal(saved, verifier)
    index.connect().save(saved)
    rewritten(saved, voices_npy=embeddings, graph_voyager=parts["graph.voyager"])
    assert "has 40 voices, 40 numbers of voices and 30 linked: parts of different" in refusal(saved, verifier)


def test_voices_of_other_dimensions_are_refused(saved, verifier, tmp_path):
    np.save(tmp_path / "wide.npy", np.ones((40, 13), "float32"))
    rewritten(saved, voices_npy=(tmp_path / "wide.npy").read_bytes())
    assert "expected 12 numbers a voice" in refusal(saved, verifier)
    np.save(tmp_path / "objects.npy", np.array([{}] * 40), allow_pickle=True)
    rewritten(saved, voices_npy=(tmp_path / "objects.npy").read_bytes())
    assert "is no whole index of voices (ValueError" in refusal(saved, verifier)


@pytest.mark.backend
def test_an_index_of_another_model_is_refused(saved, verifier):
    assert "built with another model" in refusal(saved, some_verifier(offset=-0.5))
    for part in ("encoder", "plda"):
        other = some_verifier()
        weight = getattr(other, part).weights[-1]
        weight.assign(weight + 0.01)
        assert "built with another model" in refusal(saved, other)
    features = Spectrogram(n_fft=256, hop_length=64)
    said = refusal(saved, some_verifier(spectrogram=features))
    assert "built with other features: hop_length=128 (the model has 64)" in said
    VoiceIndex.load(saved, some_verifier())  # the same weights in another object


def test_a_missing_index_is_named(verifier, tmp_path):
    with pytest.raises(InputError, match=r"none\.zip does not exist; notebook 10 makes an index"):
        VoiceIndex.load(tmp_path / "none.zip", verifier)


def test_a_save_that_fails_leaves_what_was_there(saved, index, monkeypatch):
    before = saved.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(InputError, match=r"voices\.zip could not be saved \(No space left"):
        index.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["voices.zip"]


# ---- the table ---------------------------------------------------------------------------------------------


def test_rows_of_the_course_and_of_a_folder():
    table = pd.DataFrame({"speaker": ["S7", "S9"], "gender": ["female", "male"], "snr": [1, 2]})
    found = voice_index.index_rows(corpora.Recordings("a", [], np.array([0, 1]), table), "tes")
    assert found.to_dict("list") == {
        "speaker": ["tes 00", "tes 01"], "file": ["tes.pkl"] * 2, "row": [0, 1], "gender": ["female", "male"],
    }  # fmt: skip
    table = table.assign(path=["a/1.wav", "b/2.wav"])
    found = voice_index.index_rows(corpora.Recordings("a", [], np.array([0, 1]), table), "tes")
    assert found["speaker"].tolist() == ["S7", "S9"]
    assert found["file"].tolist() == ["a/1.wav", "b/2.wav"]
