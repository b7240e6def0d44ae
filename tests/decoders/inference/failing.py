"""A small network, and providers that a machine has or loses."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.inference import providers, session
from decode_stream.decoders.inference.backend import TensorSpec
from decode_stream.decoders.onnx_model import OnnxModel

__all__ = ["Fails", "batches", "network", "only"]


def network(channels: int | str = 3, seed: int = 0) -> OnnxModel:
    """Return a network of two layers with two inputs, ``x`` (n, channels, 4) and ``t`` (n,), and two outputs."""
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((12, 8), np.float32), rng.standard_normal((8, 5), np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["active"]),
        helper.make_node("Unsqueeze", ["t", "one"], ["column"]),
        helper.make_node("Add", ["active", "column"], ["shifted"]),
        helper.make_node("MatMul", ["shifted", "second"], ["y"]),
        helper.make_node("Softmax", ["y"], ["p"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *rest]) for name, rest in those]
        for those in ((("x", [channels, 4]), ("t", [])), (("y", [5]), ("p", [5])))
    )
    held = {"first": first, "second": second, "one": np.array([1], np.int64)}
    graph = helper.make_graph(
        nodes, "small", inputs, outputs, [numpy_helper.from_array(x, name) for name, x in held.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return OnnxModel(model.SerializeToString())


def batches(sizes: Sequence[int], seed: int = 1) -> list[dict[str, np.ndarray]]:
    """Return inputs of the network."""
    rng = np.random.default_rng(seed)
    return [
        {"x": rng.standard_normal((n, 3, 4), np.float32), "t": rng.standard_normal(n, np.float32)}
        for n in sizes
    ]


class Fails:
    """A back-end in front of the CPU's that fails at a run, counted from 1, and at all after it."""

    notes: tuple[str, ...] = ()

    def __init__(self, model: OnnxModel, warm: Sequence[int], at: int) -> None:
        self._behind = providers.provider_kind("cpu").open(model, warm)
        self.provider, self._left = "cuda", at
        self.inputs: tuple[TensorSpec, ...] = self._behind.inputs
        self.outputs: tuple[TensorSpec, ...] = self._behind.outputs

    def run(self, inputs: Any, outputs: Sequence[str]) -> list[Any]:
        self._left -= 1
        if self._left <= 0:
            raise RuntimeError("CUDA failure 719:\nunspecified launch failure")
        return self._behind.run(inputs, outputs)


def only(monkeypatch: Any, **kinds: str | Callable[..., Any]) -> None:
    """Let a machine have the CPU and these, by names with _ for -: what opens each, or why it is missing."""
    there = []
    for kind in providers.PROVIDERS:
        found = kinds.get(kind.name.replace("-", "_"), None if kind.name == "cpu" else "not here")
        if isinstance(found, str):
            kind = providers.ProviderKind(kind.name, kind.label, lambda why=found: why, kind.open)
        elif found is not None:
            kind = providers.ProviderKind(kind.name, kind.label, lambda: None, found)
        there.append(kind)
    monkeypatch.setattr(providers, "PROVIDERS", tuple(there))
    monkeypatch.setattr(session, "PROVIDERS", tuple(there))
