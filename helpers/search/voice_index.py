"""An index of voices: embeddings on disk with a table of their speakers, searched for the nearest."""

import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError, first_line
from helpers.files import atomic_write
from helpers.search.plda_distance import PLDADistance
from helpers.verifier import model_digest

FORMAT = "siamese-voices index 2"


class Neighbours(NamedTuple):
    """The k nearest of each query, nearest first: rows of the index and scores, both (queries, k)."""

    rows: np.ndarray
    scores: np.ndarray


class VoiceIndex:
    """Embeddings with a table of whose they are, to be searched and kept on disk.

    Parameters
    ----------
    embeddings : float array (n, dimensions)
        Embeddings of one model.
    table : pandas.DataFrame
        A row per embedding; its column `speaker` says whose it is, others perhaps in which file. Kept as
        text.
    verifier : verifier.Verifier
        The model: its digest and features are kept, and its log likelihood ratio compares.

    Raises
    ------
    InputError
        When embeddings and table are not of one length, an embedding is not of the model's dimensions or not
        finite, or the table has no column `speaker`.
    """

    def __init__(self, embeddings, table, verifier):
        self.distance = PLDADistance(verifier)
        self.model, self.features = model_digest(verifier), verifier.spectrogram.to_dict()
        self._keep(*self._checked(embeddings, table))

    def _checked(self, embeddings, table):
        embeddings, dimensions = np.asarray(embeddings, dtype=np.float32), len(self.distance.mean)
        if embeddings.shape != (len(table), dimensions) or not len(table):
            found = f"embeddings {embeddings.shape} and a table of {len(table)} rows"
            raise InputError(found, expected=f"{dimensions} numbers each, and a row of the table for each")
        if not np.isfinite(embeddings).all():
            raise InputError("some embeddings are not finite numbers", expected="embeddings")
        if "speaker" not in table:
            raise InputError(f"a table with the columns {', '.join(table)}", expected="one named speaker")
        return embeddings, table.fillna("").astype(str)

    def _keep(self, embeddings, table):
        self.embeddings, self.table = embeddings, table.fillna("").reset_index(drop=True)
        self.points = self.distance.points(embeddings)

    def __len__(self):
        return len(self.embeddings)

    @property
    def speakers(self):
        """Whose the embeddings are (n,)."""
        return self.table["speaker"].to_numpy(dtype=str)

    def add(self, embeddings, table):
        """Add embeddings with their rows of the table; columns that either table lacks are left empty.

        Raises
        ------
        InputError
            As for a new index; this one stays as it is.
        """
        embeddings, table = self._checked(embeddings, table)
        self._keep(np.concatenate([self.embeddings, embeddings]), pd.concat([self.table, table]))

    def remove(self, chosen):
        """Take out the embeddings that a bool array (n,) chooses, such as all of one speaker.

        Raises
        ------
        InputError
            When it chooses none, or all: an index holds at least one embedding.
        """
        chosen = np.asarray(chosen)
        if chosen.shape != (len(self),) or chosen.dtype != bool or not 0 < chosen.sum() < len(self):
            found = f"{chosen.sum()} of {len(self)} embeddings are chosen for removal"
            raise InputError(found, expected="at least one to go and one to stay")
        self._keep(self.embeddings[~chosen], self.table[~chosen])

    def search(self, embeddings, k=10):
        """The k nearest of each query, exactly: its scores with all, by a matrix product.

        Parameters
        ----------
        embeddings : float array (queries, dimensions)
        k : int
            At most as many as there are.

        Returns
        -------
        Neighbours
        """
        queries, offsets = self.distance.queries(embeddings)
        scores = queries @ self.points.T - (self.points**2).sum(axis=1) / 2 + offsets[:, None]
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Neighbours(rows, np.take_along_axis(scores, rows, axis=1))

    def save(self, path):
        """Keep the index in one ZIP file, whole or not at all.

        Raises
        ------
        InputError
            When it cannot be written; an earlier file at `path` stays.
        """
        about = {"format": FORMAT, "model": self.model, "features": self.features}
        with atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
            archive.writestr("about.json", json.dumps(about, indent=1))
            archive.writestr("table.csv", self.table.to_csv(index=False))
            with archive.open("embeddings.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, self.embeddings, allow_pickle=False)

    @classmethod
    def load(cls, path, verifier):
        """Load an index that `save` has written, for use with the model that made its embeddings.

        Parameters
        ----------
        path : path
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
                about = json.loads(parts["about.json"])
                if about["format"] != FORMAT:
                    raise InputError(f"its format is {about['format']!r}")
                model, features = about["model"], about["features"]
                table = pd.read_csv(io.BytesIO(parts["table.csv"]), dtype=str, keep_default_na=False)
                embeddings = parts["embeddings"]
        except Exception as error:  # a damaged archive surfaces as any kind of exception
            reason = first_line(type(error).__name__, error)[:100]
            raise InputError(f"{path.name} is no whole index of voices ({reason}); build it anew") from error
        _check_origin(path.name, model, features, verifier)
        try:
            return cls(embeddings, table, verifier)
        except InputError as error:
            raise InputError(f"{path.name} has {error}; build it anew") from None


def _check_origin(name, model, theirs, verifier):
    ours = verifier.spectrogram.to_dict()
    if theirs != ours:
        unlike = [f"{k}={theirs.get(k)} (the model has {v})" for k, v in ours.items() if theirs.get(k) != v]
        raise InputError(f"{name} was built with other features: {', '.join(unlike)}; build it anew")
    if model != model_digest(verifier):
        found = f"{model} (this one is {model_digest(verifier)})"
        raise InputError(f"{name} was built with another model, {found}; build it anew with this model")


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
