"""Networks in fewer bits: what is given up is measured, and refused where it is too much.

All nodes that may be in fewer bits are tried at once; where the result is too far off, those that cannot are found by
halving (Junker 2004, "QuickXplain", AAAI: a few of a set without which a condition fails, in few trials) and stay
float32. int8 is dynamic: weights are 8 bits, and what they are multiplied by is scaled when it comes.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir

from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.stream.errors import ExportError

from .comparison import TOLERANCES, Comparison, Network, Tolerance, compared, require_within
from .half import half_candidates, mixed, prepared
from .onnx_file import opened, written

__all__ = ["Converted", "to_half", "to_int8"]

#: So many graphs are tried at most, to find out which nodes stay float32.
_MOST_TRIALS = 48
#: Operators that int8 multiplies by constant weights.
_MATRICES = ("MatMul", "Gemm", "Conv")
#: Where int8 with nodes kept in float32 is larger than this share of float32, it is not worth what it costs.
_LEAST_SAVED = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A network in fewer bits.

    Attributes
    ----------
    kept : tuple of str
        Names of the nodes that could be in fewer bits and are not.
    n_nodes : int
        How many could.
    """

    model: OnnxModel
    found: Comparison
    kept: tuple[str, ...]
    n_nodes: int


def to_half(network: Network) -> Converted:
    """Return a network that computes in float16 where it can; its inputs and outputs stay float32.

    Raises
    ------
    ExportError
        If every node has to stay float32, or the converted network is too far off when it is run.
    """
    tolerance, graph = TOLERANCES["fp16"], prepared(opened(network.model))
    candidates = half_candidates(graph)
    kept = _Search(lambda kept: _emulated(network, graph, kept), tolerance).needed(candidates)
    if len(kept) == len(candidates):
        raise ExportError(
            f"No part of the {network.name} can be told in float16 to within {tolerance.error:g} of its largest value. "
            "Nothing was written. Leave it in float32, or give --to int8."
        )
    model = written(mixed(graph, kept))
    found = compared(model, network).worse(_emulated(network, graph, kept))
    require_within("fp16", network, found)
    return Converted(model, found, tuple(name for name in candidates if name in kept), len(candidates))


def _emulated(network: Network, graph: onnx_ir.Model, kept: frozenset[str]) -> Comparison:
    # Beyond float16's range numbers become infinite, and their differences no numbers.
    with np.errstate(invalid="ignore"):
        return compared(written(mixed(graph, kept, emulated=True)), network)


class _Search:
    """Finds a few nodes without which the others may be in fewer bits.

    Parameters
    ----------
    measure : callable
        Takes the names of nodes that stay float32, and returns how far off the network then is.
    tolerance : Tolerance

    Attributes
    ----------
    first : Comparison or None
        How far off it is where none stays.
    """

    def __init__(self, measure: Callable[[frozenset[str]], Comparison], tolerance: Tolerance) -> None:
        self._measure, self._tolerance = measure, tolerance
        self._trials = 0
        self.first: Comparison | None = None

    def needed(self, nodes: Sequence[str]) -> frozenset[str]:
        """Return which nodes stay float32."""
        self.first = self._measure(frozenset())
        self._trials = 1
        if self.first.within(self._tolerance):
            return frozenset()
        return frozenset(self._fewest(tuple(nodes), frozenset()))

    def _passes(self, kept: frozenset[str]) -> bool:
        self._trials += 1
        return self._measure(kept).within(self._tolerance)

    def _fewest(self, nodes: tuple[str, ...], kept: frozenset[str]) -> tuple[str, ...]:
        """Return which of the nodes stay float32 beside those that do; all of them are enough."""
        if len(nodes) == 1 or self._trials + 2 > _MOST_TRIALS:
            return nodes
        first, second = nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]
        for half in (first, second):
            if self._passes(kept | frozenset(half)):
                return self._fewest(half, kept)
        of_first = self._fewest(first, kept | frozenset(second))
        return of_first + self._fewest(second, kept | frozenset(of_first))


def to_int8(network: Network) -> Converted:
    """Return a network whose matrices and convolutions are multiplied in 8 bits, where they can be.

    What they are multiplied by is scaled by its largest value in the batch, so that a row's result hangs a little on
    the rows beside it.

    Raises
    ------
    ExportError
        If it is too far off with most of it in 8 bits, has nothing to be multiplied, is above 2 GB, or finds no room
        for temporary files.
    """
    tolerance, graph = TOLERANCES["int8"], prepared(opened(network.model))
    whole = written(graph)
    if whole.data:
        raise ExportError(
            f"The {network.name} has {len(whole.data) / 1e9:.1f} GB of weights, and int8 is for at most 2 GB. "
            "Give --to fp16."
        )
    can = [node.name or "" for node in graph.graph if _multiplies(node)]
    if not can:
        raise ExportError(
            f"The {network.name} multiplies no matrices: int8 would change nothing. Give --to fp16."
        )
    search = _Search(lambda kept: compared(_quantised(whole.graph, kept), network), tolerance)
    kept = search.needed(can)
    model = _quantised(whole.graph, kept)
    found = compared(model, network)
    if kept and len(model.graph) > _LEAST_SAVED * len(whole.graph):
        assert search.first is not None
        found = search.first
    require_within("int8", network, found)
    return Converted(model, found, tuple(name for name in can if name in kept), len(can))


def _multiplies(node: onnx_ir.Node) -> bool:
    weights = node.inputs[1] if len(node.inputs) > 1 else None
    return node.op_type in _MATRICES and weights is not None and weights.const_value is not None


def _quantised(graph: bytes, kept: frozenset[str]) -> OnnxModel:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_model_from_string(graph)
    # The shapes that the exporter noted contradict those that are inferred anew, and quantizing fails of it.
    del proto.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_dynamic(
                proto,
                path,
                op_types_to_quantize=list(_MATRICES),
                nodes_to_exclude=sorted(kept),
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            return OnnxModel(path.read_bytes())
        except OSError as error:
            raise ExportError(
                f"int8 is made in {tempfile.gettempdir()}, which cannot be written: {error.strerror or error}. Make "
                "room there, or set TMPDIR to a folder with more."
            ) from error


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantizer's advice to prepare models, which has been followed, out of the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
