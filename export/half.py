"""A graph of float32 whose nodes compute in float16, but for those that are named; inputs and outputs stay float32.

Which nodes may be rounded is decided by measuring, see `decode_stream.export.precision`. ONNX Runtime computes most
operators of float16 on the CPU in float32 and leaves out the rounding between them, so that the converted graph would
seem more precise there than it is on a GPU. What is measured is therefore an emulation: the same graph in float32, each
result rounded to 16 bits by two casts where the converted graph has float16. Sums are then of float32, as those of
tensor cores are.
"""

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir
from onnx import defs
from onnx_ir import DataType, Node, Value
from onnx_ir.passes import common

__all__ = ["half_candidates", "mixed", "prepared"]

_SINGLE, _HALF = DataType.FLOAT, DataType.FLOAT16
_IN_ORDER = (
    common.LiftConstantsToInitializersPass,
    common.NameFixPass,
    common.ShapeInferencePass,
)


def prepared(model: onnx_ir.Model) -> onnx_ir.Model:
    """Return a graph whose nodes have names and whose values have types, as converting it needs; the one given changes.

    Weights that are kept in 16 bits and brought to float32 by a node each are float32 again.
    """
    for node in list(model.graph):
        if node.op_type == "Cast" and not node.domain and node.attributes["to"].as_int() == _SINGLE:
            _whole(model.graph, node)
    for one in _IN_ORDER:
        model = one()(model).model
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.type = onnx_ir.TensorType(value.const_value.dtype)
    return model


def _whole(graph: onnx_ir.Graph, cast: Node) -> None:
    source, kept = cast.inputs[0], cast.outputs[0]
    if source is None or source.const_value is None or source.dtype != _HALF or kept.is_graph_output():
        return
    name = kept.name or ""
    kept.name = f"{name}.cast"
    whole = _initializer(graph, name, source.const_value.numpy().astype(np.float32))
    kept.replace_all_uses_with(whole)
    graph.remove(cast, safe=True)
    if not source.uses():
        del graph.initializers[source.name or ""]


def _initializer(graph: onnx_ir.Graph, name: str, numbers: np.ndarray) -> Value:
    tensor = onnx_ir.tensor(numbers, name=name)
    shape, kind = onnx_ir.Shape(numbers.shape), onnx_ir.TensorType(tensor.dtype)
    value = Value(name=name, shape=shape, type=kind, const_value=tensor)
    graph.register_initializer(value)
    return value


def half_candidates(model: onnx_ir.Model) -> list[str]:
    """Return the names of the nodes that may compute in float16, in the order in which they run.

    Parameters
    ----------
    model : onnx_ir.Model
        From `prepared`.
    """
    opset = model.opset_imports.get("", 1)
    return [node.name or "" for node in model.graph if _may_be_half(node, opset)]


def _may_be_half(node: Node, opset: int) -> bool:
    if node.domain or any(
        attribute.type == onnx_ir.AttributeType.GRAPH for attribute in node.attributes.values()
    ):
        return False
    if any(use.node.graph is not node.graph for value in node.outputs for use in value.uses()):
        return False
    taken, given = _places(node, opset)
    return bool(given) and (bool(taken) or node.op_type == "Cast")


def _places(node: Node, opset: int) -> tuple[list[int], list[int]]:
    """Return which inputs and which outputs of a node are float32 and may be float16 instead."""
    schema = defs.get_schema(node.op_type, opset, "")
    half = {
        one.type_param_str for one in schema.type_constraints if "tensor(float16)" in one.allowed_type_strs
    }
    # The last parameter of an operator may stand for any number of values.
    kinds = [schema.inputs[min(i, len(schema.inputs) - 1)].type_str for i in range(len(node.inputs))]
    taken = [
        i
        for i, (value, kind) in enumerate(zip(node.inputs, kinds, strict=True))
        if value is not None and value.dtype == _SINGLE and kind in half
    ]
    of_inputs = {kinds[i] for i in taken}
    if node.op_type == "Cast":
        of_inputs = {schema.outputs[0].type_str}
    given = [
        i
        for i, value in enumerate(node.outputs)
        if value.dtype == _SINGLE and schema.outputs[min(i, len(schema.outputs) - 1)].type_str in of_inputs
    ]
    return taken, given


def mixed(model: onnx_ir.Model, kept: Collection[str], *, emulated: bool = False) -> onnx_ir.Model:
    """Return a copy of a graph that computes in float16 where it may, but for the nodes that are kept in float32.

    Parameters
    ----------
    model : onnx_ir.Model
        From `prepared`.
    kept : collection of str
        Names of nodes.
    emulated : bool
        Whether to return the graph of float32 whose results are rounded where the converted one has float16.
    """
    copy = model.clone()
    opset = copy.opset_imports.get("", 1)
    # Looked at before the first is changed: what a node takes is told from the types of what others give.
    places = [
        (node, *(_places(node, opset) if node.name not in kept and _may_be_half(node, opset) else ([], [])))
        for node in copy.graph
    ]
    maker = _Mixed(copy.graph, emulated)
    for node, taken, given in places:
        maker.take(node, taken, given)
    maker.end()
    return common.RemoveUnusedNodesPass()(copy).model


class _Mixed:
    """Leads a graph's values to the precision in which each node takes them, node by node in their order."""

    def __init__(self, graph: onnx_ir.Graph, emulated: bool) -> None:
        self._graph, self._emulated = graph, emulated
        #: What is rounded, by what it was in float32; and the float32 of what is rounded.
        self._half = dict[Value, Value]()
        self._single = dict[Value, Value]()

    def take(self, node: Node, taken: Sequence[int], given: Sequence[int]) -> None:
        """Give a node its inputs, those of the places `taken` in float16, and have it give those of `given` so."""
        any_type = node.op_type in ("Shape", "Size")
        for place, value in enumerate(node.inputs):
            if value is None or value.dtype not in (_SINGLE, _HALF) or (any_type and not self._emulated):
                continue
            rounded = place in taken
            node.replace_input_with(place, self._rounded(value, node) if rounded else self._as_single(value))
        for place in given:
            self._round_output(node, node.outputs[place])

    def end(self) -> None:
        """Give the graph outputs of float32 under their names."""
        outputs = self._graph.outputs
        for place, value in enumerate(outputs):
            if value in self._half:
                name = value.name
                value.name = f"{name}.half"
                outputs[place] = self._as_single(value)
                outputs[place].name = name

    def _round_output(self, node: Node, value: Value) -> None:
        if self._emulated:
            self._half[value] = self._single[value] = self._rounding(value, node)
            return
        if node.op_type == "Cast":
            node.attributes["to"] = onnx_ir.AttrInt64("to", int(_HALF))
        # A new type: a copy of a graph shares those of its values.
        value.type = onnx_ir.TensorType(_HALF)
        self._half[value] = value

    def _rounded(self, value: Value, user: Node) -> Value:
        if value not in self._half:
            self._half[value] = self._round_input(value, user)
        return self._half[value]

    def _round_input(self, value: Value, user: Node) -> Value:
        if value.const_value is not None:
            numbers = value.const_value.numpy()
            # What is too large becomes infinite, as it would on the way, and is found by measuring.
            with np.errstate(over="ignore"):
                half = numbers.astype(np.float16)
            return _initializer(
                self._graph, f"{value.name}.half", half.astype(np.float32) if self._emulated else half
            )
        if self._emulated:
            return self._rounding(value, value.producer(), user)
        return self._cast(value, _HALF, value.producer(), user)

    def _as_single(self, value: Value) -> Value:
        if value not in self._half or (value.dtype == _SINGLE and value not in self._single):
            return value
        if value not in self._single:
            self._single[value] = self._cast(value, _SINGLE, value.producer())
        return self._single[value]

    def _rounding(self, value: Value, producer: Node | None, user: Node | None = None) -> Value:
        half = self._cast(value, _HALF, producer, user)
        return self._cast(half, _SINGLE, half.producer())

    def _cast(self, value: Value, kind: DataType, producer: Node | None, user: Node | None = None) -> Value:
        node = onnx_ir.node("Cast", [value], {"to": int(kind)}, name=f"{value.name}.{kind.name.lower()}")
        made = node.outputs[0]
        made.name, made.shape, made.type = node.name, value.shape, onnx_ir.TensorType(kind)
        if producer is not None:
            self._graph.insert_after(producer, node)
        else:
            assert user is not None  # an input of the graph
            self._graph.insert_before(user, node)
        return made
