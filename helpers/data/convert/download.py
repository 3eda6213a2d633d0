"""Large files from the web: taken up where they broke off, checked, and there whole or not at all.

Pooch names, checks and places a file; the transfer is done here, as pooch begins every file anew. What has
arrived is kept as ``FOLDER/unfinished/NAME.part`` between runs.
"""

import fcntl
import os
import shutil
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pooch
import requests
import urllib3
from tqdm import tqdm

from helpers import InputError, first_line

CHUNK = 64 * 1024  # bytes that at most are lost when a connection breaks
ENOUGH = 1_000_000  # bytes that make a broken connection no failure: the next one may bring as much
TRIES = 4  # failures in a row
TIMEOUT = 30  # seconds without a byte
PAUSE = 1  # second after the first failure, doubled after each other
BUSY = (408, 429, 500, 502, 503, 504)  # statuses that may be others in a moment
# What the innermost cause of a broken connection is called; else its own words.
CAUSES = {
    socket.gaierror: "its name cannot be resolved",
    ssl.SSLCertVerificationError: "its certificate is not valid here",
    TimeoutError: "no answer in time",
}

pooch.get_logger().setLevel("WARNING")  # it would tell of every file before our own lines


class Remote(NamedTuple):
    """A file on a server: its name there and here, its size in bytes, and its SHA-256."""

    name: str
    size: int
    sha256: str


@contextmanager
def download_folder(folder):
    """Hold a folder for one process, and yield its subfolder ``unfinished`` for what is not ready.

    What an earlier, killed process has left there is removed, but for the parts of files.

    Raises
    ------
    InputError
        When another process holds the folder, or it cannot be written.
    """
    folder = Path(folder)
    unfinished = folder / "unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clear(unfinished)
            unfinished.mkdir(exist_ok=True)
            try:
                yield unfinished
            finally:
                clear(unfinished)
    except BlockingIOError:
        raise InputError(
            f"{folder} is in use by another run; wait for its end, or name another folder"
        ) from None
    except OSError as error:
        raise InputError(
            f"{folder} could not be written ({error.strerror or error}); expected a folder to write to"
        ) from error


def clear(unfinished):
    """Remove all but the parts of files, and the folder itself when nothing is left."""
    paths = list(unfinished.iterdir()) if unfinished.exists() else []
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".part":
            path.unlink()
    with suppress(OSError):  # it is not empty, or not there
        unfinished.rmdir()


def fetch(remote, folder, unfinished, address, timeout=TIMEOUT, pause=PAUSE):
    """A file from `address`, in `folder`; one that is there already and whole is not fetched again.

    Parameters
    ----------
    remote : Remote
    folder : path
        Where the file is put when it is whole.
    unfinished : path
        Where it grows, see `download_folder`; on the same disk.
    address : str
        What comes before the file's name, slash included.
    timeout, pause : float
        Seconds without a byte after which a connection counts as broken, and before the next one.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        When the server cannot be reached, or has no such file or another one; when the connection breaks
        again and again; and when the disk is full. All but a wrong file leave what has arrived.
    """
    path, url = Path(folder) / remote.name, address + remote.name
    if is_whole(path, remote):
        return path
    part = unfinished / f"{remote.name}.part"
    transfer = partial(_transfer, part=part, size=remote.size, timeout=timeout, pause=pause)
    try:
        pooch.retrieve(url, f"sha256:{remote.sha256}", remote.name, unfinished, downloader=transfer)
        os.replace(unfinished / remote.name, path)
    except InputError:
        raise
    except ValueError:  # pooch's, of the checksum; it has removed the file
        raise InputError(
            f"{url} has {_size(remote.size)} of another content: their SHA-256 is not {remote.sha256[:12]}…; "
            "they were removed; run it again, and if it stays so, use another mirror"
        ) from None
    except OSError as error:
        raise InputError(
            f"{part} could not be written ({error.strerror or error}); expected a writable folder with "
            f"{_size(remote.size - bytes_arrived(part))} of space left; {_kept(part)}: make room and run it "
            "again"
        ) from error
    return path


def is_whole(path, remote):
    """Whether a file is there, and is the one on the server by its checksum."""
    return path.is_file() and path.stat().st_size == remote.size and pooch.file_hash(path) == remote.sha256


def bytes_arrived(part):
    """Bytes of a file that are there; 0 when there are none."""
    return part.stat().st_size if part.exists() else 0


# ---- the transfer ------------------------------------------------------------------------------------------


def _transfer(url, output, _pooch, *, part, size, timeout, pause):
    """Pooch's downloader: brings `part` to its full size over as many connections as it takes."""
    failures = 0
    shown = {"desc": part.stem, "unit": "B", "unit_scale": True, "leave": False}
    # disable=None: the bar is for a person, not for a file.
    with tqdm(total=size, initial=bytes_arrived(part), disable=None, **shown) as bar:
        while (have := bytes_arrived(part)) != size:
            try:
                _receive(url, part, have, size, timeout, bar)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failures = 1 if bytes_arrived(part) - have >= ENOUGH else failures + 1
                if failures == TRIES:
                    raise InputError(
                        f"{url}: {_cause(error)}, {TRIES} times in a row; {_kept(part)}: "
                        "see to the network, or use another mirror, and run it again"
                    ) from None
                time.sleep(pause * 2 ** (failures - 1))
    os.replace(part, output)


def _receive(url, part, have, size, timeout, bar):
    """One connection: what is lacking of `part`, or as much of it as comes."""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code in BUSY:
            raise requests.HTTPError(f"the server says {response.status_code} {response.reason}")
        span = response.headers.get("Content-Range", "")
        resumed = response.status_code == 206 and span.startswith(f"bytes {have}-")
        if have and not resumed and response.status_code in (206, 416):
            part.unlink()
            raise requests.HTTPError("the server cannot take up where it broke off")
        if response.status_code not in (200, 206):
            raise InputError(
                f"{response.url}: the server says {response.status_code} {response.reason}; expected a file "
                f"of {_size(size)}: see in a browser whether it has moved, or use another mirror"
            )
        total = span.rpartition("/")[2] if resumed else response.headers.get("Content-Length", "")
        if total.isdecimal() and int(total) != size:
            _refuse(response.url, part, int(total), size)
        _write(response, part, resumed, size, bar)
    if not resumed and bytes_arrived(part) != size:  # the answer was complete, and of another size
        _refuse(response.url, part, bytes_arrived(part), size)
    if bytes_arrived(part) == have:
        raise requests.HTTPError("the server sends nothing")


def _write(response, part, resumed, size, bar):
    with part.open("ab" if resumed else "wb") as file:
        # As it is sent: requests' own iterator would unpack what a server calls gzip-encoded.
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            file.write(chunk)
            bar.update(file.tell() - bar.n)
            if file.tell() > size:
                break


def _refuse(url, part, found, size):
    part.unlink(missing_ok=True)
    raise InputError(
        f"{url} is another file, of {found:,} bytes in place of {size:,}; nothing was kept; run it again, "
        "and if it stays so, use another mirror"
    )


def _cause(error):
    """Why a connection failed, in a few words."""
    inner = error
    while inner is not None:
        for kind, words in CAUSES.items():
            if isinstance(inner, kind):
                return words
        if isinstance(inner, OSError) and inner.strerror:  # refused, reset, no route
            return inner.strerror[0].lower() + inner.strerror[1:]
        inner = inner.__cause__ or inner.__context__
    broke = isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError)
    return "the connection broke" if broke else first_line("", error).lstrip(": ")


def _kept(part):
    return (
        f"{_size(bytes_arrived(part))} have arrived and are kept"
        if bytes_arrived(part)
        else "nothing has arrived"
    )


def _size(count):
    return f"{count / 1e6:,.1f} MB"
