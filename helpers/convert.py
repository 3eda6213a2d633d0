"""A corpus in the layout it comes in, converted to the course's format or to arrays of any size."""

import argparse
import sys

from helpers import SAMPLE_RATE, InputError
from helpers.data.convert.conversion import convert, summary
from helpers.data.convert.sampling import ConversionSettings
from helpers.data.corpora import SAMPLES


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.convert", description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="the corpus, or a table of paths and speakers")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder, or an earlier conversion")
    parser.add_argument("--layout", default="", help="default: recognised")
    parser.add_argument(
        "--name", default="", help="what results are labelled with; default: the folder's name"
    )
    parser.add_argument("--train-speakers", type=int, default=50)
    parser.add_argument("--test-speakers", type=int, default=20)
    parser.add_argument("--utterances", type=int, default=10, help="per speaker")
    default = [count / SAMPLE_RATE for count in SAMPLES.values()]
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=default, metavar=("TRAIN", "TEST"), help="of an utterance"
    )
    parser.add_argument(
        "--all", action="store_true", help="all other speakers train, all recordings are used"
    )
    parser.add_argument("--features", action="store_true", help="store spectrograms too")
    parser.add_argument("--npy", action="store_true", help="arrays to be mapped, not pickles")
    parser.add_argument("--microphone", default="mic1", help="of a recording by several; default: mic1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes; default: one per processor")
    options = parser.parse_args(arguments)
    try:
        settings = ConversionSettings(
            options.train_speakers,
            options.test_speakers,
            options.utterances,
            *(round(seconds * SAMPLE_RATE) for seconds in options.seconds),
            options.all,
            options.features,
            options.npy,
            options.microphone,
            options.seed,
        )
        out = convert(options.folder, options.out, settings, options.layout, options.name, options.workers)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("convert: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(summary(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
