"""Small networks as ONNX, and a machine with a GPU that is none."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.onnx_model import DATA_FILE, OnnxModel

from .fake_cuda import FakeCuda
from .fake_tensorrt import FakeTensorRT

N_CHANNELS, N_TIMES, DIM = 3, 4, 5
WEIGHTS = np.random.default_rng(0).normal(size=(N_CHANNELS * N_TIMES, DIM)).astype(np.float32)


def encoder(
    *, batch: str | int = "batch", times: str | int = N_TIMES, operator: str = "Add", beside: bool = False
) -> OnnxModel:
    """Return a network of windows and latencies that gives embeddings and how strong each window is."""
    domain = "" if operator == "Add" else "com.example"
    nodes = [
        helper.make_node("Flatten", ["window"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["mapped"]),
        helper.make_node("Unsqueeze", ["latency_s", "axis"], ["latency"]),
        helper.make_node(operator, ["mapped", "latency"], ["embedding"], name="sum", domain=domain),
        helper.make_node("ReduceMax", ["flat", "axis"], ["strength"], keepdims=0),
    ]
    inputs = [("window", [batch, N_CHANNELS, times]), ("latency_s", [batch])]
    outputs = [("embedding", [batch, DIM]), ("strength", [batch])]
    graph = helper.make_graph(
        nodes,
        "encoder",
        *(
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors]
            for tensors in (inputs, outputs)
        ),
        [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    data = b""
    if beside:
        weights = model.graph.initializer[0]
        data = weights.raw_data
        onnx.external_data_helper.set_external_data(weights, DATA_FILE, 0, len(data))
        weights.ClearField("raw_data")
    return OnnxModel(model.SerializeToString(), data)


def scaled_by_its_batch() -> OnnxModel:
    """Return a network that divides by the largest number of all rows, as one of int8 does on its way."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMax", ["x"], ["most"]), helper.make_node("Div", ["x", "most"], ["y"])],
        "scaled",
        *([helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2])] for name in "xy"),
    )
    opsets = [helper.make_opsetid("", 18)]
    return OnnxModel(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def deaf_to_latencies() -> OnnxModel:
    """Return a network that takes windows and latencies as all encoders do, and has no use for the latencies."""
    given = [("window", ["batch", N_CHANNELS, N_TIMES]), ("latency_s", ["batch"])]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["window"], ["embedding"], axis=1)],
        "deaf",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in given],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", N_CHANNELS * N_TIMES])],
    )
    opsets = [helper.make_opsetid("", 18)]
    return OnnxModel(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def windows(n: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Return inputs of the encoder."""
    draw = np.random.default_rng(seed)
    return {
        "window": draw.normal(size=(n, N_CHANNELS, N_TIMES)).astype(np.float32),
        "latency_s": draw.uniform(0.1, 0.8, n).astype(np.float32),
    }


def expected(given: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the encoder gives, in float64."""
    flat = given["window"].reshape(len(given["window"]), -1).astype(np.float64)
    return flat @ WEIGHTS + given["latency_s"][:, None], flat.max(axis=1)


def machine(monkeypatch: pytest.MonkeyPatch, folder: Path, flavour: str) -> tuple[FakeTensorRT, FakeCuda]:
    """Make this a machine with a GPU and one library of engines, which are kept in a folder of the test."""
    cuda = FakeCuda()
    trt = FakeTensorRT(flavour, cuda)
    monkeypatch.setenv("DECODE_STREAM_CACHE", str(folder))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, trt if trt.__name__ == name else None)
    return trt, cuda
