"""The trained model as ONNX files, for programs that have onnxruntime and nothing else of this course.

`python -m helpers.export` writes NAME.onnx, from waveforms to embeddings, and NAME_scores.onnx, from
embeddings to log likelihood ratios, named as the model is. Both are compared with it before they are kept.
"""

from pathlib import Path

import numpy as np
import onnxruntime

from helpers import SAMPLE_RATE, InputError
from helpers.command_line import new_parser, run_program
from helpers.export.onnx_graphs import embeddings_graph, scores_graph
from helpers.files import atomic_write
from helpers.verifier import load_verifier
from helpers.verify import TRAINED, find_model

SECONDS = (1.0, 1.41, 3.7)  # of the recordings that the files are checked with, beside the shortest
# At most. On a processor it is 1e-6 and 1e-5; products in TF32, which GPUs may take, are rounded at 5e-4.
EMBEDDINGS_APART, SCORES_APART = 1e-3, 2e-2


def differences(verifier, embeddings, scores, waveforms):
    """How far two sessions are from the Keras model.

    Parameters
    ----------
    verifier : verifier.Verifier
    embeddings, scores : onnxruntime.InferenceSession
        Of `embeddings_graph` and `scores_graph`.
    waveforms : list of float32 arrays (utterances, samples)

    Returns
    -------
    tuple of float
        Largest differences of embeddings, and of scores of all of them with each other; NaN where one has it.
    """
    ours = np.concatenate([verifier.embed(each) for each in waveforms])
    theirs = np.concatenate([embeddings.run(None, {"waveforms": each})[0] for each in waveforms])
    (ratios,) = scores.run(None, {"embeddings": theirs, "others": theirs})
    return float(np.abs(ours - theirs).max()), float(np.abs(verifier.scores(ours) - ratios).max())


def _recordings(features):
    """Noise that fades away, one row into silence: bins at every level, down to the floor."""
    rng, recordings = np.random.default_rng(0), []
    for samples in (features.n_fft, *(int(seconds * SAMPLE_RATE) for seconds in SECONDS)):
        noise = rng.normal(0, 0.1, (2, samples)) * np.geomspace(1, 1e-4, samples)
        noise[1, samples // 2 :] = 0
        recordings.append(noise.astype(np.float32))
    return recordings


def export(verifier, folder, name="ensemble"):
    """Write FOLDER/NAME.onnx (`embeddings_graph`) and FOLDER/NAME_scores.onnx (`scores_graph`), or neither.

    Parameters
    ----------
    verifier : verifier.Verifier
    folder : path
    name : str

    Returns
    -------
    tuple of float
        As `differences`, over noise of several lengths.

    Raises
    ------
    InputError
        As `embeddings_graph`; when the files differ from the model by more than `EMBEDDINGS_APART` or
        `SCORES_APART`; and when they cannot be written. Earlier files stay.
    """
    graphs = embeddings_graph(verifier), scores_graph(verifier)
    paths = Path(folder, f"{name}.onnx"), Path(folder, f"{name}_scores.onnx")
    with atomic_write(paths[0]) as embeddings, atomic_write(paths[1]) as scores:
        for graph, path in zip(graphs, (embeddings, scores), strict=True):
            path.write_bytes(graph.SerializeToString())
        cpu = {"providers": ["CPUExecutionProvider"]}
        sessions = (onnxruntime.InferenceSession(path, **cpu) for path in (embeddings, scores))
        apart = differences(verifier, *sessions, _recordings(verifier.spectrogram))
        if not (apart[0] <= EMBEDDINGS_APART and apart[1] <= SCORES_APART):  # NaN is neither
            found = f"gives embeddings {apart[0]:.1e} and scores {apart[1]:.1e} from the model's"
            expected = f"{EMBEDDINGS_APART:.0e} and {SCORES_APART:.0e} at most; it was not kept"
            raise InputError(found, file=paths[0].name, expected=expected)
    return apart


def _export_model(options):
    path = Path(options.model) if options.model else find_model()
    embeddings, scores = export(load_verifier(path), options.out, path.stem)
    for name in (f"{path.stem}.onnx", f"{path.stem}_scores.onnx"):
        print(f"{Path(options.out, name)}: {Path(options.out, name).stat().st_size / 1e6:.1f} MB")
    print(f"Largest differences from {path.name}: embeddings {embeddings:.1e}, scores {scores:.1e}")


def main(arguments=None):
    """The command line; returns the exit status: 1 when nothing was written."""
    parser = new_parser("export", __doc__)
    parser.add_argument("model", nargs="?", help="a .keras file (default: that of helpers.verify)")
    default = "folder of the .onnx files (default: results/models)"
    parser.add_argument("--out", default=TRAINED.parent, help=default)
    return run_program(_export_model, parser.parse_args(arguments))
