"""Networks that reach beyond themselves, and bytes that are none, are refused before anything runs them."""

import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from decode_stream.decoders.inference import model_safety
from decode_stream.decoders.inference.model_safety import check_model
from decode_stream.decoders.inference.protobuf_fields import MalformedError, fields, varints
from decode_stream.decoders.onnx_model import DATA_FILE, OnnxModel
from decode_stream.stream.errors import BundleError
from tests.decoders.inference.failing import network

Change = Callable[[onnx.ModelProto], None]


def changed(change: Change) -> bytes:
    model = onnx.load_model_from_string(network().graph)
    change(model)
    return bytes(model.SerializeToString())


def first(model: onnx.ModelProto) -> TensorProto:
    return model.graph.initializer[0]


def external(location: str = DATA_FILE, offset: int | None = 0, length: int | None = 384) -> Change:
    def change(model: onnx.ModelProto) -> None:
        set_external_data(first(model), location, offset, length)
        first(model).ClearField("raw_data")

    return change


def nested(depth: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        inner = helper.make_graph([], "inner", [], [])
        for i in range(depth):
            node = helper.make_node("If", ["c"], ["o"], then_branch=inner)
            inner = helper.make_graph([node], f"graph {i}", [], [])
        model.graph.node.extend(inner.node)

    return change


def test_networks_of_every_sort_pass() -> None:
    check_model(network())
    check_model(OnnxModel(changed(external()), bytes(384)))
    check_model(OnnxModel(changed(external(offset=None, length=None)), bytes(384)))
    check_model(OnnxModel(changed(nested(7))))


@pytest.mark.parametrize("kind", range(1, 27))
def test_tensors_of_every_type_pass(kind: int) -> None:
    n_bytes = 1 if kind == TensorProto.STRING else math.ceil(6 * model_safety._BITS[kind] / 8)
    tensor = TensorProto(dims=[2, 3], data_type=kind, name="any")
    if kind == TensorProto.STRING:
        tensor.string_data.extend([b"x"] * 6)
    else:
        tensor.raw_data = bytes(n_bytes)
    check_model(OnnxModel(changed(lambda model: model.graph.initializer.append(tensor))))
    if kind != TensorProto.STRING:
        tensor.raw_data += b"\0"
        with pytest.raises(BundleError, match="'any' claims"):
            check_model(OnnxModel(changed(lambda model: model.graph.initializer.append(tensor))))


@pytest.mark.parametrize(
    "tensor",
    [
        helper.make_tensor("listed", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
        helper.make_tensor("listed", TensorProto.INT64, [3], [0, -1, 2**62]),
        helper.make_tensor("listed", TensorProto.INT4, [8], [0, 1, -1, 2, 3, 4, 5, 6]),
        helper.make_tensor("scalar", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("none", TensorProto.FLOAT, [0, 4], []),
    ],
    ids=lambda tensor: f"{tensor.name}-{tensor.data_type}",
)
def test_numbers_that_are_listed_pass(tensor: TensorProto) -> None:
    check_model(OnnxModel(changed(lambda model: model.graph.initializer.append(tensor))))


def foreign_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Anything", ["x"], ["z"], domain="com.somebody"))


def foreign_node_within(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Any", [], ["z"], domain="com.somebody")], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=inner))


def foreign_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Any", ["a"], ["b"], domain="com.somebody")
    function = helper.make_function("", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 18)])
    model.functions.append(function)


def function_of_a_domain(model: onnx.ModelProto) -> None:
    function = helper.make_function("com.somebody", "F", ["a"], ["b"], [], [helper.make_opsetid("", 18)])
    model.functions.append(function)


def compiled(model: onnx.ModelProto) -> None:
    node = helper.make_node("EPContext", ["x"], ["z"], domain="com.microsoft", ep_cache_context="../x.so")
    model.graph.node.append(node)


def another_type(model: onnx.ModelProto) -> None:
    first(model).data_type = 99


def a_place_and_no_file(model: onnx.ModelProto) -> None:
    first(model).data_location = TensorProto.EXTERNAL


def told_twice(model: onnx.ModelProto) -> None:
    external()(model)
    first(model).external_data.add(key="offset", value="4")


def in_a_constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32))
    set_external_data(tensor, "/etc/passwd", 0, 16)
    tensor.ClearField("raw_data")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**40]))


def trains(model: onnx.ModelProto) -> None:
    model.training_info.add()


def shaped(*dims: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        first(model).dims[:] = dims

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (foreign_node, "operators of 'com.somebody'.* libraries of operators are never loaded"),
        (foreign_node_within, "operators of 'com.somebody'"),
        (foreign_function, "operators of 'com.somebody'"),
        (function_of_a_domain, "operators of 'com.somebody'"),
        (compiled, "compiled for a device"),
        (external("/etc/passwd"), "'first' lies in the file '/etc/passwd', and only 'encoder.onnx.data'"),
        (external(f"../{DATA_FILE}"), "only 'encoder.onnx.data' may"),
        (external("*/_ORT_MEM_ADDR_/*"), "_ORT_MEM_ADDR_"),
        (external(offset=8), "'first' claims 384 bytes and lies at 8 to 392 of 384"),
        (external(offset=2**62), "of 384"),
        (external(offset=-4), "lies at '-4'"),
        (external(length=380), "claims 384 bytes and lies at 0 to 380"),
        (told_twice, "says its 'offset' twice"),
        (a_place_and_no_file, "lies in the file ''"),
        (in_a_constant, "lies in the file '/etc/passwd'"),
        (shaped(2**31, 2**31), "claims"),
        (shaped(12, 9), "'first' claims 432 bytes and has 384"),
        (shaped(-12, -8), r"has the shape \(-12, -8\)"),
        (shaped(*[1] * 40), "has the shape"),
        (another_type, "unknown type 99"),
        (sparse, "sparse"),
        (trains, "trains it"),
        (nested(9), "more than 8 deep"),
    ],
)
def test_what_reaches_beyond_itself_is_refused(change: Change, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        check_model(OnnxModel(changed(change), bytes(384)))


def test_numbers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in (("_MOST_NODES", "more than 2 nodes"), ("_MOST_TENSORS", "more than 2 tensors")):
        with monkeypatch.context() as patch:
            patch.setattr(model_safety, name, 2)
            with pytest.raises(BundleError, match=said):
                check_model(network())
    monkeypatch.setattr(model_safety, "_MOST_DATA_BYTES", 383)
    with pytest.raises(BundleError, match="384 bytes"):
        check_model(OnnxModel(network().graph, bytes(384)))


@pytest.mark.parametrize(
    "graph",
    [
        b"",
        b"not onnx",
        network().graph[:-3],
        network().graph * 2,  # protobuf would merge the two
        b"\x08\x0a\x12\x06ORTMxx" + network().graph,
        b"\x0b" + network().graph,
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x3a" + b"\xff" * 12,
        b"\x38\x01",
    ],
    ids=["nothing", "text", "cut", "twice", "ort", "group", "longer than long", "no end", "number"],
)
def test_what_is_no_network_is_refused(graph: bytes) -> None:
    with pytest.raises(BundleError, match="no ONNX file|own format"):
        check_model(OnnxModel(graph))


def test_an_attribute_of_two_tensors_is_refused() -> None:
    tensor = TensorProto(dims=[1], data_type=1, raw_data=bytes(4)).SerializeToString()
    twice = 2 * (b"\x2a" + bytes((len(tensor),)) + tensor)
    node = b"\x2a" + bytes((len(twice),)) + twice
    graph = b"\x0a" + bytes((len(node),)) + node
    with pytest.raises(BundleError, match="holds two values"):
        check_model(OnnxModel(b"\x3a" + bytes((len(graph),)) + graph))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_refusal_or_in_peace(graph: bytes) -> None:
    with_refusal(graph)


_SMALL = changed(external())


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(_SMALL) - 1), st.integers(0, 255), st.integers(0, 8), st.binary(max_size=6))
def test_any_damage_ends_in_a_refusal_or_in_peace(at: int, byte: int, left_out: int, put: bytes) -> None:
    with_refusal(_SMALL[:at] + bytes((byte,)) + put + _SMALL[at + 1 + left_out :])


def with_refusal(graph: bytes) -> None:
    with suppress(BundleError):
        check_model(OnnxModel(graph, bytes(384)))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_read_as_protobuf_writes_them(numbers: list[int]) -> None:
    tensor = TensorProto(int64_data=numbers, dims=numbers)
    read = {7: list[int](), 1: list[int]()}
    for number, value in fields(memoryview(tensor.SerializeToString())):
        read[number] += varints(value)
    assert read == {7: numbers, 1: numbers}


def test_a_number_of_eleven_bytes_is_none() -> None:
    with pytest.raises(MalformedError, match="does not end"):
        list(varints(memoryview(b"\xff" * 10 + b"\x01")))
