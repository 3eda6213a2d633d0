"""Who is drawn and what comes first: genders, sessions, the corpus's own test speakers."""

import numpy as np
import pandas as pd
import pytest

from helpers.data.convert.sampling import SpeakerDraw, balanced_shares, order_recordings


def rows(sessions, shared=()):
    return pd.DataFrame(
        {"speaker": "s", "session": sessions, "shared": [i in shared for i in range(len(sessions))]},
        index=range(100, 100 + len(sessions)),
    )


def test_sessions_take_turns_and_shared_sentences_come_last():
    table = rows(list("aaaaabbbc"), shared=(0, 5))
    order = order_recordings(table, 0)
    assert sorted(order) == table.index.tolist()
    assert set(order[-2:]) == {100, 105}
    sessions = table.loc[order, "session"].tolist()
    assert sorted(sessions[:3]) == ["a", "b", "c"]
    assert sorted(sessions[3:5]) == ["a", "b"]
    assert order_recordings(table, 0) == order
    assert len({tuple(order_recordings(table, seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("count", "available", "expected"),
    [
        (20, (50, 50, 0), (10, 10, 0)),
        (20, (5, 50, 9), (5, 15, 0)),
        (20, (50, 3, 9), (17, 3, 0)),
        (20, (4, 3, 50), (4, 3, 13)),
        (3, (9, 9, 0), (2, 1, 0)),
        (20, (0, 0, 70), (0, 0, 20)),
        (20, (3, 3, 3), (3, 3, 3)),
    ],
)
def test_shares_are_as_even_as_can_be(count, available, expected):
    assert (
        tuple(balanced_shares(count, dict(zip(("female", "male", ""), available, strict=True))).values())
        == expected
    )


def speakers(female, male, unknown=0, tests=()):
    genders = ["female"] * female + ["male"] * male + [""] * unknown
    names = [f"s{i:03d}" for i in range(len(genders))]
    return pd.DataFrame({"gender": genders, "tests": [name in tests for name in names]}, index=names)


def drawn(table, testing, learning, seed=0):
    draw = SpeakerDraw(table, seed)
    tes = draw.take(draw.shares(testing, True, testing / (testing + learning)), True)
    trs = draw.take(draw.shares(learning, False), False)
    assert set(tes).isdisjoint(trs)
    assert len(set(tes)) == len(tes)
    counts = [table.loc[part, "gender"].value_counts().to_dict() for part in (tes, trs)]
    return tes, trs, *counts


@pytest.mark.parametrize(
    ("there", "tested", "learnt"),
    [
        ((35, 35), {"female": 10, "male": 10}, {"female": 25, "male": 25}),
        ((300, 300), {"female": 10, "male": 10}, {"female": 25, "male": 25}),
        ((28, 100), {"female": 8, "male": 12}, {"female": 20, "male": 30}),  # the few women in both
        ((0, 0, 70), {"": 20}, {"": 50}),
    ],
)
def test_both_files_are_balanced(there, tested, learnt):
    _, trs, *counts = drawn(speakers(*there), 20, 50)
    assert counts == [tested, learnt]
    genders = speakers(*there).loc[trs, "gender"].tolist()
    if there[0] == there[1] and there[0]:
        assert genders[:4] == ["female", "male"] * 2


def test_scraps_are_enough():
    for female in range(6):
        tes, trs, *_ = drawn(speakers(female, 5 - female), 2, 3)
        assert (len(tes), len(trs)) == (2, 3)


def test_speakers_of_the_test_part_are_never_learnt_from():
    own = [f"s{i:03d}" for i in (0, 1, 2, 30, 31)]
    table = speakers(20, 20, tests=own)
    for seed in range(5):
        tes, trs, tested, learnt = drawn(table, 8, 20, seed)
        assert set(own) <= set(tes)
        assert set(own).isdisjoint(trs)
        assert (tested, learnt) == ({"female": 4, "male": 4}, {"female": 10, "male": 10})
    tes, trs, *_ = drawn(table, 2, 20)
    assert np.isin(tes, own).all()
    assert not np.isin(trs, own).any()  # not even those that did not test
