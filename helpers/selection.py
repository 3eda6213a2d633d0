"""Who of a corpus is learnt from, who tests, and which of a speaker's recordings come first."""

import zlib
from collections import deque
from itertools import zip_longest

import numpy as np

KINDS = ("female", "male", "")  # the last: not known


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


def even_shares(count, available):
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


class Draw:
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
            {gender: deque(speakers.index[(speakers["gender"] == gender) & mask]) for gender in KINDS}
            for mask in (speakers["tests"], ~speakers["tests"])
        )

    def shares(self, count, testing, of_others=1.0):
        """How many speakers of each gender make `count`, with this share of those who may learn too."""
        there = {
            kind: len(self.own[kind]) * testing + int(len(self.others[kind]) * of_others) for kind in KINDS
        }
        shares = even_shares(count, there)
        shares[max(KINDS, key=lambda kind: len(self.others[kind]))] += count - sum(shares.values())
        return shares

    def take(self, shares, testing):
        """Draw so many of each gender, others in place of those that are not there; fewer when none are left.

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
        drawn = {kind: [] for kind in KINDS}
        for kind, count in shares.items():
            for _ in range(count):
                rest = sorted(KINDS[:2], key=lambda each: -len(self.others[each]))
                for other in (kind, *rest, ""):
                    queue = self.own[other] if testing and self.own[other] else self.others[other]
                    if queue:
                        drawn[kind].append(queue.popleft())
                        break
        turns = zip_longest(*drawn.values())
        return [speaker for turn in turns for speaker in turn if speaker is not None]
