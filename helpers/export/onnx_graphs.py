"""The ONNX graphs of a trained model, written operator by operator from its settings and weights.

Keras' own export leaves the constants of the standardising as inputs that nobody has, works under one
backend, and begins at the spectrograms; these graphs begin at the waveforms, whatever the backend.
"""

import json

import keras
import librosa
import numpy as np
import onnx
from keras import layers, ops
from onnx import TensorProto, helper, numpy_helper

from helpers import InputError
from helpers.ensemble.members import AttentivePooling, Cepstrum, LogMel
from helpers.ensemble.members import VoiceCorrelations, VoiceStatistics
from helpers.models import StatisticsPooling
from helpers.verifier import model_digest

OPSET = [helper.make_opsetid("", 18)]  # onnxruntime 1.14, of February 2023, and later
_array = ops.convert_to_numpy


class Graph:
    """Operators and constants of an ONNX graph in the making; values go by their names."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, operator, *inputs, outputs=1, **attributes):
        """An operator on values, or on arrays, which become constants; the name of its output, or of each."""
        named = list(inputs)
        for position, each in enumerate(inputs):
            if not isinstance(each, str):
                named[position] = f"constant_{len(self.constants)}"
                self.constants.append(numpy_helper.from_array(np.asarray(each), named[position]))
        names = [f"{operator}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, named, names, names[0], **attributes))
        return names[0] if outputs == 1 else names

    def model(self, inputs, output, source, properties):
        """A checked ModelProto: `inputs` names to shapes, `output` its name and shape, `source` its value."""
        self.nodes.append(helper.make_node("Identity", [source], [output[0]], output[0]))
        shapes = [*inputs.items(), output]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
        graph = helper.make_graph(self.nodes, output[0], values[:-1], values[-1:], self.constants)
        ir = helper.find_min_ir_version_for(OPSET)
        model = helper.make_model(graph, opset_imports=OPSET, ir_version=ir, producer_name="siamese-voices")
        helper.set_model_props(model, properties)
        onnx.checker.check_model(model, full_check=True)
        return model


def _spectrogram(graph, features, waveforms):
    """As `features.Spectrogram`: in doubles, as librosa transforms, for bins far below the loudest one."""
    half, tiny = features.n_fft // 2, np.finfo(np.float32).tiny
    window = librosa.filters.get_window("hann", features.n_fft)
    x = graph.add("Cast", waveforms, to=TensorProto.DOUBLE)
    x = graph.add("Pad", x, np.array([0, half, 0, half]))
    x = graph.add("Unsqueeze", x, np.array([2]))
    x = graph.add("STFT", x, np.array(features.hop_length), window, np.array(features.n_fft))
    x = graph.add("ReduceL2", x, np.array([3]), keepdims=0)
    if features.mel_bands:
        bank = librosa.filters.mel(sr=features.sample_rate, n_fft=features.n_fft, n_mels=features.mel_bands)
        x = graph.add("Sqrt", graph.add("MatMul", graph.add("Mul", x, x), bank.T.astype(float)))
    if features.compression != "none":
        loudest = graph.add("ReduceMax", x, np.array([1, 2]))
        x = graph.add("Div", x, graph.add("Max", loudest, np.float64(tiny)))
    if features.compression == "power":
        x = graph.add("Pow", x, np.float64(0.2))
    if features.compression == "log":
        x = graph.add("Log", graph.add("Max", x, np.float64(features.floor)))
    return graph.add("Cast", x, to=TensorProto.FLOAT)


def _normalization(graph, layer, x):
    spread = np.maximum(np.sqrt(_array(layer.variance)), keras.config.epsilon())
    return graph.add("Div", graph.add("Sub", x, _array(layer.mean)), spread)


def _dense(graph, layer, x):
    x = graph.add("Add", graph.add("MatMul", x, _array(layer.kernel)), _array(layer.bias))
    return _activated(graph, layer, x)


def _activated(graph, layer, x):
    operator = {"relu": "Relu", "tanh": "Tanh", "linear": "Identity"}[layer.get_config()["activation"]]
    return graph.add(operator, x)


def _over_time(graph, operator, x, *weights, **attributes):
    """ONNX has the time of what slides along it after the bands."""
    x = graph.add("Transpose", x, perm=[0, 2, 1])
    return graph.add("Transpose", graph.add(operator, x, *weights, **attributes), perm=[0, 2, 1])


def _convolution(graph, layer, x):
    kernel = _array(layer.kernel).transpose(2, 1, 0)
    x = _over_time(graph, "Conv", x, kernel, _array(layer.bias), auto_pad="SAME_UPPER")
    return _activated(graph, layer, x)


def _average(graph, layer, x):
    """The last window of an odd number of frames averages what is there: padding is not counted."""
    shape = {"kernel_shape": layer.pool_size, "strides": layer.strides}
    return _over_time(graph, "AveragePool", x, auto_pad="SAME_UPPER", count_include_pad=0, **shape)


def _gru(graph, layer, x):
    """Keras and ONNX order the gates alike: update, reset, candidate. ONNX has time before the batch."""
    weights = [_array(each).T[None] for each in (layer.cell.kernel, layer.cell.recurrent_kernel)]
    bias = _array(layer.cell.bias).reshape(1, -1)  # of the inputs, then of the state
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    x = graph.add("GRU", x, *weights, bias, hidden_size=layer.units, linear_before_reset=1)
    return graph.add("Transpose", graph.add("Squeeze", x, np.array([1])), perm=[1, 0, 2])


def _statistics(graph, layer, x, least=1e-5):
    time = np.array([1])
    mean = graph.add("ReduceMean", x, time)
    apart = graph.add("Sub", x, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", apart, apart), time, keepdims=0)
    spread = graph.add("Sqrt", graph.add("Add", variance, np.float32(least)))
    return graph.add("Concat", graph.add("Squeeze", mean, time), spread, axis=-1)


def _attentive(graph, layer, x):
    weights, time = x, np.array([1])
    for dense in layer.score.layers:
        weights = _dense(graph, dense, weights)
    weighted = graph.add("Mul", graph.add("Softmax", weights, axis=1), x)
    mean = graph.add("ReduceSum", weighted, time, keepdims=0)
    variance = graph.add("ReduceSum", graph.add("Mul", weighted, x), time, keepdims=0)
    variance = graph.add("Max", graph.add("Sub", variance, graph.add("Mul", mean, mean)), np.float32(0))
    return graph.add("Concat", mean, graph.add("Sqrt", graph.add("Add", variance, np.float32(1e-5))), axis=-1)


def _power(graph, x):
    return graph.add("Exp", graph.add("Mul", x, np.float32(2)))


def _log_mel(graph, layer, x):
    x = graph.add("Add", graph.add("MatMul", _power(graph, x), layer.bank), np.float32(1e-10))
    return graph.add("Div", graph.add("Log", x), np.float32(2))


def _voice(graph, layer, x):
    bands = _log_mel(graph, layer.mel, x)
    cepstra = graph.add("MatMul", bands, layer.transform)
    low = graph.add("MatMul", bands, layer.transform[:, : layer.DELTAS])
    around = graph.add("Pad", low, np.array([0, 2, 0, 0, 2, 0]), mode="edge")
    slope = np.tile(np.float32([-2, -1, 0, 1, 2]) / 10, (layer.DELTAS, 1, 1))
    deltas = _over_time(graph, "Conv", around, slope, group=layer.DELTAS)
    both = _statistics(graph, layer, graph.add("Concat", cepstra, deltas, axis=-1), 0)
    return graph.add("Concat", both, *_pitch(graph, layer, x), axis=-1)


def _correlations(graph, layer, x):
    bands, time = _log_mel(graph, layer.mel, x), np.array([1])
    low = graph.add("MatMul", bands, layer.transform[:, : layer.CORRELATED])
    moves = graph.add("Sub", low, graph.add("ReduceMean", low, time))
    spread = graph.add("ReduceL2", moves, time)
    both = graph.add("MatMul", graph.add("Transpose", spread, perm=[0, 2, 1]), spread)
    found = graph.add("MatMul", graph.add("Transpose", moves, perm=[0, 2, 1]), moves)
    found = graph.add("Div", found, graph.add("Add", both, np.float32(1e-6)))
    flat = graph.add("Reshape", found, np.array([0, layer.CORRELATED**2]))
    chosen = graph.add("Gather", flat, layer.pairs.astype(np.int64), axis=1)
    chosen = graph.add("Atanh", graph.add("Clip", chosen, np.float32(-0.99), np.float32(0.99)))
    loudness = graph.add("MatMul", bands, layer.transform[:, :1])
    more = graph.add("Add", graph.add("Shape", x, start=1, end=2), np.array([1]))
    _, louder = graph.add("TopK", loudness, graph.add("Div", more, np.array([2])), axis=1, outputs=2)
    louder = graph.add("Expand", louder, np.array([1, 1, layer.LOUD]))
    loud = graph.add("GatherElements", graph.add("MatMul", bands, layer.transform), louder, axis=1)
    return graph.add("Concat", chosen, _statistics(graph, layer, loud, 0), axis=-1)


def _pitch(graph, layer, x):
    """Quantiles and spread; what a frame has but one of is `(batch, frames, 1)`."""
    power = _power(graph, x)
    energy = graph.add("MatMul", power, layer.twice[:, None])
    likeness = graph.add("Div", graph.add("MatMul", power, layer.waves), energy)
    best = graph.add("ArgMax", graph.add("Sub", likeness, layer.preference), axis=-1)
    more = graph.add("Add", graph.add("Shape", x, start=1, end=2), np.array([1]))
    half = graph.add("Div", more, np.array([2]))
    _, louder = graph.add("TopK", energy, half, axis=1, outputs=2)
    pitch = graph.add("GatherElements", graph.add("Gather", layer.pitches, best), louder, axis=1)
    ordered, _ = graph.add("TopK", pitch, half, axis=1, largest=0, outputs=2)
    ordered = graph.add("Squeeze", ordered, np.array([2]))
    last = graph.add("Cast", graph.add("Sub", half, np.array([1])), to=TensorProto.DOUBLE)
    place = graph.add("Mul", last, np.array([0.5, 0.2, 0.8]))
    below, above = (graph.add(way, place) for way in ("Floor", "Ceil"))
    share = graph.add("Cast", graph.add("Sub", place, below), to=TensorProto.FLOAT)
    ranks = (graph.add("Cast", each, to=TensorProto.INT64) for each in (below, above))
    low, high = (graph.add("Gather", ordered, each, axis=1) for each in ranks)
    step = graph.add("Mul", graph.add("Sub", high, low), share)
    spread = graph.add("Gather", _statistics(graph, layer, pitch, 0), np.array([1]), axis=1)
    return graph.add("Add", low, step), spread


def _unit(graph, layer, x):
    length = graph.add("ReduceL2", x, np.array([-1]))
    return graph.add("Div", x, graph.add("Max", length, np.float32(1e-12)))


GRU_SETTINGS = {"activation": ["tanh"], "recurrent_activation": ["sigmoid"]}
GRU_SETTINGS |= {name: [True] for name in ("use_bias", "reset_after", "return_sequences")}
GRU_SETTINGS |= {name: [False] for name in ("return_state", "go_backwards", "stateful")}
CONV_SETTINGS = {"padding": ["same"], "data_format": ["channels_last"], "strides": [(1,)], "groups": [1]}
CONV_SETTINGS |= {"dilation_rate": [(1,)], "activation": ["relu", "linear"], "use_bias": [True]}
# A kind of layer: what writes it, and the values that its settings may have.
KNOWN = {
    layers.Normalization: (_normalization, {"invert": [False]}),
    layers.Dense: (_dense, {"activation": ["relu", "tanh", "linear"], "use_bias": [True]}),
    layers.Conv1D: (_convolution, CONV_SETTINGS),
    layers.Dropout: (lambda graph, layer, x: x, {}),
    layers.AveragePooling1D: (_average, {"padding": ["same"], "data_format": ["channels_last"]}),
    layers.GRU: (_gru, GRU_SETTINGS),
    StatisticsPooling: (_statistics, {}),
    AttentivePooling: (_attentive, {}),
    Cepstrum: (lambda graph, layer, x: graph.add("MatMul", x, layer.transform), {}),
    LogMel: (_log_mel, {}),
    VoiceStatistics: (_voice, {}),
    VoiceCorrelations: (_correlations, {}),
    layers.Concatenate: (lambda graph, layer, *x: graph.add("Concat", *x, axis=-1), {"axis": [-1]}),
    layers.UnitNormalization: (_unit, {"axis": [-1]}),
}


def _encoder(graph, model, x):
    """A functional model's layers, in the order in which its saved form lists them."""
    config, values = model.get_config(), {}
    if "input_layers" not in config or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise _refusal(model.name, "not a functional model of one input and one output")
    for spec in config["layers"]:
        is_input = spec["class_name"] == "InputLayer"
        values[spec["name"]] = x if is_input else _layer(graph, model, spec, values)
    return values[np.ravel(config["output_layers"])[0]]


def _layer(graph, model, spec, values):
    """The output of a layer, of which `values` has the inputs by the names of the layers they come from."""
    name, kind, calls = spec["name"], spec["class_name"], spec["inbound_nodes"]
    arguments = calls[0]["args"]
    if len(calls) != 1 or len(arguments) != 1 or any(calls[0]["kwargs"].values()):
        raise _refusal(name, f"a {kind} called more than once, or with more than its input")
    tensors = arguments[0] if isinstance(arguments[0], list) else arguments
    inputs = [values[tensor["config"]["keras_history"][0]] for tensor in tensors]
    layer = next((each for each in model.layers if each.name == name), None)
    if isinstance(layer, keras.Model):
        return _encoder(graph, layer, *inputs)
    if type(layer) not in KNOWN:
        raise _refusal(name, f"a {kind}")
    write, allowed = KNOWN[type(layer)]
    config = layer.get_config()
    for setting, taken in allowed.items():
        if config[setting] not in taken:
            raise _refusal(name, f"a {kind} with {setting}={config[setting]}")
    return write(graph, layer, *inputs)


def _refusal(name, found):
    known = ", ".join(sorted(kind.__name__ for kind in KNOWN))
    return InputError(f"{name} of the encoder is {found}, which cannot be exported", expected=known)


def embeddings_graph(verifier):
    """The features and encoder of a `verifier.Verifier`: waveforms to embeddings.

    Returns
    -------
    onnx.ModelProto
        `waveforms` float32 (utterances, samples), in [-1, 1] at 16,000 Hz, of any length from one window on,
        to `embeddings` float32 (utterances, dimensions), as `Verifier.embed`. Its metadata: see `properties`.

    Raises
    ------
    InputError
        When the encoder has a layer, or a layer a setting, that this file does not know.
    """
    graph = Graph()
    spectrograms = _spectrogram(graph, verifier.spectrogram, "waveforms")
    embeddings = _encoder(graph, verifier.encoder, spectrograms)
    width = verifier.plda.encoders * verifier.plda.dimensions
    shapes = {"waveforms": ["utterances", "samples"]}, ("embeddings", ["utterances", width])
    return graph.model(*shapes, embeddings, properties(verifier))


def scores_graph(verifier):
    """The comparison of a `verifier.Verifier`: embeddings to log likelihood ratios.

    Returns
    -------
    onnx.ModelProto
        `embeddings` and `others` float32 (n, dimensions) and (m, dimensions), to `scores` float32 (n, m),
        natural logarithms, as `Verifier.scores`. Its metadata: see `properties`.
    """
    plda, graph = verifier.plda, Graph()
    mean, own, cross = (_array(each).astype(float) for each in (plda.mean, plda.own, plda.cross))
    parts, alone = [], []
    for name, axis in (("embeddings", 2), ("others", 1)):
        x = graph.add("Cast", name, to=TensorProto.DOUBLE)
        x = graph.add("Reshape", x, np.array([-1, plda.encoders, plda.dimensions]))
        x = graph.add("Transpose", graph.add("Sub", x, mean), perm=[1, 0, 2])  # by encoder, less its mean
        squares = graph.add("Mul", graph.add("MatMul", x, own / 2), x)
        squares = graph.add("ReduceSum", squares, np.array([2]), keepdims=0)
        parts.append(x)  # and x' own x / 2, as a column or a row for each encoder
        alone.append(graph.add("Unsqueeze", squares, np.array([axis])))
    columns = graph.add("Transpose", parts[1], perm=[0, 2, 1])
    both = graph.add("MatMul", graph.add("MatMul", parts[0], cross), columns)
    scores = graph.add("Add", both, graph.add("Add", *alone))
    scores = graph.add("ReduceMean", scores, np.array([0]), keepdims=0)
    scores = graph.add("Mul", graph.add("Cast", scores, to=TensorProto.FLOAT), _array(verifier.scale.w))
    scores = graph.add("Add", scores, _array(verifier.scale.b))
    width = plda.encoders * plda.dimensions
    inputs = {"embeddings": ["n", width], "others": ["m", width]}
    return graph.model(inputs, ("scores", ["n", "m"]), scores, properties(verifier))


def properties(verifier):
    """What both files say of the model in their metadata.

    Returns
    -------
    dict of str
        `model`, the hash that an index of voices knows it by; `sample_rate` in Hz; `shortest`, in samples;
        `threshold`, of the scores; and as JSON `features`, `calibration` (w and b, which the scores have
        been through), and `facts`.
    """
    features, scale = verifier.spectrogram, verifier.scale
    return {
        "model": model_digest(verifier),
        "sample_rate": str(features.sample_rate),
        "shortest": str(features.n_fft),
        "threshold": repr(verifier.threshold),
        "features": json.dumps(features.to_dict()),
        "calibration": json.dumps({"w": float(_array(scale.w)), "b": float(_array(scale.b))}),
        "facts": json.dumps({name: fact for name, fact in verifier.facts.items() if name != "held_out"}),
    }
