"""The research's tables: read, and drawn."""

import matplotlib

matplotlib.use("agg")

import numpy as np
import pandas as pd
import pytest

from helpers import InputError
from helpers.plots import research as research_plots

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


def test_the_differences_by_speakers_have_their_own_whiskers():
    rows = []
    for n, eer in ((20, 0.07), (5, 0.12)):
        ends = (eer - 0.06, eer - 0.08, eer - 0.05)
        rows.append(idea("one", f"learners_{n}", "speakers", "course", ends, eer=eer) | {"max_speakers": n})
    (axes,) = research_plots.plot_difference_by_speakers(pd.DataFrame(rows), "one").axes
    (bars,) = axes.containers
    assert bars[0].get_xdata().tolist() == [5, 20]
    assert bars[0].get_ydata() == pytest.approx([6, 1])
    ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
    assert ends == pytest.approx(np.array([[4, 7], [-1, 2]]))
    assert [text.get_text() for text in axes.texts] == ["EER 12.0 %", "EER 7.0 %"]
    assert axes.get_xscale() == "log"
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "20"]
    assert axes.get_xlabel() == "training speakers"


def test_held_out_speakers_stand_beside_the_test():
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
    assert "held-out" in one.get_xlabel()
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["Siamese GRU", "MFCCs and LDA"]
