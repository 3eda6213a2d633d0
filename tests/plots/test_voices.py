"""The map of voices: its points, its colours, and the page that answers the pointer."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.plots import voices as voice_plots

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(30, 2))
SPEAKERS = np.repeat([f"s{i}" for i in range(6)], 5)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.slow
def test_neighbours_stay_neighbours():
    places = np.repeat(10 * RNG.normal(size=(6, 12)), 5, axis=0) + 0.1 * RNG.normal(size=(30, 12))
    points = voice_plots.tsne_positions(places)
    apart = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(30)
    assert (SPEAKERS[apart.argmin(axis=1)] == SPEAKERS).all()
    np.testing.assert_array_equal(points, voice_plots.tsne_positions(places))
    assert voice_plots.tsne_positions(places[:3]).shape == (3, 2)


def test_pitch_is_found():
    time = np.arange(16000) / 16000
    tones = [0.5 * np.sin(2 * np.pi * hertz * time) * (time > 0.2) for hertz in (110, 220)]
    np.testing.assert_allclose(voice_plots.median_pitch(tones), [110, 220], rtol=0.02)


def test_a_speaker_has_one_colour_and_no_other_has_it():
    shades = voice_plots.speaker_colours(SPEAKERS)
    assert len(set(shades)) == 6
    assert all(len(set(shades[i : i + 5])) == 1 for i in range(0, 30, 5))
    assert len(set(voice_plots.speaker_colours(np.arange(70)))) == 70


def test_the_page_holds_every_voice_and_no_voice_breaks_it():
    table = pd.DataFrame({"speaker": SPEAKERS, "file": "</script><b>&.wav", "age": [""] * 29 + ["7"]})
    colours = {"speaker": voice_plots.speaker_colours(SPEAKERS), "gender": ["#000000"] * 30}
    page = voice_plots.map_page(POINTS, table, colours, "a <b> map")
    assert page.count("</script>") == 1
    assert "a &lt;b&gt; map" in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page), "nothing is loaded from elsewhere"
    voices = json.loads(re.search(r"const voices = (\[.*\]), colours = (\{.*\})", page)[1])
    assert [voice["s"] for voice in voices] == SPEAKERS.tolist()
    assert voices[-1]["t"] == "speaker s5, file </script><b>&.wav, age 7"
    assert voices[0]["t"] == "speaker s0, file </script><b>&.wav"
    xy = np.array([[voice["x"], voice["y"]] for voice in voices])
    assert xy.min() >= 20
    assert xy.max() <= voice_plots.SIZE - 20


def test_the_page_is_saved_whole(tmp_path):
    path = voice_plots.save_page("<p>ü</p>", tmp_path, "10_map")
    assert path == tmp_path / "figures" / "10_map.html"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_curves_are_of_what_they_say():
    strangers, answers = np.array([1.0, 2, 3, 4]), (np.array([True, True, False]), np.array([5.0, 2, 9]))
    figure = voice_plots.plot_open_set(strangers, answers, {"here": 3.0})
    assert "here: 50 / 67 %" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    figure = voice_plots.plot_impostors_by_gallery([1, 2], [0.1, 0.2], [0.1, 0.19], 0.05)
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), [10, 20])
    figure = voice_plots.plot_accuracy_by_neighbours([1, 3], [0.9, 0.8])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [90, 80])
    known = RNG.random(30) < 0.5
    figure = voice_plots.plot_map(POINTS, SPEAKERS, np.where(known, "female", "male"), known)
    assert [len(each.get_offsets()) for each in figure.axes[0].collections] == [known.sum(), (~known).sum()]
    columns = ["search", "breadth", "recall", "alone", "together", "megabytes", "build"]
    rows = [("exact", 0, 1.0, 5.0, 1.0, 80.0, 0.0), ("graph", 16, 0.9, 0.1, 0.1, 90.0, 3.0)]
    figure = voice_plots.plot_searches(pd.DataFrame(rows, columns=columns))
    assert [bar.get_height() for bar in figure.axes[1].patches] == [80, 90]
