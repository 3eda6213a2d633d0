"""The research's tables: read, and drawn."""

import matplotlib

matplotlib.use("agg")

import numpy as np
import pandas as pd
import pytest

from helpers import InputError
from helpers.plots import research as research_plots
from helpers.plots.style import BLUE, GREY, ORANGE

NOTHING = {"difference": np.nan, "low": np.nan, "high": np.nan}


def idea(corpus, name, group, base, ends, eer=0.1):
    found = NOTHING if ends is None else dict(zip(("difference", "low", "high"), ends, strict=True))
    facts = {
        "eer": eer,
        "eer_enrol5": 0.05,
        "eer_disturbed": 0.3,
        "difference_disturbed": np.nan if ends is None else 0.012,
        "parameters": 91906,
        "seeds": 3,
    }
    return (
        {"corpus": corpus, "idea": name, "group": group, "what": f"the {name} one", "base": base}
        | found
        | facts
    )


IDEAS = pd.DataFrame(
    [
        idea("one", "course", "course", "", None),
        idea("one", "mel", "features", "course", (0.01, -0.01, 0.03), eer=0.11),
        idea("one", "log", "features", "course", (-0.02, -0.03, -0.01), eer=0.08),
        idea("one", "thin", "features", "mel", (0.04, 0.02, 0.05), eer=0.15),
        idea("one", "lstm", "encoder", "course", (0.0, -0.01, 0.01)),
        idea("two", "course", "course", "", None),
        idea("two", "mel", "features", "course", (-0.03, -0.05, -0.01), eer=0.07),
    ]
)


def test_results_are_read_and_refused_by_name(tmp_path):
    path = tmp_path / "ideas.csv"
    for content in (None, b"", b"\xff\xfe\x00"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(
            InputError,
            match=r"^ideas\.csv cannot be read \(.*\); python -m helpers\.research\.experiments writes it$",
        ):
            research_plots.load_results(path, ["eer"])
    IDEAS.to_csv(path, index=False)
    assert research_plots.load_results(path, ["corpus", "eer"])["eer"].tolist() == IDEAS["eer"].tolist()
    with pytest.raises(InputError, match=r"ideas\.csv has no column seed, loss; python -m helpers"):
        research_plots.load_results(path, ["corpus", "seed", "loss"])


def test_a_forest_has_a_row_an_idea_and_a_panel_a_corpus():
    figure = research_plots.plot_forest(IDEAS, "features")
    figure.canvas.draw()
    one, two = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    labels = [text.get_text().replace("\n", " ") for text in one.get_yticklabels()]
    assert labels == [
        *("compared with: the course one", "the log one", "the mel one"),
        *("compared with: the mel one", "the thin one"),
    ]
    drawn = [(line.get_xdata().tolist(), line.get_color()) for line in one.lines[1:]]
    assert drawn == [
        (pytest.approx([-3, -1]), BLUE),
        (pytest.approx([-2]), BLUE),
        (pytest.approx([-1, 3]), GREY),
        (pytest.approx([1]), GREY),
        (pytest.approx([2, 5]), ORANGE),
        (pytest.approx([4]), ORANGE),
    ]
    assert [line.get_ydata()[0] for line in two.lines[1:]] == [2, 2]
    assert "percentage points" in one.get_xlabel()
    assert one.get_ylabel() == "features"


def test_the_table_is_sorted_and_in_per_cent():
    table = research_plots.ideas_table(IDEAS)
    assert table.index[:3].tolist() == [
        ("one", "the log one"),
        ("one", "the course one"),
        ("one", "the lstm one"),
    ]
    assert table.loc[("one", "the log one")].tolist() == [
        "8.0", "-2.0 (-3.0 to -1.0)", "5.0", "30.0", "+1.2", "91,906", "3",
    ]  # fmt: skip
    assert table.loc[("one", "the course one"), "to its base"] == ""


def test_the_error_falls_with_the_number_of_speakers():
    # over all its seeds the base has 0.09; with those of the others, 0.06
    rows = [idea("one", "course", "", "", None, eer=0.09) | {"max_speakers": 40}]
    for n, eer in ((20, 0.07), (5, 0.12)):
        ends = (eer - 0.06, eer - 0.08, eer - 0.05)
        rows.append(idea("one", f"learners_{n}", "speakers", "course", ends, eer=eer) | {"max_speakers": n})
    rows.append(idea("two", "course", "", "", None) | {"max_speakers": 40})  # nothing to draw
    (axes,) = research_plots.plot_error_by_speakers(pd.DataFrame(rows)).axes
    *whiskers, curve = axes.lines
    assert curve.get_xdata().tolist() == [5, 20, 40]
    assert curve.get_ydata() == pytest.approx([12, 7, 6])
    assert [line.get_xdata().tolist() for line in whiskers] == [[5, 5], [20, 20]]
    assert np.concatenate([line.get_ydata() for line in whiskers]) == pytest.approx([10, 13, 5, 8])
    assert axes.get_xscale() == "log"
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "20", "40"]
    assert axes.get_xlabel() == "speakers learnt from"


def test_what_was_foretold_stands_beside_what_came():
    rows = [
        ("one", "siamese_gru", 0, 0.08, 0.09),
        ("one", "mfcc_lda", 0, 0.12, 0.11),
        ("two", "mfcc_lda", 0, 0.2, 0.1),
    ]
    table = pd.DataFrame(rows, columns=["corpus", "system", "seed", "held_out_eer", "eer"])
    figure = research_plots.plot_cv_against_test(table)
    figure.canvas.draw()
    one, two = figure.axes
    assert [axes.get_title() for axes in (one, two)] == ["one", "two"]
    assert np.ravel(one.lines[0].get_data()) == pytest.approx([8, 9])
    assert np.ravel(two.lines[0].get_data()) == pytest.approx([20, 10])
    assert one.get_xlim() == one.get_ylim() == pytest.approx((0, 13.8))
    assert "cross-validation" in one.get_xlabel()
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["Siamese GRU", "MFCCs and LDA"]
