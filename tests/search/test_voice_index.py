"""The index of voices: scores as distances, exact search, and what is refused on disk."""

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
    points, (queries, offsets) = distance.points(VOICES), distance.queries(ASKED)
    squares = ((queries[:, None] - points) ** 2).sum(axis=2)
    scores = offsets[:, None] + (queries**2).sum(axis=1)[:, None] / 2 - squares / 2
    expected = verifier.scores(ASKED, VOICES)
    np.testing.assert_allclose(scores, expected, atol=1e-3 * np.ptp(expected))
    # Four speakers were learnt from: they differ in three directions. A part that is left out has no point.
    assert points.shape[1] == parts * directions
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
def test_exact_search_gives_the_likeliest(index, verifier):
    matrix = verifier.scores(ASKED, VOICES)
    rows, scores = index.search(ASKED, 6)
    order = np.argsort(-matrix, axis=1)[:, :6]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(scores, np.take_along_axis(matrix, order, axis=1), atol=2e-3)
    assert index.search(ASKED, 1000).rows.shape == (len(ASKED), len(VOICES))


def test_added_and_removed_as_if_built_so(index, verifier):
    more, speakers = some_voices(2, 3, seed=3)
    index.remove(index.speakers == "s2")
    index.add(more, pd.DataFrame({"speaker": [f"new {each}" for each in speakers], "age": 30}))
    kept = SPEAKERS != 2
    names = [f"s{each}" for each in SPEAKERS[kept]] + [f"new {each}" for each in speakers]
    anew = VoiceIndex(np.concatenate([VOICES[kept], more]), pd.DataFrame({"speaker": names}), verifier)
    assert index.speakers.tolist() == names
    assert index.table["age"].tolist() == [""] * kept.sum() + ["30"] * len(more)
    np.testing.assert_array_equal(index.search(ASKED, 6).rows, anew.search(ASKED, 6).rows)


@pytest.mark.parametrize("chosen", [SPEAKERS < 0, SPEAKERS >= 0, [True], SPEAKERS])
def test_an_index_keeps_an_embedding(index, chosen):
    with pytest.raises(InputError, match="chosen for removal; expected at least one to go and one to stay"):
        index.remove(chosen)
    assert len(index) == len(VOICES)


def test_what_cannot_be_added_changes_nothing(index):
    with pytest.raises(InputError, match="not finite"):
        index.add(VOICES * np.nan, table_of())
    assert len(index) == len(index.table) == len(VOICES)


@pytest.mark.parametrize(
    ("embeddings", "table", "said"),
    [
        (VOICES[:, :9], table_of(), r"embeddings \(40, 9\) and a table of 40 rows; expected 12 numbers"),
        (VOICES[:-1], table_of(), r"embeddings \(39, 12\) and a table of 40 rows"),
        (VOICES[:0], table_of()[:0], r"embeddings \(0, 12\) and a table of 0 rows"),
        (VOICES * np.nan, table_of(), "not finite"),
        (
            VOICES,
            table_of().rename(columns={"speaker": "who"}),
            "columns who, file; expected one named speaker",
        ),
    ],
)
def test_what_does_not_fit_is_refused(verifier, embeddings, table, said):
    with pytest.raises(InputError, match=said):
        VoiceIndex(embeddings, table, verifier)


# ---- on disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(index, tmp_path):
    index.save(tmp_path / "voices.zip")
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
    pd.testing.assert_frame_equal(loaded.table, index.table)
    np.testing.assert_array_equal(loaded.search(ASKED).rows, index.search(ASKED).rows)


def test_odd_names_come_back(verifier, tmp_path):
    table = pd.DataFrame({"speaker": ["NA", "007", "", "nan", "Zoë, 2"], "row": range(5)})
    VoiceIndex(VOICES[:5], table, verifier).save(tmp_path / "a.zip")
    assert VoiceIndex.load(tmp_path / "a.zip", verifier).speakers.tolist() == table["speaker"].tolist()


def test_a_damaged_index_is_named(saved, verifier):
    content = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        starts = {info.filename: info.header_offset + 100 for info in archive.infolist()}
    assert set(starts) == {"about.json", "table.csv", "embeddings.npy"}
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


@pytest.mark.parametrize("member", ["about_json", "table_csv", "embeddings_npy"])
def test_an_index_without_a_part_is_refused(saved, verifier, member):
    rewritten(saved, **{member: None})
    assert "is no whole index of voices" in refusal(saved, verifier)


def test_another_format_is_refused(saved, verifier):
    rewritten(saved, about_json=b'{"format": "3", "model": "", "features": {}}')
    assert "its format is '3'" in refusal(saved, verifier)
    rewritten(saved, about_json=b'{"format": "siamese-voices index 2"}')
    assert "is no whole index of voices (KeyError" in refusal(saved, verifier)


def test_parts_of_unlike_lengths_are_refused(saved, verifier):
    rewritten(saved, table_csv=table_of(SPEAKERS[:-1]).to_csv(index=False))
    assert "has embeddings (40, 12) and a table of 39 rows" in refusal(saved, verifier)


def test_embeddings_of_other_dimensions_are_refused(saved, verifier, tmp_path):
    np.save(tmp_path / "wide.npy", np.ones((40, 13), "float32"))
    rewritten(saved, embeddings_npy=(tmp_path / "wide.npy").read_bytes())
    assert "expected 12 numbers each" in refusal(saved, verifier)
    np.save(tmp_path / "objects.npy", np.array([{}] * 40), allow_pickle=True)
    rewritten(saved, embeddings_npy=(tmp_path / "objects.npy").read_bytes())
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
