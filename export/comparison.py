"""How far a network is from what it came from, and how far it may be in each precision."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.stream.errors import ExportError

from .parity import TOLERANCE, largest_difference

__all__ = ["TOLERANCES", "Comparison", "Network", "Tolerance", "compared", "require_within"]

_Array = npt.NDArray[np.float32]
_Arrays = Mapping[str, _Array]
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
