"""Recordings converted on all cores into arrays that may be larger than memory, resumable after a kill.

Each speaker is a task of its own, whose rows go into a file of its own; they are appended to the arrays in
the order of the tasks, and a line of the journal then says so. What it does not say has not been done.
"""

import json
import math
import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers import SHORTEST, InputError
from helpers.augmentation import at_speed
from helpers.data.audio import decode, excerpt
from helpers.data.corpora import find_faults
from helpers.features import Spectrogram

LONGEST = 60  # seconds of a recording that are looked at


class Task(NamedTuple):
    """What a worker needs: `recordings` are lists of files, each a number, a path and what an error calls it,
    of which the first good one is used; `wanted` is how many recordings are used (0: all); `samples` the
    length of a row; `speeds` those that features are stored at, if any; `spool` the beginning of the names
    of the files that rows go to."""

    speaker: str
    recordings: list
    wanted: int
    samples: int
    speeds: tuple
    spool: str


class Outcome(NamedTuple):
    """What came of a task: pairs of a file's number and its first sample that is used, or why it is not."""

    rows: list
    left_out: list


_stopped = threading.Event()  # in a worker process, one that all share


def convert_speaker(task):
    """Decode, cut and store recordings until there are as many as are wanted.

    Returns
    -------
    Outcome
        Its rows lie in ``task.spool`` + ``.0``, and their features at each speed in ``.1`` and so on, as
        bare float32.
    """
    rows, left_out, spectrogram = [], [], Spectrogram()
    with ExitStack() as opened:
        names = [f"{task.spool}.{number}" for number in range(1 + len(task.speeds))]
        waves, *features = (opened.enter_context(open(name, "wb")) for name in names)
        for files in task.recordings:
            if _stopped.is_set() or (task.wanted and len(rows) == task.wanted):
                break
            for number, path, name in files:
                try:
                    row, start = _usable_excerpt(path, name, task.samples)
                except InputError as error:
                    left_out.append((number, f"{error.file} {error.found}".strip()))
                    continue
                waves.write(row.tobytes())
                for speed, file in zip(task.speeds, features, strict=True):
                    file.write(spectrogram(at_speed(row[None], speed)).tobytes())
                rows.append((number, start))
                break
    return Outcome(rows, left_out)


def _usable_excerpt(path, name, samples):
    waveform = decode(path, LONGEST, name)
    if len(waveform) < SHORTEST:
        raise InputError(f"too short: {len(waveform)} samples", expected=f"{SHORTEST} or more")
    _refuse_faults(waveform)
    row, start = excerpt(waveform, samples)
    _refuse_faults(row)
    return row, start


def _refuse_faults(waveform):
    for bad, what in find_faults(waveform[None]):
        if bad.any():
            raise InputError(what)


def _start_worker(stopped):
    """A worker's first act: Ctrl-C is its parent's to deal with, and it does not outlive its parent."""
    global _stopped
    _stopped = stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextmanager
def worker_pool(workers):
    """A function that runs tasks in several processes, and yields each with its outcome, in their order.

    Raises
    ------
    InputError
        When a worker process dies.
    """
    if workers == 1:
        yield lambda tasks: ((task, convert_speaker(task)) for task in tasks)
        return
    # Processes forked from one that runs TensorFlow or Jupyter can hang: they are started afresh.
    context = multiprocessing.get_context("spawn")
    stopped = context.Event()
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(stopped,))

    def run(tasks):
        waiting = deque()
        for task in tasks:
            waiting.append((task, pool.submit(convert_speaker, task)))
            if len(waiting) >= 2 * workers:  # no more ahead, so that neither tasks nor rows pile up
                first, future = waiting.popleft()
                yield first, future.result()
        for task, future in waiting:
            yield task, future.result()

    try:
        with ExitStack() as undone:
            if threading.current_thread() is threading.main_thread():  # no other may say what a signal does
                # The workers inherit it, and need it before they can see to it themselves.
                before = signal.signal(signal.SIGINT, signal.SIG_IGN)
                undone.callback(signal.signal, signal.SIGINT, before)
            for _ in range(workers):
                pool.submit(os.getpid)
        yield run
    except BrokenProcessPool as error:
        found = "a worker process was ended from outside, for want of memory perhaps"
        kept = "what was converted is kept and the same command goes on"
        expected = "memory for every worker (--workers 1 needs least)"
        raise InputError(f"{found}; {kept}", expected=expected) from error
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


class GrowingArray:
    """An ``.npy`` file of float32 that grows row by row; whatever its header says, `rows` have been written.

    Parameters
    ----------
    path : path
    shape : tuple of int
        Of a row.
    rows : int
        How many are kept of an earlier run; what it wrote after these is dropped.
    """

    def __init__(self, path, shape, rows):
        self.shape, self.rows = shape, rows
        self.file = open(path, "r+b" if rows else "w+b")  # noqa: SIM115 (closed by `finish` or with the process)
        self._write_header()
        end = self.file.tell() + 4 * rows * math.prod(shape)
        self.file.flush()
        if os.fstat(self.file.fileno()).st_size < end:
            expected = "the folder as it was left, or none, to begin anew"
            raise InputError("has been cut short", file=path, expected=expected)
        self.file.truncate(end)
        self.file.seek(end)

    def _write_header(self):
        # NumPy leaves room in a header for the number of rows to grow: its length stays.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, spool, rows):
        """Add the rows that a worker wrote."""
        with open(spool, "rb") as source:
            shutil.copyfileobj(source, self.file, 1 << 20)
        self.rows += rows
        _flush(self.file)

    def finish(self):
        """Give the file its proper header, and close it."""
        self.file.seek(0)
        self._write_header()
        _flush(self.file)
        self.file.close()


def _flush(file):
    """Bring what was written to the disk itself."""
    file.flush()
    os.fsync(file.fileno())


class Journal:
    """What has been done, a line of JSON each; a last line that was cut off counts as not written.

    Parameters
    ----------
    path : path
    run : str
        Fingerprint of the settings and files: the journal of another run counts as empty.
    """

    def __init__(self, path, run):
        self.path, self.done = Path(path), {}
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        if whole and json.loads(whole[0]) == run:
            for line in whole[1:]:
                part, speaker, rows, left_out = json.loads(line)
                self.done[part, speaker] = Outcome(rows, left_out)
            os.truncate(self.path, sum(map(len, whole)))
        else:
            self.path.write_text(json.dumps(run) + "\n")

    def record(self, part, speaker, outcome):
        self.done[part, speaker] = outcome
        with self.path.open("a") as file:
            file.write(json.dumps([part, speaker, *outcome]) + "\n")
            _flush(file)
