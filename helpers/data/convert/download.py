"""Large files from the web: resumed, checked, and placed whole or not at all.

What has arrived is kept as ``FOLDER/unfinished/NAME.part`` between runs.
"""

import os
import shutil
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import requests
import urllib3
from tqdm import tqdm

from helpers import InputError
from helpers.files import file_digest, hold_folder

CHUNK = 64 * 1024  # bytes that at most are lost when a connection breaks
ENOUGH = 1_000_000  # bytes that make a broken connection no failure: the next one may bring as much
TRIES = 4  # failures in a row
TIMEOUT = 30  # seconds without a byte
PAUSE = 1  # second after the first failure, doubled after each other
MIRROR = "use another mirror"
ANOTHER = f"run it again, and if it stays so, {MIRROR}"
BUSY = (408, 429, 500, 502, 503, 504)  # statuses that may be others in a moment
# What the innermost cause of a broken connection is called; else its own words.
CAUSES = {
    socket.gaierror: "its name cannot be resolved",
    ssl.SSLCertVerificationError: "its certificate is not valid here",
    TimeoutError: "no answer in time",
}


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
    unfinished = Path(folder, "unfinished")
    busy = f"{folder} is in use by another run; wait for its end, or name another folder"
    try:
        with hold_folder(folder, busy):
            _clear(unfinished)
            unfinished.mkdir(exist_ok=True)
            try:
                yield unfinished
            finally:
                _clear(unfinished)
    except OSError as error:
        found = f"could not be written ({error.strerror or error})"
        raise InputError(found, file=folder, expected="a folder to write to") from error


def _clear(unfinished):
    """Remove all but the parts of files, and the folder itself when nothing is left."""
    for path in unfinished.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".part":
            path.unlink()
    with suppress(OSError):  # it is not empty, or not there
        unfinished.rmdir()


def fetch(remote, folder, unfinished, address):
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

    Returns
    -------
    Path

    Raises
    ------
    InputError
        When the server cannot be reached, or has no such file or another one; when the connection breaks
        again and again; and when the disk is full. All but a wrong file leave what has arrived.
    """
    path, part, url = Path(folder) / remote.name, unfinished / f"{remote.name}.part", address + remote.name
    if is_whole(path, remote):
        return path
    failures = 0
    try:
        while (have := bytes_arrived(part)) != remote.size:
            try:
                _receive(url, part, have, remote.size)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failures = 1 if bytes_arrived(part) - have >= ENOUGH else failures + 1
                if failures == TRIES:
                    found = f"{_cause(error)}, {TRIES} times in a row; {_kept(part)}"
                    advice = f"see to the network, or {MIRROR}, and run it again"
                    raise InputError(f"{found}: {advice}", file=f"{url}:") from None
                time.sleep(PAUSE * 2 ** (failures - 1))
        if file_digest(part) != remote.sha256:
            part.unlink()
            found = f"has {_megabytes(remote.size)} of another content: their SHA-256 is not"
            raise InputError(f"{found} {remote.sha256[:12]}…; they were removed; {ANOTHER}", file=url)
        os.replace(part, path)
    except OSError as error:
        found = f"could not be written ({error.strerror or error})"
        room = f"a writable folder with {_megabytes(remote.size - bytes_arrived(part))} of space left"
        expected = f"{room}; {_kept(part)}: make room and run it again"
        raise InputError(found, file=part, expected=expected) from error
    return path


def is_whole(path, remote):
    """Whether a file is there, and is the one on the server by its checksum."""
    return path.is_file() and path.stat().st_size == remote.size and file_digest(path) == remote.sha256


def bytes_arrived(part):
    """Bytes of a file that are there; 0 when there are none."""
    return part.stat().st_size if part.exists() else 0


def _receive(url, part, have, size):
    """One connection: what is lacking of `part`, or as much of it as comes."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status = f"the server says {response.status_code} {response.reason}"
        if response.status_code in BUSY:
            raise requests.HTTPError(status)
        span = response.headers.get("Content-Range", "")
        resumed = response.status_code == 206 and span.startswith(f"bytes {have}-")
        if have and not resumed and response.status_code in (206, 416):
            part.unlink()
            raise requests.HTTPError("the server cannot take up where it broke off")
        if response.status_code not in (200, 206):
            expected = f"a file of {_megabytes(size)}: see in a browser whether it has moved, or {MIRROR}"
            raise InputError(f"{response.url}: {status}", expected=expected)
        total = span.rpartition("/")[2] if resumed else response.headers.get("Content-Length", "")
        total = int(total) if total.isdecimal() else size
        if total == size:
            # disable=None: the bar is for a person, not for a file.
            shown = {"desc": part.stem, "unit": "B", "unit_scale": True, "leave": False, "disable": None}
            mode = "ab" if resumed else "wb"
            with part.open(mode) as file, tqdm(total=size, initial=file.tell(), **shown) as bar:
                # As it is sent: requests' own iterator would unpack what a server calls gzip-encoded.
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    file.write(chunk)
                    bar.update(file.tell() - bar.n)
                    if file.tell() > size:
                        break
            total = size if resumed else bytes_arrived(part)  # the answer was complete
        if total != size:
            part.unlink(missing_ok=True)
            found = f"is another file, of {total:,} bytes in place of {size:,}; nothing was kept; {ANOTHER}"
            raise InputError(found, file=response.url)
    if bytes_arrived(part) == have:
        raise requests.HTTPError("the server sends nothing")


def _cause(error):
    """Why a connection failed, in a few words: by its innermost cause, else its own."""
    inner = error
    while inner.__context__:
        inner = inner.__context__
    if words := CAUSES.get(type(inner)) or getattr(inner, "strerror", ""):  # refused, reset, no route
        return words[0].lower() + words[1:]
    broke = isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError)
    return "the connection broke" if broke else str(error)


def _kept(part):
    arrived = bytes_arrived(part)
    return f"{_megabytes(arrived)} have arrived and are kept" if arrived else "nothing has arrived"


def _megabytes(count):
    return f"{count / 1e6:,.1f} MB"
