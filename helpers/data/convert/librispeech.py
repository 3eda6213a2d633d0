"""A real corpus by one command: 80 readers of LibriSpeech, fetched and brought into the course's format.

`python -m helpers.data.convert.librispeech` fetches the two parts `dev-clean` and `test-clean` (40 speakers
each, read aloud from books) from OpenSLR, checks them, and makes ``data/librispeech/trs.pkl`` and
``tes.pkl``.

Exit status: 0 when both are there, 1 when something is wrong, 130 after Ctrl-C.
"""

import argparse
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
from helpers.data.convert import conversion
from helpers.data.convert.download import Remote, bytes_arrived, download_folder, fetch, is_whole

NAME = "LibriSpeech (dev-clean and test-clean)"
HOME = "https://www.openslr.org/resources/12/"
FOLDER = PROJECT / "data" / "librispeech"
ARCHIVES = PROJECT / "data" / "librispeech-archives"
# Sizes and SHA-256 as torchaudio has them and as others found for archives of OpenSLR's own MD5.
REMOTES = (
    Remote(
        "dev-clean.tar.gz", 337_926_286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"
    ),
    Remote(
        "test-clean.tar.gz", 346_663_984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"
    ),
)
UNPACKED = 1.1  # bytes of recordings for a byte of archive
CONVERTED = 60_000_000  # bytes of the course's files
# Without the part: the converter keeps a corpus's own test part out of training, and 40 speakers are too few
# to learn from. The parts are meant for speech recognition; no speaker is in two of them.
WANTED = re.compile(r"LibriSpeech/(?:[a-z-]+/(?=\d))?(?P<kept>[A-Z]+\.TXT|\d+/\d+/[\d-]+\.flac)")

ABOUT = """\
LibriSpeech, parts dev-clean and test-clean: 80 speakers reading from books, from OpenSLR (SLR12).
Licence: Creative Commons Attribution 4.0 (CC BY 4.0). Whoever publishes what comes of it names the source:
V. Panayotov, G. Chen, D. Povey and S. Khudanpur, "Librispeech: an ASR corpus based on public domain audio
books", IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2015, 5206-5210.
"""


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
        As `is_made`, `check_space`, `download.fetch`, `unpack` and `conversion.convert`. The folder is there
        whole or not at all; archives that are whole stay.
    """
    out, archives = Path(out), Path(archives)
    if is_made(out):
        return out
    if not re.match(r"https?://[^/]", mirror):
        raise InputError(f"{mirror} is no address of a mirror; expected one such as {HOME}")
    print(ABOUT, flush=True)
    with download_folder(archives) as unfinished:
        lacking = [remote for remote in remotes if not is_whole(archives / remote.name, remote)]
        check_space(lacking, remotes, unfinished)
        for remote in lacking:
            print(f"{remote.name}, {remote.size / 1e6:,.0f} MB, from {mirror}", flush=True)
            fetch(remote, archives, unfinished, mirror.rstrip("/") + "/")
        unpacked = unfinished / "LibriSpeech"
        for remote in remotes:
            unpack(archives / remote.name, unpacked)
        conversion.convert(unpacked, out, name=NAME)
    return out


def is_made(out):
    """Whether a folder holds what `librispeech_folder` makes.

    Raises
    ------
    InputError
        When it holds something else, which is not for this file to replace.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        facts = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
        name, version, sizes = facts["name"], facts["version"], dict(facts["bytes"])
    except (OSError, ValueError, LookupError, TypeError):
        name = None
    if name != NAME:
        raise InputError(f"{out} holds something else; expected a new or empty folder for LibriSpeech")
    files = {path.name: path.stat().st_size for path in out.iterdir()}
    return version == conversion.VERSION and sizes.items() <= files.items()


def check_space(lacking, remotes, unfinished):
    """Refuse when the disk cannot take what is still to come.

    Parameters
    ----------
    lacking, remotes : sequence of Remote
        Those to fetch, and all that will be unpacked.
    unfinished : path
        Where the parts of files are that are there already.

    Raises
    ------
    InputError
    """
    download = sum(
        remote.size - min(bytes_arrived(unfinished / f"{remote.name}.part"), remote.size)
        for remote in lacking
    )
    unpacked = UNPACKED * sum(remote.size for remote in remotes) + CONVERTED
    free = shutil.disk_usage(unfinished).free
    if free < download + unpacked:
        raise InputError(
            f"{unfinished.parent} has {free / 1e6:,.0f} MB of space left; expected "
            f"{(download + unpacked) / 1e6:,.0f} MB: {download / 1e6:,.0f} to download and "
            f"{unpacked / 1e6:,.0f} to unpack and convert; make room, or name another folder with --archives"
        )


def unpack(archive, folder):
    """Unpack what is needed of an archive: recordings, in a folder per speaker, and the table of speakers.

    Files only, under names of digits and letters: no link, and nothing outside `folder`, can come of it.

    Raises
    ------
    InputError
        When the archive is damaged, has a path that leads outside, or has no recordings; and when the disk
        is full.
    """
    expected = "expected a whole archive of LibriSpeech; remove it and run it again"
    recordings = 0
    try:
        with gzip.open(archive) as packed, tarfile.open(fileobj=packed, mode="r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise InputError(f"{archive.name} has a path that leads outside ({path}); {expected}")
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
        raise InputError(
            f"{archive.name} is damaged ({first_line(type(error).__name__, error)}); {expected}"
        ) from error
    except OSError as error:
        megabytes = UNPACKED * archive.stat().st_size / 1e6
        raise InputError(
            f"{archive.name} could not be unpacked to {folder} ({error.strerror or error}); expected a "
            f"writable folder with {megabytes:,.0f} MB of space left; the archive is kept"
        ) from error
    if not recordings:
        raise InputError(f"{archive.name} has no recordings; {expected}")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.data.convert.librispeech", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", default=FOLDER, metavar="DIR", help="default: data/librispeech")
    parser.add_argument(
        "--archives", default=ARCHIVES, metavar="DIR", help="with the two archives, or for them to be kept in"
    )
    parser.add_argument("--mirror", default=HOME, metavar="ADDRESS", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        folder = librispeech_folder(options.out, options.archives, options.mirror)
    except InputError as error:
        print(f"librispeech: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("librispeech: interrupted; what has arrived is kept", file=sys.stderr)
        return 130
    print(conversion.summary(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
