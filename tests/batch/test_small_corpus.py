"""All notebooks in one batch run, on a small corpus."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from samples import without_zeromq

from helpers import PROJECT, SAMPLE_RATE
from helpers.data.corpora import load_course
from helpers.data.synthesis import make_corpus
from helpers.files import file_digest

QUICK = """epochs=2 held_out_folds=2 batch_speakers=6 draws=50 speakers_per_batch=6 phrase_epochs=1
    collection=2000 wanted=0.3 speeds=1.1 training_epochs=2"""


def write_words(folder):
    """Four words in two flat folders, `clara_03.wav` by speaker 3; the utterances stand for them."""
    for part, corpus in zip(("train", "test"), load_course(folder / "voices"), strict=True):
        (folder / "words" / part).mkdir(parents=True, exist_ok=True)
        for speaker in np.unique(corpus.speakers):
            said = corpus.waveforms[corpus.speakers == speaker]
            for word, waveform in zip(("anna", "boris", "clara", "david"), said, strict=False):
                path = folder / "words" / part / f"{word}_{speaker:02d}.wav"
                soundfile.write(path, waveform, SAMPLE_RATE)


@pytest.mark.slow
def test_course_runs_on_a_small_corpus(tmp_path, pytestconfig):
    environment = os.environ | {"SIAMESE_VOICES_CHECKPOINTS": str(pytestconfig.trainings or "")}
    # The batch does not repeat a notebook whose files, parameters and code are those of an earlier run; it
    # knows nothing of the libraries' versions.
    folder, lock = tmp_path, file_digest(PROJECT / "requirements.txt")
    if pytestconfig.trainings:
        folder = pytestconfig.cache.mkdir(f"small_corpus-{lock[:12]}")
    make_corpus(folder / "voices", train_speakers=10, test_speakers=4)
    command = [sys.executable, "-m", "helpers.batch", "--data", folder / "voices", "--out", folder / "out"]
    command += ["--notebooks", "01,02,03,04,05,06,07,08,09,10,11,12,13"]
    write_words(folder)
    command += ["-p", "words", folder / "words"]
    command += [part for each in QUICK.split() for part in ("-p", *each.split("="))]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert without_zeromq(result.stderr) == ""
    rows = json.loads((folder / "out" / "metrics.json").read_text())
    systems = "ensemble ge2e_softmax ge2e_contrast contrastive_mel vgg_attention nearest_voices"
    assert set(systems.split()) < set(rows)
    figures = rows["siamese_gru"]
    wanted = "accuracy accuracy_ci eer eer_ci roc_auc min_dcf threshold eer_enrol5 train_seconds parameters"
    wanted += " speakers_train speakers_test trials corpus backend"
    assert set(wanted.split()) <= set(figures)
    assert figures["speakers_test"] == 4
    assert "siamese_gru" in result.stdout
