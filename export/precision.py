"""Networks in fewer bits: what is given up is measured, and refused where it is too much.

float16 is mixed. All nodes that may compute in it are tried at once; where the result is too far off, those that cannot
are found by halving (Junker 2004, "QuickXplain", AAAI: the fewest of a set without which a condition fails, in few
trials) and stay float32. int8 is dynamic: weights are 8 bits, and what they are multiplied by is scaled when it comes.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir

from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.stream.errors import ExportError

from .half import half_candidates, mixed, prepared
from .onnx_file import opened, written
from .parity import TOLERANCE, largest_difference

__all__ = [
    "TOLERANCES",
    "Comparison",
    "Converted",
    "Network",
    "Tolerance",
    "compared",
    "require_within",
    "to_half",
    "to_int8",
]

_Array = npt.NDArray[np.float32]
_Arrays = Mapping[str, _Array]
#: So many graphs are tried at most, to find out which nodes stay float32.
_MOST_TRIALS = 48
_ROWS_AT_ONCE = 64
#: An embedding shorter than this share of the longest is no evidence: its direction decides nothing.
_NO_EVIDENCE = 1e-3


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a network may be from what it came from.

    Attributes
    ----------
    error : float
        Largest difference, relative to the largest value.
    cosine : float
        Least cosine of an encoder's embedding of a window.
    """

    error: float
    cosine: float


TOLERANCES = {
    "fp32": Tolerance(TOLERANCE, 0.9999),
    "fp16": Tolerance(1e-2, 0.999),
    "int8": Tolerance(5e-2, 0.99),
}


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network of float32, with inputs and what it gives of them.

    Attributes
    ----------
    name : str
        File name without its ending.
    model : OnnxModel
    given : mapping of str to array of shape (n, ...), float32
        Inputs by name.
    expected : mapping of str to array of shape (n, ...), float32
        Outputs by name.
    compared_with : str
        Whose outputs those are, in words.
    decides : str
        Name of the output whose direction decides, the embedding of an encoder; empty for none.
    """

    name: str
    model: OnnxModel
    given: _Arrays
    expected: _Arrays
    compared_with: str
    decides: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a network is from what it came from.

    Attributes
    ----------
    error : float
        Largest difference of any output, relative to that output's largest value.
    cosine : float or None
        Least cosine of what decides.
    """

    error: float
    cosine: float | None

    def within(self, tolerance: Tolerance) -> bool:
        """Return whether that is near enough; not where it is no number."""
        return self.error <= tolerance.error and (self.cosine is None or self.cosine >= tolerance.cosine)

    def worse(self, other: "Comparison") -> "Comparison":
        """Return the worse of two, number by number."""
        cosine = (
            None
            if self.cosine is None or other.cosine is None
            else float(np.minimum(self.cosine, other.cosine))
        )
        return Comparison(float(np.maximum(self.error, other.error)), cosine)


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


def compared(model: OnnxModel, network: Network) -> Comparison:
    """Run a model on a network's inputs, one row alone and all as batches, and compare.

    Parameters
    ----------
    model : OnnxModel
        With the network's inputs and outputs.
    network : Network
    """
    session, names = load_model(model), list(network.expected)
    n = len(next(iter(network.given.values())))
    pieces = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, n, _ROWS_AT_ONCE)]
    error, cosine = 0.0, None if not network.decides else 1.0
    for rows in (slice(0, 1), *pieces):
        outputs = session.run(names, {name: values[rows] for name, values in network.given.items()})
        for name, got in zip(names, outputs, strict=True):
            expected = network.expected[name]
            # NumPy's maximum carries on what is no number.
            error = float(np.maximum(error, largest_difference(got, expected[rows], expected)))
            if name == network.decides and cosine is not None:
                cosine = float(np.minimum(cosine, _least_cosine(got, expected[rows], expected)))
    return Comparison(error, cosine)


def _least_cosine(got: _Array, expected: _Array, of: _Array) -> float:
    wide, true = got.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(true, axis=1)
    tells = lengths > _NO_EVIDENCE * np.linalg.norm(of, axis=1).max()
    if not tells.any():
        return 1.0
    products = (wide * true).sum(axis=1)[tells]
    return float((products / (np.linalg.norm(wide, axis=1)[tells] * lengths[tells]).clip(1e-30)).min())


def to_half(network: Network) -> Converted:
    """Return a network that computes in float16 where it can; its inputs and outputs stay float32.

    Raises
    ------
    ExportError
        If every node has to stay float32, or the converted network is too far off when it is run.
    """
    tolerance, graph = TOLERANCES["fp16"], prepared(opened(network.model))
    candidates = half_candidates(graph)
    kept = _Search(network, graph, tolerance).needed(candidates)
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
    """Finds a few nodes without which the others may compute in float16."""

    def __init__(self, network: Network, graph: onnx_ir.Model, tolerance: Tolerance) -> None:
        self._network, self._graph, self._tolerance = network, graph, tolerance
        self._trials = 0

    def needed(self, nodes: Sequence[str]) -> frozenset[str]:
        """Return which nodes stay float32."""
        if self._passes(frozenset()):
            return frozenset()
        return frozenset(self._fewest(tuple(nodes), frozenset()))

    def _passes(self, kept: frozenset[str]) -> bool:
        self._trials += 1
        return _emulated(self._network, self._graph, kept).within(self._tolerance)

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
    """Return a network whose matrices, and convolutions where they can be, are multiplied in 8 bits.

    What they are multiplied by is scaled by its largest value in the batch, so that a row's result hangs a little on
    the rows beside it.

    Raises
    ------
    ExportError
        If it is too far off, has nothing to be multiplied, or is above 2 GB.
    """
    graph = prepared(opened(network.model))
    whole = written(graph)
    if whole.data:
        raise ExportError(
            f"The {network.name} has {len(whole.data) / 1e9:.1f} GB of weights, and int8 is for at most 2 GB. "
            "Give --to fp16."
        )
    there = {node.op_type for node in graph.graph}
    matrices: list[str] = [kind for kind in ("MatMul", "Gemm") if kind in there]
    wanted: list[list[str]] = [[*matrices, "Conv"]] if "Conv" in there else []
    wanted += [matrices] if matrices else []
    if not wanted:
        raise ExportError(
            f"The {network.name} multiplies no matrices: int8 would change nothing. Give --to fp16."
        )
    for kinds in wanted:
        model = _quantised(whole.graph, kinds)
        found = compared(model, network)
        if found.within(TOLERANCES["int8"]):
            break
    require_within("int8", network, found)
    can = [node for node in graph.graph if node.op_type in wanted[0]]
    kept = tuple(node.name or "" for node in can if node.op_type not in kinds)
    return Converted(model, found, kept, len(can))


def _quantised(graph: bytes, kinds: Sequence[str]) -> OnnxModel:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_model_from_string(graph)
    # The shapes that the exporter noted contradict those that are inferred anew, and quantizing fails of it.
    del proto.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            proto,
            path,
            op_types_to_quantize=list(kinds),
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return OnnxModel(path.read_bytes())


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantizer's advice to prepare models, which has been followed, out of the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def require_within(precision: str, network: Network, found: Comparison) -> None:
    """Refuse a network that is too far from what it came from.

    Parameters
    ----------
    precision : {"fp32", "fp16", "int8"}

    Raises
    ------
    ExportError
    """
    tolerance = TOLERANCES[precision]
    if found.within(tolerance):
        return
    directions = (
        ""
        if found.cosine is None
        else (f", and its embeddings' least cosine is {found.cosine:.4f} (at least {tolerance.cosine:g})")
    )
    instead = "Give --to fp16" if precision == "int8" else "Leave it in float32"
    raise ExportError(
        f"The {network.name} in {precision} differs from {network.compared_with} by {found.error:.2g} of its largest "
        f"value (at most {tolerance.error:g} is accepted){directions}. Nothing was written. {instead}."
    )
