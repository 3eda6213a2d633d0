"""Which speakers train and which test, and their recordings converted until both files are full."""

import math
import zlib
from collections import deque
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import mode

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from helpers import InputError, describe_value
from helpers.augmentation import at_speed
from helpers.batches import TrainingConfig
from helpers.data.convert.workers import GrowingArray, Task
from helpers.data.corpora import SAMPLES
from helpers.data.stored_features import features_name
from helpers.features import Spectrogram
from helpers.notebook import is_interactive

GENDERS = ("female", "male", "")  # the last: not known


def order_recordings(rows, seed):
    """The order in which a speaker's recordings are taken.

    One of each session in turn, sessions and their recordings shuffled; those in which everybody says the
    same come last.

    Parameters
    ----------
    rows : pandas.DataFrame
        The speaker's rows of `layouts.Listing.table`.
    seed : int

    Returns
    -------
    list
        The index labels of the rows.
    """
    rng = np.random.default_rng([seed, zlib.crc32(rows["speaker"].iloc[0].encode())])
    rows = rows.iloc[rng.permutation(len(rows))]
    turn = rows.groupby(["shared", "session"], sort=False).cumcount()
    return rows.assign(turn=turn).sort_values(["shared", "turn"], kind="stable").index.tolist()


def balanced_shares(count, available):
    """How many of each gender: as equal as can be, the unknown only when the known do not suffice.

    Parameters
    ----------
    count : int
    available : dict of str to int
        Speakers of each gender; under "" those of whom it is not known.

    Returns
    -------
    dict of str to int
    """
    female, male = available.get("female", 0), available.get("male", 0)
    women = min(female, max((count + 1) // 2, count - male))
    men = min(male, count - women)
    unknown = min(available.get("", 0), count - women - men)
    return {"female": women, "male": men, "": unknown}


class SpeakerDraw:
    """Speakers drawn in turn, of both genders as evenly as can be.

    Speakers of the corpus's own test part are never learnt from, and test before others do.

    Parameters
    ----------
    speakers : pandas.DataFrame
        Index: speakers; columns `gender` and `tests` (whether a speaker is of the corpus's own test part).
    seed : int
    """

    def __init__(self, speakers, seed):
        order = np.random.default_rng([seed, 0]).permutation(len(speakers))
        speakers = speakers.sort_index().iloc[order]
        self.own, self.others = (
            {gender: deque(speakers.index[(speakers["gender"] == gender) & mask]) for gender in GENDERS}
            for mask in (speakers["tests"], ~speakers["tests"])
        )

    def shares(self, count, testing, of_others=1.0):
        """How many speakers of each gender make `count`, with this share of those that may be trained on."""
        others = {gender: len(queue) for gender, queue in self.others.items()}
        there = {gender: int(others[gender] * of_others) for gender in GENDERS}
        if testing:
            there = {gender: there[gender] + len(self.own[gender]) for gender in GENDERS}
        shares = balanced_shares(count, there)
        shares[max(others, key=others.get)] += count - sum(shares.values())
        return shares

    def take(self, shares, testing):
        """Draw `shares` of each gender, others where there are too few; fewer when none are left.

        Parameters
        ----------
        shares : dict of str to int
        testing : bool
            Whether they are to test, and not to learn.

        Returns
        -------
        list
            Of speakers, the genders in turn.
        """
        drawn = {kind: [] for kind in GENDERS}
        for kind, count in shares.items():
            for _ in range(count):
                rest = sorted(GENDERS[:2], key=lambda each: -len(self.others[each]))
                for other in (kind, *rest, ""):
                    queue = self.own[other] if testing and self.own[other] else self.others[other]
                    if queue:
                        drawn[kind].append(queue.popleft())
                        break
        turns = zip_longest(*drawn.values())
        return [speaker for turn in turns for speaker in turn if speaker is not None]


SPEEDS = {"trs": (1, *TrainingConfig().speeds), "tes": (1,)}  # of what is stored as features


@dataclass(frozen=True)
class ConversionSettings:
    """What a conversion makes of a corpus.

    Parameters
    ----------
    train_speakers, test_speakers : int
    utterances : int
        Per speaker.
    train_samples, test_samples : int
        Length of an utterance.
    everything : bool
        All speakers but the test speakers train, and all usable recordings of a speaker are taken, two or
        more; `train_speakers` and `utterances` do not count, and genders are as they come.
    features : bool
        Store spectrograms too, with `features.Spectrogram`'s own settings; of the training file also those of
        the copies at other speeds that a training with `batches.TrainingConfig`'s own settings learns from.
    npy : bool
        Write ``.npy`` files however small.
    microphone : str
        As for `layouts.list_corpus`.
    seed : int
        Determines which speakers and recordings are drawn.
    """

    train_speakers: int = 50
    test_speakers: int = 20
    utterances: int = 10
    train_samples: int = SAMPLES["trs"]
    test_samples: int = SAMPLES["tes"]
    everything: bool = False
    features: bool = False
    npy: bool = False
    microphone: str = "mic1"
    seed: int = 0

    def __post_init__(self):
        shortest = Spectrogram().n_fft * (max(SPEEDS["trs"]) if self.features else 1)  # of its copies too
        for name, least in (("speakers", 2), ("utterances", 2), ("samples", shortest), ("seed", 0)):
            for key, value in asdict(self).items():
                if name in key and value < least:
                    raise InputError(f"{key} is {value}", expected=f"{math.ceil(least)} or more")

    def samples(self, part):
        """Length of a row of ``trs`` or ``tes``."""
        return {"trs": self.train_samples, "tes": self.test_samples}[part]

    def speeds(self, part):
        """Speeds that features of ``trs`` or ``tes`` are stored at."""
        return SPEEDS[part] if self.features else ()

    @property
    def fewest(self):
        """Recordings that a speaker has to have."""
        return 2 if self.everything else self.utterances


class CorpusConversion:
    """Speakers drawn and their recordings converted, part by part."""

    def __init__(self, listing, settings, work, journal, pool):
        self.listing, self.settings, self.work = listing, settings, work
        self.journal, self.pool = journal, pool
        self.groups = listing.table.groupby("speaker")
        self.files = pd.concat([listing.table, listing.seconds])
        self.seconds = listing.seconds.groupby("of").groups
        self.speakers = pd.DataFrame(
            {
                "gender": self.groups["gender"].max(),
                "tests": listing.table["part"].str.match("test|eval").groupby(listing.table["speaker"]).all(),
                "recordings": self.groups.size(),
            }
        )
        self.draw = SpeakerDraw(self.speakers[self.speakers["recordings"] >= settings.fewest], settings.seed)

    def part(self, part):
        """Convert the speakers of one part: the numbers of their recordings, and the first sample of each."""
        settings, kept, samples = self.settings, [], self.settings.samples(part)
        earlier = [each.rows for (name, _), each in self.journal.done.items() if name == part]
        rows = sum(len(each) for each in earlier if len(each) >= settings.fewest)
        arrays = [GrowingArray(self.work / f"{part}.npy", (samples,), rows)]
        for speed in settings.speeds(part):
            shape = Spectrogram()(at_speed(np.zeros((1, samples)), speed)).shape[1:]
            arrays.append(GrowingArray(self.work / features_name(part, speed), shape, rows))
        count, shares = self._shares(part)
        hidden = False if is_interactive() else None  # None: where stderr is no terminal
        with tqdm(total=count, desc=f"{part}: speakers", unit="speaker", disable=hidden) as bar:
            while drawn := self.draw.take(shares, part == "tes"):
                shares = dict.fromkeys(shares, 0)
                for speaker, outcome in self._outcomes(part, drawn, arrays):
                    if len(outcome.rows) >= settings.fewest:
                        kept.append(outcome.rows)
                        bar.update()
                    elif not settings.everything or part == "tes":
                        shares[self.speakers.loc[speaker, "gender"]] += 1
        if len(kept) < (2 if settings.everything and part == "trs" else count):
            raise self._too_few()
        for array in arrays:
            array.finish()
        return [pair for rows in kept for pair in rows]

    def _shares(self, part):
        """How many speakers a part is to have, and how many of each gender."""
        settings = self.settings
        if part == "tes":
            learning = 0 if settings.everything else settings.train_speakers
            of_others = settings.test_speakers / (settings.test_speakers + learning)
            return settings.test_speakers, self.draw.shares(settings.test_speakers, True, of_others)
        if settings.everything:
            shares = {gender: len(queue) for gender, queue in self.draw.others.items()}
            return sum(shares.values()), shares
        return settings.train_speakers, self.draw.shares(settings.train_speakers, False)

    def _outcomes(self, part, drawn, arrays):
        """Each speaker with the outcome, from the journal or new; the rows of new ones are appended."""
        new = []
        for speaker in drawn:
            if (part, speaker) in self.journal.done:
                yield speaker, self.journal.done[part, speaker]
            else:
                new.append(speaker)
        for task, outcome in self.pool(self._task(part, speaker) for speaker in new):
            for number, array in enumerate(arrays):
                spool = Path(f"{task.spool}.{number}")
                if len(outcome.rows) >= self.settings.fewest:
                    array.append(spool, len(outcome.rows))
                spool.unlink()
            self.journal.record(part, task.speaker, outcome)
            yield task.speaker, outcome

    def _task(self, part, speaker):
        settings, paths = self.settings, self.files["path"]
        order = order_recordings(self.groups.get_group(speaker), settings.seed)
        numbers = [(number, *self.seconds.get(number, ())) for number in order]
        files = [[(n, str(self.listing.place(paths[n])), paths[n]) for n in each] for each in numbers]
        wanted = 0 if settings.everything else settings.utterances
        spool = str(self.work / f"{part}-{self.speakers.index.get_loc(speaker)}")
        return Task(speaker, files, wanted, settings.samples(part), settings.speeds(part), spool)

    def _too_few(self):
        settings, done = self.settings, self.journal.done.values()
        good = sum(len(each.rows) >= settings.fewest for each in done)
        unusable = [pair for each in done for pair in each.left_out]
        reasons = [why.removeprefix(f"{self.files['path'][number]} ") for number, why in unusable]
        often = f", most often unusable: {mode(reasons)}" if reasons else ""
        found = f"has {len(self.speakers)} speakers, {good} of them with {settings.fewest} usable recordings"
        wanted = settings.test_speakers + (2 if settings.everything else settings.train_speakers)
        expected = f"{wanted} for both files, or fewer to be asked for: python -m helpers.convert ... "
        expected += "--train-speakers N --test-speakers N --utterances N"
        some = self.speakers.index[:3].tolist()
        taken = describe_value(", ".join(some)) + ", …" * (len(self.speakers) > len(some))
        found = f"{found} or more{often}; taken for speakers: {taken}"
        return InputError(found, file=describe_value(self.listing.name), expected=expected)

    def left_out(self, numbers):
        """Every recording that is not among `numbers`, with the reason: columns `path` and `reason`."""
        files, fewest = self.files, self.settings.fewest
        few = self.speakers["recordings"][self.speakers["recordings"] < fewest]
        why = few.map(lambda count: f"its speaker has {count} recordings; expected {fewest}").to_dict()
        unusable = {}
        for (_, speaker), outcome in self.journal.done.items():
            count = len(outcome.rows)
            why[speaker] = f"not needed: {count} others of its speaker are used"
            if count < fewest:
                why[speaker] = f"its speaker has {count} usable recordings; expected {fewest}"
            unusable |= dict(outcome.left_out)
        reasons = files["speaker"].map(why).fillna("its speaker was not drawn")
        seconds = self.listing.seconds["of"]
        reasons[seconds.index] = "another file of the recording " + files["path"][seconds].to_numpy(object)
        reasons[list(unusable)] = list(unusable.values())
        taken = [number for pairs in numbers.values() for number, _ in pairs]
        rest = pd.DataFrame({"path": files["path"], "reason": reasons}).drop(index=taken)
        return pd.concat([rest, self.listing.left_out])
