"""What a file says of itself is there for whoever opens it, and what a graph does not need is not."""

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.export.metadata import ENCODER, described
from decode_stream.export.onnx import OPSET
from decode_stream.export.onnx_file import serialised


def wasteful() -> onnx.ModelProto:
    """Return a graph that computes one thing twice, another for nobody, and passes its answer on by an identity."""
    nodes = [
        helper.make_node("Mul", ["window", "two"], ["first"], name="first", doc_string="a note"),
        helper.make_node("Mul", ["window", "two_again"], ["second"], name="second"),
        helper.make_node("Exp", ["window"], ["unused"], name="unused"),
        helper.make_node("Add", ["first", "second"], ["sum"], name="sum"),
        helper.make_node("Identity", ["sum"], ["embedding"], name="same"),
    ]
    two = np.full(3, 2, np.float32)
    graph = helper.make_graph(
        nodes,
        "wasteful",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(two, "two"), numpy_helper.from_array(two, "two_again")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def test_a_graph_is_simplified_without_a_bit_of_difference_and_says_what_it_is() -> None:
    proto = wasteful()
    model = serialised(onnx_ir.from_proto(proto), ENCODER)
    kept = onnx.load_model_from_string(model.graph)
    assert sorted(node.op_type for node in kept.graph.node) == ["Add", "Mul"]
    assert len(kept.graph.initializer) == 1
    assert not any(node.doc_string for node in kept.graph.node)
    given = {"window": np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)}
    sessions = [ort.InferenceSession(data) for data in (proto.SerializeToString(), model.graph)]
    before, after = (session.run(["embedding"], given)[0] for session in sessions)
    assert np.array_equal(before, after)
    said = sessions[1].get_modelmeta().custom_metadata_map
    assert said["what"].startswith("Encoder")
    assert said["opset"] == str(OPSET)
    assert "seconds" in said["latency_s"]


def test_what_is_said_anew_replaces_what_was_said_and_no_more() -> None:
    model = serialised(onnx_ir.from_proto(wasteful()), ENCODER)
    told = described(OnnxModel(model.graph, b"beside"), {"name": "faces", "opset": "soon"})
    assert told.data == b"beside"
    said = {entry.key: entry.value for entry in onnx.load_model_from_string(told.graph).metadata_props}
    assert (said["name"], said["opset"], said["what"]) == ("faces", "soon", ENCODER.what)
