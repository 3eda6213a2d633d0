"""The downloader before a server with faults: what is told, and what is on the disk afterwards."""

import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest
from faulty_server import serving

from helpers import PROJECT, InputError
from helpers.data.convert import download
from helpers.data.convert.download import CHUNK, Remote, download_folder, fetch

CONTENT = np.random.default_rng(0).bytes(400_000)
REMOTE = Remote("some.tar.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
OTHER = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
ANOTHER = (
    f"{{}}{REMOTE.name} is another file: its SHA-256 is not {REMOTE.sha256[:12]}…; nothing was kept; "
    "expected the address of LibriSpeech or of a mirror"
)


@pytest.fixture
def server():
    with serving({REMOTE.name: CONTENT}) as server:
        yield server


def get(folder, address, timeout=5):
    patient = mock.patch.object(download, "TIMEOUT", timeout), mock.patch("pooch.core.time.sleep")
    with patient[0], patient[1], download_folder(folder) as unfinished:
        return fetch(REMOTE, folder, unfinished, address)


def refusal(folder, address, **settings):
    with pytest.raises(InputError) as refused:
        get(folder, address, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def on_disk(folder):
    """Files and their sizes, folders with a slash; the lock is of no interest."""
    found = {str(path.relative_to(folder)) + "/" * path.is_dir(): path for path in folder.rglob("*")}
    return {
        name: 0 if path.is_dir() else path.stat().st_size for name, path in found.items() if name != ".lock"
    }


def whole(folder):
    assert on_disk(folder) == {REMOTE.name: REMOTE.size}
    assert (folder / REMOTE.name).read_bytes() == CONTENT
    return True


def part_of(folder):
    """Size of the part that is kept, when that and nothing else is there."""
    found = on_disk(folder)
    assert set(found) == {"unfinished/", f"unfinished/{REMOTE.name}.part"}
    part = folder / "unfinished" / f"{REMOTE.name}.part"
    assert CONTENT.startswith(part.read_bytes())
    return found[f"unfinished/{REMOTE.name}.part"]


def test_a_file_is_fetched_once(tmp_path, server):
    assert get(tmp_path, server.address) == tmp_path / REMOTE.name
    assert whole(tmp_path)
    assert get(tmp_path, server.address) == tmp_path / REMOTE.name
    assert server.seen == [(f"/12/{REMOTE.name}", None)]


def test_a_damaged_file_is_fetched_anew(tmp_path, server):
    (tmp_path / REMOTE.name).write_bytes(OTHER)
    get(tmp_path, server.address)
    assert whole(tmp_path)


def test_a_broken_connection_is_taken_up(tmp_path, server):
    server.faults = ["cut", "cut"]
    get(tmp_path, server.address)
    assert whole(tmp_path)
    ranges = [asked for _, asked in server.seen]
    assert ranges[0] is None
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in ranges[1:]]
    assert REMOTE.size / 2 - CHUNK <= starts[0] <= REMOTE.size / 2
    assert starts[0] < starts[1] <= REMOTE.size * 3 / 4


def test_a_connection_that_breaks_again_and_again(tmp_path, server):
    server.faults = ["cut"] * 4
    told = refusal(tmp_path, server.address)
    kept = part_of(tmp_path)
    assert kept > REMOTE.size * 3 / 4
    assert told == (
        f"{server.address}{REMOTE.name}: the connection broke, 4 times in a row; {kept / 1e6:.1f} MB have "
        "arrived and are kept: see to the network, and run it again"
    )
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert server.seen[-1][1] == f"bytes={kept}-"


def test_a_server_without_ranges_begins_anew(tmp_path, server):
    server.faults = ["cut", "no range"]
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert server.seen[1][1].startswith("bytes=")


@pytest.mark.parametrize("fault", ["another range", 416])
def test_a_server_that_does_not_take_up_is_asked_anew(tmp_path, server, fault):
    server.faults = ["cut", fault]
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert [asked is None for _, asked in server.seen] == [True, False, True]


@pytest.mark.parametrize(
    ("faults", "requests"), [(["gzip"], 1), (["moved"], 2), ([503, 429], 3), (["cut", "limited"], 3)]
)
def test_servers_differ(tmp_path, server, faults, requests):
    server.faults = faults
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert len(server.seen) == requests


def test_a_server_that_sends_nothing(tmp_path, server):
    server.faults = ["cut"] + ["nothing"] * 10
    assert "the connection broke, 4 times in a row; 0.2 MB have arrived" in refusal(tmp_path, server.address)
    assert part_of(tmp_path) > REMOTE.size / 2 - CHUNK
    assert len(server.seen) == 4


def test_a_part_larger_than_the_file_is_none(tmp_path, server):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / f"{REMOTE.name}.part").write_bytes(CONTENT + b"more")
    get(tmp_path, server.address)
    assert whole(tmp_path)


@pytest.mark.parametrize("taken_up", [False, True])
def test_a_wrong_checksum(tmp_path, server, taken_up):
    server.files[REMOTE.name] = OTHER
    if taken_up:
        (tmp_path / "unfinished").mkdir()
        (tmp_path / "unfinished" / f"{REMOTE.name}.part").write_bytes(OTHER[:1000])
    assert refusal(tmp_path, server.address) == ANOTHER.format(server.address)
    assert on_disk(tmp_path) == {}
    server.files[REMOTE.name] = CONTENT
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert server.seen[-1][1] is None


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", CONTENT * 3])
def test_another_file(tmp_path, server, content):
    server.files[REMOTE.name] = content
    assert refusal(tmp_path, server.address) == ANOTHER.format(server.address)
    assert on_disk(tmp_path) == {}


def test_another_file_of_unknown_size(tmp_path, server):
    server.files[REMOTE.name], server.faults = CONTENT * 3, ["unsized"] * 4
    assert refusal(tmp_path, server.address) == ANOTHER.format(server.address)
    assert on_disk(tmp_path) == {}


def test_another_file_is_noticed_when_taking_up(tmp_path, server):
    server.faults = ["cut"] * 4
    refusal(tmp_path, server.address)
    server.files[REMOTE.name] = CONTENT * 3
    assert refusal(tmp_path, server.address) == ANOTHER.format(server.address)
    assert on_disk(tmp_path) == {}


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (403, "Forbidden")])
def test_a_missing_file(tmp_path, server, status, reason):
    server.faults = ["moved", status] * 4
    assert refusal(tmp_path, server.address) == (
        f"{server.address}{REMOTE.name}: the server says {status} {reason}, 4 times in a row; 0.0 MB have "
        "arrived and are kept: see to the network, and run it again"
    )
    assert on_disk(tmp_path) == {}


def test_a_missing_file_leaves_what_has_arrived(tmp_path, server):
    server.faults = ["cut"] * 4 + [404] * 4
    refusal(tmp_path, server.address)
    kept = part_of(tmp_path)
    refusal(tmp_path, server.address)
    assert part_of(tmp_path) == kept


def test_a_busy_server(tmp_path, server):
    server.faults = [503] * 4
    assert "the server says 503 Service Unavailable, 4 times in a row; " in refusal(tmp_path, server.address)
    assert on_disk(tmp_path) == {}


def test_no_server(tmp_path):
    with socket.socket() as taken:  # bound, and not listening: nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/12/"
        assert f"{REMOTE.name}: Connection refused, 4 times in a row; " in refusal(tmp_path, address)
    assert on_disk(tmp_path) == {}


def test_no_network(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    told = refusal(tmp_path, "https://www.openslr.org/resources/12/")
    assert told.startswith(
        "https://www.openslr.org/resources/12/some.tar.gz: Name or service not known, 4 times in a row; "
    )
    assert on_disk(tmp_path) == {}


@pytest.mark.parametrize("fault", ["hang", "silent"])
def test_a_server_that_hangs(tmp_path, server, fault):
    server.faults = [fault] * 4
    told = refusal(tmp_path, server.address, timeout=0.1)
    assert ": no answer in time, 4 times in a row; " in told
    if fault == "silent":
        assert on_disk(tmp_path) == {}
    else:
        assert part_of(tmp_path) > REMOTE.size / 2


def test_a_disk_that_fills_up(tmp_path, server):
    # The system's limit for a file's size stands for the end of the disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
    try:
        told = refusal(tmp_path, server.address)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert part_of(tmp_path) == 150_000
    part = tmp_path / "unfinished" / f"{REMOTE.name}.part"
    assert told == (
        f"{part} could not be written (File too large); expected a writable folder with 0.2 MB of space left"
    )
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert server.seen[-1][1] == "bytes=150000-"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk(tmp_path, server):
    (tmp_path / "unfinished").mkdir()
    part = tmp_path / "unfinished" / f"{REMOTE.name}.part"
    part.symlink_to("/dev/full")
    told = refusal(tmp_path, server.address)
    assert told.startswith(
        f"{part} could not be written (No space left on device); expected a writable folder with 0.4 MB"
    )
    assert len(server.seen) == 1
    assert not (tmp_path / REMOTE.name).exists()


def test_a_killed_process_is_taken_up(tmp_path, server):
    server.faults = ["hang"]
    code = (
        "import sys; from helpers.data.convert.download import *; folder, address, *remote = sys.argv[1:]\n"
        "with download_folder(folder) as unfinished:\n"
        "    fetch(Remote(remote[0], int(remote[1]), remote[2]), folder, unfinished, address)"
    )
    arguments = [tmp_path, server.address, *map(str, REMOTE)]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=PROJECT)
    part = tmp_path / "unfinished" / f"{REMOTE.name}.part"
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= REMOTE.size // 2 - CHUNK):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "is in use by another run; wait for its end, or name another folder" in refusal(
        tmp_path, server.address
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    get(tmp_path, server.address)
    assert whole(tmp_path)
    assert server.seen[1:] == [(f"/12/{REMOTE.name}", f"bytes={kept}-")]


def test_a_folder_that_cannot_be_written(tmp_path, server):
    (tmp_path / "file").write_text("not a folder")
    told = refusal(tmp_path / "file" / "archives", server.address)
    assert told.endswith("archives could not be written (Not a directory); expected a folder to write to")
    assert server.seen == []
