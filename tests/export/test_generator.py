"""An exported generator gives what torch gives, in half the bytes, or it is not written."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from tests.decoders.distillation.small_flows import SIDE_PX, embeddings, picture_model, small_network

from decode_stream.decoders.distillation.flow_unet import FlowUnet
from decode_stream.decoders.generation.condition import Condition
from decode_stream.export import generator
from decode_stream.export.generator import MOST_PIXEL_ERROR, export_generator, halved
from decode_stream.stream.errors import ExportError


def condition(n: int) -> Condition:
    torch.set_num_threads(1)
    model = picture_model()
    known = model.condition(model.known(embeddings(n, np.random.default_rng(1))))
    return replace(known, open_share=np.linspace(0, 1, 2 * n, dtype=np.float32).reshape(n, 2))


@pytest.fixture(scope="module")
def exported() -> tuple[FlowUnet, bytes, Any]:
    """A network, its model, and what torch made of it: writing one takes seconds."""
    network, programs, write = small_network(widths=(8,)), list[Any](), torch.onnx.export

    def recorded(*given: Any, **settings: Any) -> Any:
        programs.append(write(*given, **settings))
        return programs[0]

    with pytest.MonkeyPatch.context() as here:
        here.setattr(torch.onnx, "export", recorded)
        return network, export_generator(network, condition(3)), programs[0]


def test_the_graph_gives_what_torch_gives_for_any_batch(exported: tuple[FlowUnet, bytes, Any]) -> None:
    network, model, _ = exported
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["x", "t", "r", "semantic", "layout", "open_share"]
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        told = condition(n)
        given = {
            "x": rng.standard_normal((n, 3, SIDE_PX, SIDE_PX), np.float32),
            "t": rng.uniform(0.1, 1, n).astype(np.float32),
            "r": np.zeros(n, np.float32),
            "semantic": told.semantic,
            "layout": told.layout,
            "open_share": told.open_share,
        }
        (got,) = session.run(["clean"], given)
        with torch.inference_mode():
            expected = network(**{name: torch.from_numpy(part) for name, part in given.items()}).numpy()
        assert np.sqrt(np.mean((got - expected) ** 2)) / 2 < MOST_PIXEL_ERROR
    kept = onnx.load_model_from_string(model).graph.initializer
    large = [one for one in kept if np.prod(one.dims) >= 1024]
    assert large
    assert all(one.data_type == onnx.TensorProto.FLOAT16 for one in large)


def coarse(model: bytes) -> bytes:
    """Return a model whose large tensors are rounded further than 16 bits."""
    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= 1024:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.round(1), tensor.name))
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("tampered", "told"),
    [(False, "Weights of 16 bits change pictures by"), (True, "differs from the trained one")],
)
def test_what_changes_pictures_is_refused(
    exported: tuple[FlowUnet, bytes, Any], tampered: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _, program = exported
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    monkeypatch.setattr(generator, "halved", coarse)
    network = deepcopy(network)
    if tampered:
        with torch.no_grad():
            network.out.weight.mul_(1.01)
    with pytest.raises(ExportError, match=told):
        export_generator(network, condition(2))


def test_halved_weights_are_brought_back_before_they_are_used() -> None:
    kept = np.linspace(-1, 1, 2048, dtype=np.float32)
    few = np.array([1 / 3], np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["kept", "few"], ["out"])],
        "product",
        [],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [2048])],
        [onnx.numpy_helper.from_array(kept, "kept"), onnx.numpy_helper.from_array(few, "few")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    small = halved(model.SerializeToString())
    assert len(small) < 0.6 * model.ByteSize()
    (got,) = ort.InferenceSession(small, providers=["CPUExecutionProvider"]).run(["out"], {})
    assert np.array_equal(got, kept.astype(np.float16).astype(np.float32) * few)
