"""A real corpus by one command: 80 readers of LibriSpeech, fetched and brought into the course's format.

`python -m helpers.data.convert.librispeech` fetches the two parts `dev-clean` and `test-clean` (40 speakers
each, read aloud from books) from OpenSLR, checks them, and makes ``data/librispeech/trs.pkl`` and
``tes.pkl``.

Exit status: 0 when both are there, 1 when something is wrong, 130 after Ctrl-C.
"""

import gzip
import json
import os
import re
import shutil
import sys
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from helpers import PROJECT, InputError, first_line
from helpers.command_line import new_parser, run_program
from helpers.data.convert import conversion
from helpers.data.convert.download import Remote, bytes_arrived, download_folder, fetch, is_whole
from helpers.files import is_made

NAME = "LibriSpeech (dev-clean and test-clean)"
HOME = "https://www.openslr.org/resources/12/"
FOLDER = PROJECT / "data" / "librispeech"
ARCHIVES = PROJECT / "data" / "librispeech-archives"
# Source, licence and archives, with SHA-256 as torchaudio has it and others found for OpenSLR's own MD5.
SOURCE = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
REMOTES = tuple(Remote(**each) for each in SOURCE["archives"])
UNPACKED = 1.1  # bytes of recordings for a byte of archive
CONVERTED = 60_000_000  # bytes of the course's files
# Without the part: the converter keeps a corpus's own test part out of training, and 40 speakers are too few
# to learn from. The parts are meant for speech recognition; no speaker is in two of them.
WANTED = re.compile(r"LibriSpeech/(?:[a-z-]+/(?=\d))?(?P<kept>[A-Z]+\.TXT|\d+/\d+/[\d-]+\.flac)")


def librispeech_folder(out=FOLDER, archives=ARCHIVES, mirror=HOME, remotes=REMOTES):
    """The folder with LibriSpeech in the course's format; made when it is not there, or not whole.

    Parameters
    ----------
    out : path
        Of the folder.
    archives : path
        Where the archives are, or are fetched to; they stay.
    mirror : str
        Address of a folder with the archives.
    remotes : sequence of Remote

    Returns
    -------
    Path

    Raises
    ------
    InputError
        When `out` holds something else, or the disk is too small; and as `download.fetch`, `unpack` and
        `conversion.convert`. The folder is there whole or not at all; archives that are whole stay.
    """
    out, archives = Path(out), Path(archives)
    facts, expected = {"name": NAME, "version": conversion.VERSION}, "a new or empty folder for LibriSpeech"
    if is_made(out, facts, lambda said: said.get("name") == NAME, expected):
        return out
    if not re.match(r"https?://[^/]", mirror):
        raise InputError("is not the address of a mirror", file=mirror, expected=f"one such as {HOME}")
    print("\n".join(SOURCE["about"]), flush=True)
    with download_folder(archives) as unfinished:
        lacking = [remote for remote in remotes if not is_whole(archives / remote.name, remote)]
        fetched = sum(max(0, each.size - bytes_arrived(unfinished / f"{each.name}.part")) for each in lacking)
        made = UNPACKED * sum(remote.size for remote in remotes) + CONVERTED
        free, needed = shutil.disk_usage(unfinished).free, fetched + made
        if free < needed:
            expected = f"{needed / 1e6:,.0f} MB: {fetched / 1e6:,.0f} to download and {made / 1e6:,.0f} "
            expected += "to unpack and convert; make room, or name another folder with --archives"
            raise InputError(f"has {free / 1e6:,.0f} MB of space left", file=archives, expected=expected)
        for remote in lacking:
            print(f"{remote.name}, {remote.size / 1e6:,.0f} MB, from {mirror}", flush=True)
            fetch(remote, archives, unfinished, mirror.rstrip("/") + "/")
        unpacked = unfinished / "LibriSpeech"
        for remote in remotes:
            unpack(archives / remote.name, unpacked)
        conversion.convert(unpacked, out, name=NAME)
    return out


def unpack(archive, folder):
    """Unpack what is needed of an archive: recordings, in a folder per speaker, and the table of speakers.

    Files only, under names of digits and letters: no link, and nothing outside `folder`, can come of it.

    Raises
    ------
    InputError
        When the archive is damaged, has a path that leads outside, or has no recordings; and when the disk
        is full.
    """
    about = {"file": archive.name, "expected": "a whole archive of LibriSpeech; remove it and run it again"}
    recordings = 0
    try:
        with gzip.open(archive) as packed, tarfile.open(fileobj=packed, mode="r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise InputError(f"has a path that leads outside ({path})", **about)
                wanted = WANTED.fullmatch(str(path))
                if member.isfile() and wanted:
                    target = folder / wanted["kept"]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as content, open(target, "wb") as file:
                        shutil.copyfileobj(content, file)
                    os.utime(target, (member.mtime, member.mtime))  # the same file when unpacked again
                    recordings += target.suffix == ".flac"
            while packed.read(1 << 20):  # the checksum of all stands at the end, where tarfile does not look
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"is damaged ({first_line(type(error).__name__, error)})", **about) from error
    except OSError as error:
        megabytes = UNPACKED * archive.stat().st_size / 1e6
        found = f"could not be unpacked to {folder} ({error.strerror or error})"
        expected = f"a writable folder with {megabytes:,.0f} MB of space left; the archive is kept"
        raise InputError(found, file=archive.name, expected=expected) from error
    if not recordings:
        raise InputError("has no recordings", **about)


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("data.convert.librispeech", __doc__)
    parser.add_argument("--out", default=FOLDER, metavar="DIR", help="default: data/librispeech")
    kept = "with the two archives, or for them to be kept in"
    parser.add_argument("--archives", default=ARCHIVES, metavar="DIR", help=kept)
    parser.add_argument("--mirror", default=HOME, metavar="ADDRESS", help="default: %(default)s")
    options, interrupted = parser.parse_args(arguments), "interrupted; what has arrived is kept"

    def make(options):
        print(conversion.summary(librispeech_folder(options.out, options.archives, options.mirror)))

    return run_program(make, options, prefix="librispeech: ", interrupted=interrupted)


if __name__ == "__main__":
    sys.exit(main())
