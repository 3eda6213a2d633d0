"""Large files from the web: resumed, checked, and placed whole or not at all.

What has arrived is kept as ``FOLDER/unfinished/NAME.part`` between runs. pooch retries and checks.
"""

import os
import shutil
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pooch
import requests
import urllib3
from tqdm import tqdm

from helpers import InputError
from helpers.files import file_digest, hold_folder

CHUNK = 64 * 1024  # bytes that at most are lost when a connection breaks
TRIES = 4
TIMEOUT = 30  # seconds without a byte
pooch.get_logger().setLevel("WARNING")


class Remote(NamedTuple):
    """A file on a server: its name there and here, its size in bytes, and its SHA-256."""

    name: str
    size: int
    sha256: str


@contextmanager
def download_folder(folder):
    """Hold a folder for one process, and yield its subfolder ``unfinished`` for what is not ready.

    InputError when another process holds the folder, or it cannot be written. What an earlier, killed process
    has left there is removed, but for the parts of files.
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
    """The path of a file from `address`, in `folder`; a whole one that is there is not fetched again.

    It grows in the folder `unfinished`, see `download_folder`, on the same disk. `address` is what comes
    before the file's name, slash included. InputError when the server cannot be reached or has another file,
    the connection breaks again and again, or the disk is full; all but a wrong file leave what has arrived.
    """
    path, part, url = Path(folder) / remote.name, unfinished / f"{remote.name}.part", address + remote.name
    if is_whole(path, remote):
        return path
    arrive, known = partial(_arrive, part=part, size=remote.size), {remote.name: f"sha256:{remote.sha256}"}
    try:
        store = pooch.create(unfinished, address, registry=known, retry_if_failed=TRIES - 1)
        os.replace(store.fetch(remote.name, downloader=arrive), path)
    except requests.RequestException as error:
        kept = f"{bytes_arrived(part) / 1e6:,.1f} MB have arrived and are kept"
        found = f"{_cause(error)}, {TRIES} times in a row; {kept}: see to the network, and run it again"
        raise InputError(found, file=f"{url}:") from None
    except ValueError:
        found = f"is another file: its SHA-256 is not {remote.sha256[:12]}…; nothing was kept"
        raise InputError(found, file=url, expected="the address of LibriSpeech or of a mirror") from None
    except OSError as error:
        space = f"a writable folder with {(remote.size - bytes_arrived(part)) / 1e6:,.1f} MB of space left"
        raise InputError(
            f"could not be written ({error.strerror or error})", file=part, expected=space
        ) from None
    return path


def is_whole(path, remote):
    """Whether a file is there, and is the one on the server by its checksum."""
    return path.is_file() and path.stat().st_size == remote.size and file_digest(path) == remote.sha256


def bytes_arrived(part):
    """Bytes of a file that are there; 0 when there are none."""
    return part.stat().st_size if part.exists() else 0


def _arrive(url, output_file, _, part, size):
    """A downloader of pooch's: what is lacking of `part`, which then becomes `output_file`."""
    have = bytes_arrived(part)
    if have < size:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            span = response.headers.get("Content-Range", "")
            resumed = response.status_code == 206 and span.startswith(f"bytes {have}-")
            if have and not resumed and response.status_code in (206, 416):
                part.unlink()
                raise requests.ConnectionError("the server cannot take up where it broke off")
            response.raise_for_status()
            total = span.rpartition("/")[2] if resumed else response.headers.get("Content-Length", size)
            if int(total) != size:
                part.unlink(missing_ok=True)
                raise ValueError(f"{total} bytes")
            # disable=None: the bar is for a person, not for a file.
            shown = {"desc": part.stem, "unit": "B", "unit_scale": True, "leave": False, "disable": None}
            with part.open("ab" if resumed else "wb") as file, tqdm(total=size, **shown) as bar:
                try:  # as it is sent: requests' own iterator would unpack what a server calls gzip-encoded
                    for chunk in response.raw.stream(CHUNK, decode_content=False):
                        file.write(chunk)
                        bar.update(file.tell() - bar.n)
                except urllib3.exceptions.HTTPError as error:
                    raise requests.ConnectionError("the connection broke") from error
        if bytes_arrived(part) < size:
            raise requests.ConnectionError("the connection broke")
    os.replace(part, output_file)


def _cause(error):
    """Why a connection failed, in a few words: the server's status, the system's word, or its own."""
    if error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    inner = error
    while inner.__context__:
        inner = inner.__context__
    return (
        "no answer in time"
        if isinstance(inner, TimeoutError)
        else getattr(inner, "strerror", "") or str(error)
    )
