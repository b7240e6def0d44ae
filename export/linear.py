"""Linear decoders as ONNX, written node by node: no torch is needed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.encoders.lda import LinearReadout
from decode_stream.decoders.encoders.linear_windows import GrowingReadout
from decode_stream.decoders.encoders.ridge import RidgeReadout
from decode_stream.decoders.onnx_model import DATA_FILE, OnnxModel

from .large_tensors import laid_outside
from .metadata import ENCODER
from .parity import require_parity

__all__ = ["export_growing", "export_linear", "export_ridge"]

#: Version of the operators; old enough for every ONNX Runtime in use.
_OPSET = 17
#: Operator, inputs, output and attributes of each node.
Steps: TypeAlias = Sequence[tuple[str, list[str], str, dict[str, Any]]]


def export_linear(readout: LinearReadout, windows: npt.NDArray[np.float32]) -> OnnxModel:
    """Write a linear decoder as the encoder of a bundle, and check it on real windows.

    Between two latencies of the grid the weights are interpolated; behind it, and where the latency is unknown
    (negative), the embedding is zero: no evidence.

    Parameters
    ----------
    readout : LinearReadout
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        Whole trials.

    Returns
    -------
    OnnxModel
        Inputs ``window`` (n, n_channels, n_times) and ``latency_s`` (n,), output ``embedding``
        (n, n_entries), all float32.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from the readout's.
    """
    model = _linear_graph(readout)
    n_latencies = windows.shape[1]
    latencies_s = np.tile(np.arange(n_latencies) * readout.step_s, len(windows)).astype(np.float32)
    expected = readout.embed(windows).reshape(len(latencies_s), -1)
    require_parity(model, windows.reshape(-1, *windows.shape[2:]), latencies_s, expected)
    return model


def _linear_graph(readout: LinearReadout) -> OnnxModel:
    n_latencies, n_entries, n_channels, n_times = readout.weights.shape
    matrix = readout.weights.transpose(0, 2, 3, 1).reshape(-1, n_entries)
    constants = {
        "matrix": matrix.astype(np.float32),
        "bias": readout.bias.astype(np.float32),
        "grid": np.arange(n_latencies, dtype=np.float32),
        "step_s": np.float32(readout.step_s),
        "one": np.float32(1),
        "zero": np.float32(0),
        "second": np.array([1], dtype=np.int64),
        "third": np.array([2], dtype=np.int64),
    }
    steps: Steps = [
        ("Unsqueeze", ["latency_s", "second"], "latency", {}),
        ("Div", ["latency", "step_s"], "position", {}),
        ("Sub", ["position", "grid"], "offset", {}),
        ("Abs", ["offset"], "distance", {}),
        ("Sub", ["one", "distance"], "closeness", {}),
        ("Relu", ["closeness"], "close", {}),
        ("GreaterOrEqual", ["latency", "zero"], "is_known", {}),
        ("Where", ["is_known", "close", "zero"], "near", {}),
        ("Unsqueeze", ["near", "third"], "near_column", {}),
        ("Flatten", ["window"], "samples", {}),
        ("Unsqueeze", ["samples", "second"], "samples_row", {}),
        ("Mul", ["near_column", "samples_row"], "placed", {}),
        ("Flatten", ["placed"], "placed_row", {}),
        ("MatMul", ["placed_row", "matrix"], "weighted", {}),
        ("MatMul", ["near", "bias"], "constant", {}),
        ("Add", ["weighted", "constant"], "embedding", {}),
    ]
    return _model(steps, constants, n_channels, n_times, n_entries)


def export_growing(readout: GrowingReadout, windows: npt.NDArray[np.float32]) -> OnnxModel:
    """Write a linear decoder of growing windows as the encoder of a bundle, and check it on real windows.

    Between two latencies the constant is interpolated, before the first and behind the last it stays as it is there.
    Where the latency is unknown (negative) the embedding is zero: no evidence.

    Parameters
    ----------
    readout : GrowingReadout
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        Whole trials as they grew, zero where they had not happened yet.

    Returns
    -------
    OnnxModel
        Inputs ``window`` (n, n_channels, n_times) and ``latency_s`` (n,), output ``embedding``
        (n, dimension), all float32.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from the readout's.
    """
    dimension, n_channels, n_times = readout.weights.shape
    grid = readout.latencies_s
    # Each latency's share rises from the one before and falls to the next: slope * latency + start.
    slopes = 1 / np.diff(grid)
    up, up_from = np.append(0.0, slopes), np.append(1.0, -grid[:-1] * slopes)
    down, down_from = np.append(-slopes, 0.0), np.append(grid[1:] * slopes, 1.0)
    constants = {
        name: np.asarray(value, dtype=np.float32)
        for name, value in {
            "matrix": readout.weights.reshape(dimension, -1).T,
            "bias": readout.bias,
            "up": up,
            "up_from": up_from,
            "down": down,
            "down_from": down_from,
            "zero": 0,
            "one": 1,
        }.items()
    } | {"second": np.array([1], dtype=np.int64)}
    steps: Steps = [
        ("Unsqueeze", ["latency_s", "second"], "latency", {}),
        ("Mul", ["latency", "up"], "rise", {}),
        ("Add", ["rise", "up_from"], "rising", {}),
        ("Mul", ["latency", "down"], "fall", {}),
        ("Add", ["fall", "down_from"], "falling", {}),
        ("Min", ["rising", "falling"], "lower", {}),
        ("Clip", ["lower", "zero", "one"], "near", {}),
        ("MatMul", ["near", "bias"], "constant", {}),
        ("Flatten", ["window"], "samples", {}),
        ("MatMul", ["samples", "matrix"], "weighted", {}),
        ("Add", ["weighted", "constant"], "answer", {}),
        ("GreaterOrEqual", ["latency", "zero"], "is_known", {}),
        ("Where", ["is_known", "answer", "zero"], "embedding", {}),
    ]
    model = _model(steps, constants, n_channels, n_times, dimension)
    latencies_s = np.tile(grid, len(windows)).astype(np.float32)
    expected = np.stack([readout.embed(windows[:, k], k) for k in range(len(grid))], axis=1)
    require_parity(
        model, windows.reshape(-1, *windows.shape[2:]), latencies_s, expected.reshape(len(latencies_s), -1)
    )
    return model


def export_ridge(readout: RidgeReadout, windows: npt.NDArray[np.float32]) -> OnnxModel:
    """Write a ridge regression as the encoder of a bundle, and check it on real windows.

    Where the latency is unknown (negative) the embedding is zero, no evidence: the mean of volumes that were not
    chosen by an onset mixes the answers to several pictures.

    Parameters
    ----------
    readout : RidgeReadout
    windows : array of shape (n_trials, 1, n_channels, n_times), float32
        Whole trials.

    Returns
    -------
    OnnxModel
        Inputs ``window`` (n, n_channels, n_times) and ``latency_s`` (n,), output ``embedding``
        (n, dimension), all float32.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from the readout's.
    """
    n_channels, n_times = windows.shape[2:]
    constants = {
        "matrix": np.ascontiguousarray(readout.weights, dtype=np.float32),
        "offset": readout.offset.astype(np.float32),
        "zero": np.float32(0),
        "second": np.array([1], dtype=np.int64),
    }
    steps: Steps = [
        ("ReduceMean", ["window"], "answer", {"axes": [2], "keepdims": 0}),
        ("MatMul", ["answer", "matrix"], "mapped", {}),
        ("Add", ["mapped", "offset"], "difference", {}),
        ("GreaterOrEqual", ["latency_s", "zero"], "is_known", {}),
        ("Unsqueeze", ["is_known", "second"], "is_known_column", {}),
        ("Where", ["is_known_column", "difference", "zero"], "embedding", {}),
    ]
    model = _model(steps, constants, n_channels, n_times, readout.weights.shape[1])
    latencies_s = np.zeros(len(windows), np.float32)
    require_parity(model, windows[:, 0], latencies_s, readout.embed(windows)[:, 0])
    return model


def _model(
    steps: Steps,
    constants: Mapping[str, Any],
    n_channels: int,
    n_times: int,
    dimension: int,
) -> OnnxModel:
    """Return a graph of nodes, one after the other."""
    tensors = {name: np.asarray(value) for name, value in constants.items()}
    offsets, data = laid_outside(tensors)
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], name=output, **how) for kind, inputs, output, how in steps],
        "linear_readout",
        [
            helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", n_channels, n_times]),
            helper.make_tensor_value_info("latency_s", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension])],
        [
            _outside(name, tensor, offsets[name])
            if name in offsets
            else numpy_helper.from_array(tensor, name)
            for name, tensor in tensors.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    helper.set_model_props(model, ENCODER.properties(_OPSET))
    # The checker looks for what lies outside in a file; what ONNX Runtime makes of it is compared in any case.
    if not data:
        onnx.checker.check_model(model)
    return OnnxModel(model.SerializeToString(), data)


def _outside(name: str, tensor: npt.NDArray[Any], offset: int) -> TensorProto:
    """Return a tensor whose numbers lie in the data file."""
    kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
    proto = TensorProto(name=name, dims=tensor.shape, data_type=kind, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", DATA_FILE), ("offset", offset), ("length", tensor.nbytes)):
        proto.external_data.add(key=key, value=str(value))
    return proto
