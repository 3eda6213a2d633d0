"""A corpus in the layout it comes in, converted to the course's format or to arrays of any size."""

import sys

from helpers import SAMPLE_RATE
from helpers.command_line import new_parser, run_program
from helpers.data.convert.conversion import convert, summary
from helpers.data.convert.sampling import ConversionSettings
from helpers.data.corpora import SAMPLES


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("convert", __doc__)
    parser.add_argument("folder", help="the corpus, or a table of paths and speakers")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder, or an earlier conversion")
    parser.add_argument("--layout", default="", help="default: recognised")
    label = "what results are labelled with; default: the folder's name"
    parser.add_argument("--name", default="", help=label)
    parser.add_argument("--train-speakers", type=int, default=50)
    parser.add_argument("--test-speakers", type=int, default=20)
    parser.add_argument("--utterances", type=int, default=10, help="per speaker")
    default = [count / SAMPLE_RATE for count in SAMPLES.values()]
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=default, metavar=("TRAIN", "TEST"), help="of an utterance"
    )
    everything = "all other speakers train, all recordings are used"
    parser.add_argument("--all", dest="everything", action="store_true", help=everything)
    parser.add_argument("--features", action="store_true", help="store spectrograms too")
    parser.add_argument("--npy", action="store_true", help="arrays to be mapped, not pickles")
    parser.add_argument("--microphone", default="mic1", help="of a recording by several; default: mic1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes; default: one per processor")
    interrupted = "convert: interrupted; the same command goes on from here"
    return run_program(_convert, parser.parse_args(arguments), interrupted=interrupted)


def _convert(options):
    given = vars(options)
    folder, out, layout, name, workers = map(given.pop, ("folder", "out", "layout", "name", "workers"))
    train_samples, test_samples = (round(seconds * SAMPLE_RATE) for seconds in given.pop("seconds"))
    settings = ConversionSettings(train_samples=train_samples, test_samples=test_samples, **given)
    print(summary(convert(folder, out, settings, layout, name, workers)))


if __name__ == "__main__":
    sys.exit(main())
