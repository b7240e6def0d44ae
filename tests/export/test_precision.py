"""Fewer bits: what is rounded is rounded where it may be, found by measuring, and refused where it is too much."""

import errno
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.export import comparison, precision
from decode_stream.export.comparison import TOLERANCES, Comparison, Network, Tolerance, compared
from decode_stream.export.half import half_candidates, mixed, prepared
from decode_stream.export.node_times import node_times_ms
from decode_stream.export.onnx_file import opened, plain, written
from decode_stream.export.precision import to_half, to_int8
from decode_stream.stream.errors import ExportError

N, WIDTH, DIMENSION = 20, 64, 8
Node = tuple[str, list[str], str, dict[str, Any]]


def model_of(nodes: Sequence[Node], constants: dict[str, np.ndarray]) -> OnnxModel:
    """Return a model from `window` (n, WIDTH) to `embedding` (n, DIMENSION)."""
    graph = helper.make_graph(
        [helper.make_node(kind, taken, [given], name=given, **how) for kind, taken, given, how in nodes],
        "small",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIMENSION])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(made)
    return OnnxModel(made.SerializeToString())


def network(model: OnnxModel, scale: float = 1.0, *, decides: str = "embedding") -> Network:
    rng = np.random.default_rng(0)
    given = {"window": (scale * rng.standard_normal((N, WIDTH))).astype(np.float32)}
    (expected,) = load_model(model).run(["embedding"], given)
    return Network("encoder", model, given, {"embedding": expected}, "itself", decides)


def linear(*between: Node, last: str = "window", **constants: np.ndarray) -> OnnxModel:
    """Return a model that multiplies `last`, made by the nodes between, with a matrix."""
    matrix = np.random.default_rng(1).standard_normal((WIDTH, DIMENSION)).astype(np.float32) / 8
    nodes: list[Node] = [*between, ("MatMul", [last, "matrix"], "embedding", {})]
    return model_of(nodes, {"matrix": matrix, **constants})


def with_overflow() -> OnnxModel:
    """Return a model whose middle multiplies and divides by what leaves the range of float16."""
    nodes: list[Node] = [
        ("Tanh", ["window"], "calm", {}),
        ("Mul", ["calm", "huge"], "large", {}),
        ("Div", ["large", "huge"], "back", {}),
        ("Relu", ["back"], "risen", {}),
        ("Sub", ["calm", "risen"], "both", {}),
    ]
    return linear(*nodes, last="both", huge=np.float32(1e6))


def types_of(model: OnnxModel) -> dict[str, int]:
    proto = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model.graph))
    values = [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_all_that_may_be_is_in_float16_where_that_is_near_enough() -> None:
    source = network(linear())
    done = to_half(source)
    assert done.kept == ()
    assert done.n_nodes == 1
    assert 0 < done.found.error < 5e-3
    assert len(done.model.graph) < 0.6 * len(source.model.graph) + 400
    types = types_of(done.model)
    assert types["window"] == types["embedding"] == TensorProto.FLOAT
    assert compared(done.model, source).within(TOLERANCES["fp16"])


def test_nodes_that_leave_the_range_stay_in_float32_and_no_others() -> None:
    source = network(with_overflow())
    done = to_half(source)
    assert done.kept == ("large", "back")
    assert done.n_nodes == 6
    types = types_of(done.model)
    assert types["large"] == types["back"] == TensorProto.FLOAT
    assert types["calm"] == types["both"] == TensorProto.FLOAT16
    assert compared(done.model, source).within(TOLERANCES["fp16"])


def test_the_emulation_rounds_what_float16_rounds() -> None:
    nodes: list[Node] = [("Mul", ["window", "third"], "part", {}), ("Exp", ["part"], "risen", {})]
    model = linear(*nodes, last="risen", third=np.float32(1 / 3))
    graph, source = prepared(opened(model)), network(model)
    (got,) = load_model(written(mixed(graph, {"embedding"}, emulated=True))).run(None, dict(source.given))

    def half(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float16).astype(np.float32)

    risen = half(np.exp(half(half(source.given["window"]) * half(np.float32(1 / 3)))))
    matrix = numpy_helper.to_array(onnx.load_model_from_string(model.graph).graph.initializer[0])
    assert np.abs(got - risen @ matrix).max() < 1e-5
    assert np.abs(got - source.expected["embedding"]).max() > 1e-4


def test_what_a_half_graph_may_hold_is_what_operators_allow() -> None:
    nodes: list[Node] = [
        ("Shape", ["window"], "shape", {}),
        ("ConstantOfShape", ["shape"], "zeros", {}),
        ("Cast", ["shape"], "lengths", {"to": TensorProto.FLOAT}),
        ("ReduceMax", ["lengths"], "longest", {"keepdims": 0}),
        ("Div", ["window", "longest"], "short", {}),
        ("Add", ["short", "zeros"], "same", {}),
    ]
    source = network(linear(*nodes, last="same"))
    graph = prepared(opened(source.model))
    assert half_candidates(graph) == ["lengths", "longest", "short", "same", "embedding"]
    done = to_half(source)
    assert done.kept == ()
    types = types_of(done.model)
    assert types["zeros"] == TensorProto.FLOAT
    assert types["lengths"] == types["same"] == TensorProto.FLOAT16


def test_where_nothing_may_be_rounded_the_export_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(comparison.TOLERANCES, "fp16", Tolerance(1e-7, 0.999))
    with pytest.raises(ExportError, match=r"No part of the encoder .* to within 1e-07"):
        to_half(network(linear()))


def test_where_trials_run_out_more_nodes_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_MOST_TRIALS", 3)
    assert to_half(network(with_overflow())).kept == ("calm", "large", "back")


def test_int8_multiplies_matrices_of_8_bits() -> None:
    source = network(linear())
    done = to_int8(source)
    kinds = [node.op_type for node in onnx.load_model_from_string(done.model.graph).graph.node]
    assert "MatMulInteger" in kinds
    assert "MatMul" not in kinds
    assert 1e-4 < done.found.error < TOLERANCES["int8"].error
    assert done.found.cosine is not None
    assert done.found.cosine > TOLERANCES["int8"].cosine


def test_int8_that_is_too_far_off_is_refused_with_what_was_measured() -> None:
    # One channel a thousand times as strong leaves the others a step or none.
    source = network(linear())
    source.given["window"][:, 0] *= 1000
    matrix = numpy_helper.to_array(
        onnx.load_model_from_string(source.model.graph).graph.initializer[0]
    ).copy()
    matrix[0] = 0
    model = model_of([("MatMul", ["window", "matrix"], "embedding", {})], {"matrix": matrix})
    (expected,) = load_model(model).run(["embedding"], dict(source.given))
    loud = Network("encoder", model, source.given, {"embedding": expected}, "itself", "embedding")
    with pytest.raises(
        ExportError, match=r"in int8 differs from itself by .* least cosine is 0\.\d+ .*--to fp16"
    ):
        to_int8(loud)


def test_int8_without_room_for_temporary_files_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", full)
    with pytest.raises(ExportError, match=r"cannot be written: No space left on device\. .* set TMPDIR"):
        to_int8(network(linear()))


def test_int8_of_a_network_without_matrices_is_refused() -> None:
    nodes: list[Node] = [
        ("ReduceMean", ["window", "axis"], "mean", {}),
        ("Mul", ["mean", "row"], "embedding", {}),
    ]
    model = model_of(nodes, {"axis": np.array([1]), "row": np.ones(DIMENSION, np.float32)})
    with pytest.raises(ExportError, match="multiplies no matrices"):
        to_int8(network(model))


def test_directions_decide_only_where_there_is_evidence() -> None:
    model = linear()
    source = network(model)
    source.given["window"][3] *= 1e-6
    (expected,) = load_model(model).run(["embedding"], dict(source.given))
    turned = expected.copy()
    turned[3] *= -1
    told = Network("encoder", model, source.given, {"embedding": turned}, "a turned one", "embedding")
    found = compared(model, told)
    assert found.cosine == pytest.approx(1)
    turned[5] *= -1
    assert compared(model, told).cosine == pytest.approx(-1)


@pytest.mark.parametrize(
    ("found", "near"),
    [
        (Comparison(0.009, 0.9995), True),
        (Comparison(0.011, 1.0), False),
        (Comparison(0.0, 0.99), False),
        (Comparison(float("nan"), 1.0), False),
        (Comparison(0.0, float("nan")), False),
        (Comparison(0.001, None), True),
    ],
)
def test_what_is_no_number_is_not_near(found: Comparison, near: bool) -> None:
    assert found.within(TOLERANCES["fp16"]) is near


def test_large_tensors_lie_beside_a_converted_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    source = network(linear())
    monkeypatch.setattr("decode_stream.export.large_tensors.MOST_INSIDE_BYTES", 100)
    monkeypatch.setattr("decode_stream.export.large_tensors._SMALL_BYTES", 8)
    done = to_half(source)
    assert len(done.model.data) == 2 * WIDTH * DIMENSION
    again = written(opened(done.model))
    assert compared(again, source) == compared(done.model, source)
    files = plain(done.model, "unet")
    assert set(files) == {"unet.onnx", "unet.onnx.data"}
    tensors = onnx.load_model_from_string(files["unet.onnx"]).graph.initializer
    places = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    assert places == {"unet.onnx.data"}
    with pytest.raises(ExportError, match=r"GB of weights, and int8 is for at most 2 GB"):
        to_int8(source)


def test_each_node_has_a_time() -> None:
    source = network(with_overflow())
    times = node_times_ms(source.model, source.given)
    assert set(times) == {"calm", "large", "back", "risen", "both", "embedding"}
    assert all(time >= 0 for time in times.values())


def test_int8_keeps_the_matrix_that_cannot_be_in_float32() -> None:
    # What the first multiplies has one channel a thousand times as strong, which its weights leave out.
    rng = np.random.default_rng(4)
    first = rng.standard_normal((WIDTH, 16)).astype(np.float32)
    first[0] = 0
    constants = {
        "first": first,
        "second": rng.standard_normal((16, 512)).astype(np.float32),
        "third": rng.standard_normal((512, DIMENSION)).astype(np.float32),
    }
    nodes: list[Node] = [
        ("MatMul", ["window", "first"], "few", {}),
        ("MatMul", ["few", "second"], "many", {}),
        ("MatMul", ["many", "third"], "embedding", {}),
    ]
    model = model_of(nodes, constants)
    source = network(model)
    source.given["window"][:, 0] *= 1000
    done = to_int8(source)
    assert done.kept == ("few",)
    assert done.n_nodes == 3
    assert compared(done.model, source).within(TOLERANCES["int8"])
