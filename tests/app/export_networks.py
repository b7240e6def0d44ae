"""Small networks that are exported."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.decoders.distillation.small_flows import SIDE_PX


def prior_onnx(dimension: int) -> bytes:
    """Return a graph that turns what was decoded by a matrix and adds a little of the noise."""
    turned = np.random.default_rng(3).standard_normal((dimension, dimension)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["embedding", "turned"], ["likely"], name="likely"),
        helper.make_node("ReduceMean", ["noise", "steps"], ["drawn"], name="drawn", keepdims=0),
        helper.make_node("Add", ["likely", "drawn"], ["image_embedding"], name="sample"),
    ]
    graph = helper.make_graph(
        nodes,
        "prior",
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["n", 1, dimension]),
        ],
        [helper.make_tensor_value_info("image_embedding", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(turned, "turned"), numpy_helper.from_array(np.array([1]), "steps")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(made.SerializeToString())


def generator_onnx() -> bytes:
    """Return a graph that takes what a generator's network does and fades its noise."""
    inputs = {
        "x": ["n", 3, SIDE_PX, SIDE_PX],
        "t": ["n"],
        "r": ["n"],
        "semantic": ["n", 4],
        "layout": ["n", 2, 2, 3],
        "open_share": ["n", 2],
    }
    kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 3)).astype(np.float32) / 9
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["blurred"], name="blurred", pads=[1, 1, 1, 1]),
            helper.make_node("Tanh", ["blurred"], ["clean"], name="tanh"),
        ],
        "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("clean", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(made.SerializeToString())
