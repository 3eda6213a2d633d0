"""An index of voices: embeddings on disk with a table of their speakers, searched for the nearest."""

import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import voyager
from tqdm.auto import tqdm

from helpers import InputError, first_line
from helpers.files import atomic_write
from helpers.search.plda_distance import PLDADistance
from helpers.verifier import model_digest

FORMAT = "siamese-voices index 1"
CHUNK = 10_000  # voices at a time, where all at once would take twice the memory
BLOCK = 2**24  # scores at a time


class Neighbours(NamedTuple):
    """The k nearest of each voice asked for, nearest first: rows of the index and scores, (queries, k)."""

    rows: np.ndarray
    scores: np.ndarray


class VoiceIndex:
    """Voices with a table of whose they are, to be searched, added to, taken from, and kept on disk.

    Parameters
    ----------
    embeddings : float array (n, dimensions)
        Embeddings of one model.
    table : pandas.DataFrame
        A row per voice; its column `speaker` says whose it is, others perhaps in which file. Kept as text.
    verifier : verifier.Verifier
        The model: its digest and features are kept, and its log likelihood ratio compares.

    Raises
    ------
    InputError
        When voices and table are not of one length, a voice is not of the model's dimensions or not finite,
        or the table has no column `speaker`.
    """

    def __init__(self, embeddings, table, verifier):
        self.distance = PLDADistance(verifier)
        self.model, self.features = model_digest(verifier), verifier.spectrogram.to_dict()
        self.embeddings, self.table = self._checked(embeddings, table)
        self.ids, self.next_id = np.arange(len(self)), len(self)  # a voice keeps its number when others go
        self.places, self.half_squares = self._placed(self.embeddings)
        self.graph = None

    def __len__(self):
        return len(self.embeddings)

    @property
    def speakers(self):
        """Whose the voices are (n,)."""
        return self.table["speaker"].to_numpy(dtype=str)

    @property
    def linked(self):
        """Voices in the graph, those marked as gone included."""
        return 0 if self.graph is None else self.graph.num_elements

    def _checked(self, embeddings, table):
        embeddings, dimensions = np.asarray(embeddings, dtype=np.float32), len(self.distance.mean)
        if embeddings.shape != (len(table), dimensions) or not len(table):
            found = f"voices {embeddings.shape} and a table of {len(table)} rows"
            raise InputError(found, expected=f"{dimensions} numbers a voice, and a row of the table for each")
        if not np.isfinite(embeddings).all():
            raise InputError("some voices are not finite numbers", expected="embeddings")
        if "speaker" not in table:
            raise InputError(f"a table with the columns {', '.join(table)}", expected="one named speaker")
        return embeddings, table.fillna("").astype(str).reset_index(drop=True)

    def _placed(self, embeddings):
        """Places of voices, and half their squares; in chunks, as doubles of a million are gigabytes."""
        chunks = [embeddings[start : start + CHUNK] for start in range(0, len(embeddings), CHUNK)]
        places = np.concatenate([self.distance.places(chunk) for chunk in chunks])
        return places, np.einsum("nr,nr->n", places, places) / 2

    def add(self, embeddings, table):
        """Add voices with their rows of the table; columns that either lacks are left empty."""
        embeddings, table = self._checked(embeddings, table)
        ids, (places, half_squares) = self.next_id + np.arange(len(embeddings)), self._placed(embeddings)
        if self.graph is not None:
            self.graph.add_items(places, ids=ids.tolist(), num_threads=1)
        self.next_id += len(embeddings)
        self.table = pd.concat([self.table, table], ignore_index=True).fillna("")
        self.embeddings = np.concatenate([self.embeddings, embeddings])
        self.ids = np.concatenate([self.ids, ids])
        self.places = np.concatenate([self.places, places])
        self.half_squares = np.concatenate([self.half_squares, half_squares])

    def remove(self, chosen):
        """Take out the voices that a bool array (n,) chooses, all of one speaker for example.

        Raises
        ------
        InputError
            When it chooses none, or all: an index holds at least one voice.
        """
        chosen = np.asarray(chosen)
        if chosen.shape != (len(self),) or chosen.dtype != bool or not 0 < chosen.sum() < len(self):
            found = f"{chosen.sum()} of {len(self)} voices are chosen for removal"
            raise InputError(found, expected="at least one to go and one to stay")
        if self.graph is not None:
            for each in self.ids[chosen].tolist():
                self.graph.mark_deleted(each)
        self.table = self.table[~chosen].reset_index(drop=True)
        self.embeddings, self.ids = self.embeddings[~chosen], self.ids[~chosen]
        self.places, self.half_squares = self.places[~chosen], self.half_squares[~chosen]

    # ---- searching ---------------------------------------------------------------------------------------

    def search(self, embeddings, k=10, without=None):
        """The k nearest of each voice, exactly: its scores with all, by a matrix product.

        Parameters
        ----------
        embeddings : float array (queries, dimensions)
        k : int
            At most as many as there are.
        without : int array (queries,), optional
            A row of the index for each query that is no answer to it: the query itself.

        Returns
        -------
        Neighbours
        """
        aims, offsets = self.distance.aims(embeddings)
        k, block, found = min(k, len(self)), max(1, BLOCK // len(self)), []
        for start in range(0, len(aims), block):
            scores = aims[start : start + block] @ self.places.T - self.half_squares
            if without is not None:
                scores[np.arange(len(scores)), without[start : start + block]] = -np.inf
            best = np.argpartition(scores, -k)[:, -k:]
            found.append((best, np.take_along_axis(scores, best, axis=1)))
        rows, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        return _sorted(rows, scores + offsets[:, None])

    def connect(self, links=16, breadth=100, show_progress=False):
        """Build the graph for approximate search, a hierarchical navigable small world (HNSW).

        Each voice is linked to some near it; a search walks along the links towards the aim. Malkov and
        Yashunin (2020), "Efficient and robust approximate nearest neighbor search using hierarchical
        navigable small world graphs", IEEE TPAMI 42(4). Equal voices give equal graphs.

        Parameters
        ----------
        links : int
            Of a voice on each level (M in the paper); more find better and take more memory.
        breadth : int
            Candidates kept in mind while a voice is put in its place (efConstruction).
        show_progress : bool
            Show a progress bar.
        """
        size = {"M": links, "ef_construction": breadth, "max_elements": len(self)}
        self.graph = voyager.Index(voyager.Space.Euclidean, self.places.shape[1], **size)
        for start in tqdm(range(0, len(self), CHUNK), unit="10,000 voices", disable=not show_progress):
            ids = self.ids[start : start + CHUNK].tolist()
            self.graph.add_items(self.places[start : start + CHUNK], ids=ids, num_threads=1)
        return self

    def search_graph(self, embeddings, k=10, breadth=64):
        """The k nearest of each voice, nearly: by walking the graph, which `connect` builds.

        Parameters
        ----------
        embeddings : float array (queries, dimensions)
        k : int
        breadth : int
            Candidates kept in mind on the walk (ef): more find more of the true neighbours, more slowly.

        Returns
        -------
        Neighbours
            With exact scores; found by `search` where the walk meets fewer than k.
        """
        if self.graph is None:
            raise InputError("the index has no graph to search; build it with connect()")
        aims, offsets = self.distance.aims(embeddings)
        k = min(k, len(self))
        try:
            ids, _ = self.graph.query(aims, k, num_threads=1, query_ef=max(breadth, k))
        except voyager.RecallError:  # too many of those met on the walk are gone
            return self.search(embeddings, k)
        rows = np.searchsorted(self.ids, np.reshape(ids, (len(aims), k)).astype(np.int64))
        scores = np.einsum("qr,qkr->qk", aims, self.places[rows]) - self.half_squares[rows]
        return _sorted(rows, scores + offsets[:, None])

    # ---- on disk -----------------------------------------------------------------------------------------

    def save(self, path):
        """Keep the index, its graph too where it has one, in one ZIP file, whole or not at all.

        Raises
        ------
        InputError
            When it cannot be written; an earlier file at `path` stays.
        """
        about = {"format": FORMAT, "model": self.model, "features": self.features}
        about |= {"next_id": self.next_id, "linked": self.linked}
        with atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
            archive.writestr("about.json", json.dumps(about, indent=1))
            archive.writestr("table.csv", self.table.to_csv(index=False))
            for name, array in (("voices", self.embeddings), ("ids", self.ids)):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
            if self.graph is not None:
                with archive.open("graph.voyager", "w", force_zip64=True) as file:
                    self.graph.save(file)

    @classmethod
    def load(cls, path, verifier):
        """Load an index that `save` has written, for use with the model that made its voices.

        Parameters
        ----------
        path : path
            Its graph is read by native code: take an index only from whom you would take a program.
        verifier : verifier.Verifier

        Raises
        ------
        InputError
            When the file is missing, damaged, no index, of another model or other features, or its parts are
            not of one length.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist; notebook 10 makes an index, as does VoiceIndex.save")
        try:
            with np.load(path, allow_pickle=False) as parts:  # members that are no arrays come as bytes
                about, graph = json.loads(parts["about.json"]), None
                model, features = about["model"], about["features"]
                next_id, linked = about["next_id"], about["linked"]
                if about["format"] != FORMAT:
                    raise InputError(f"its format is {about['format']!r}")
                table = pd.read_csv(io.BytesIO(parts["table.csv"]), dtype=str, keep_default_na=False)
                embeddings, ids = parts["voices"], parts["ids"]
                if "graph.voyager" in parts:
                    with parts.zip.open("graph.voyager") as file:
                        graph = voyager.Index.load(file)
        except Exception as error:  # a damaged archive surfaces as any kind of exception
            reason = first_line(type(error).__name__, error)[:100]
            raise InputError(f"{path.name} is no whole index of voices ({reason}); build it anew") from error
        _check_origin(path.name, model, features, verifier)
        try:
            index = cls(embeddings, table, verifier)
        except InputError as error:
            raise InputError(f"{path.name} has {error}; build it anew") from None
        index.ids, index.graph, index.next_id = ids, graph, next_id
        if len(index) != len(ids) or index.linked != linked:
            found = f"{len(index)} voices, {len(ids)} numbers of voices and {index.linked} linked"
            raise InputError(f"{path.name} has {found}: parts of different indexes; build it anew")
        return index


def _check_origin(name, model, theirs, verifier):
    ours = verifier.spectrogram.to_dict()
    if theirs != ours:
        unlike = [f"{k}={theirs.get(k)} (the model has {v})" for k, v in ours.items() if theirs.get(k) != v]
        raise InputError(f"{name} was built with other features: {', '.join(unlike)}; build it anew")
    if model != model_digest(verifier):
        found = f"{model} (this one is {model_digest(verifier)})"
        raise InputError(f"{name} was built with another model, {found}; build it anew with this model")


def _sorted(rows, scores):
    order = np.argsort(-scores, axis=1, kind="stable")
    return Neighbours(*(np.take_along_axis(each, order, axis=1) for each in (rows, scores)))


def index_rows(recordings, part):
    """A table for `voice_index.VoiceIndex`: whose each recording is, and where it can be found again.

    Parameters
    ----------
    recordings : corpora.Recordings
        Labels are speakers, numbered.
    part : str
        Name of the pickle in the course's format, ``tes`` for one: its speakers have no names of their own.

    Returns
    -------
    pandas.DataFrame
        Columns `speaker`, `file`, `row` (in the part), and `gender`, `age`, `words` where they are known.
    """
    table, rows = recordings.table, np.arange(len(recordings.labels))
    if "path" in table:
        found = pd.DataFrame({"speaker": table["speaker"], "file": table["path"], "row": rows})
    else:
        names = [f"{part} {label:02d}" for label in recordings.labels]
        found = pd.DataFrame({"speaker": names, "file": f"{part}.pkl", "row": rows})
    known = [name for name in ("gender", "age", "words") if name in table]
    return found.assign(**{name: table[name].to_numpy() for name in known})
