"""Compares an exported graph with the decoder it came from."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.stream.errors import ExportError
from decode_stream.stream.types import FloatArray

__all__ = ["TOLERANCE", "largest_difference", "require_agreement", "require_parity"]

#: Largest difference that is accepted, relative to the largest value of the embeddings.
TOLERANCE = 1e-4


def require_parity(
    model: OnnxModel,
    windows: npt.NDArray[np.float32],
    latencies_s: npt.NDArray[np.float32],
    expected: FloatArray,
    *,
    output: str = "embedding",
) -> float:
    """Run an exported encoder on real windows, one alone and all as a batch, and compare.

    Parameters
    ----------
    model : OnnxModel
        With inputs ``window`` and ``latency_s`` and output ``embedding``.
    windows : array of shape (n, n_channels, n_times), float32
    latencies_s : array of shape (n,), float32
    expected : array of shape (n, dimension)
        What the decoder itself gives.
    output : str
        Which output that is.

    Returns
    -------
    float
        Largest difference, relative to the largest value of `expected`.

    Raises
    ------
    ExportError
        If it is above `TOLERANCE`, or not a number.
    """
    given = {"window": windows, "latency_s": latencies_s}
    return require_agreement(model.graph, given, expected, output, model.data)


def require_agreement(
    model: bytes,
    given: Mapping[str, npt.NDArray[np.float32]],
    expected: FloatArray,
    output: str,
    data: bytes = b"",
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Run an exported model on real inputs, one row alone and all as a batch, and compare.

    Parameters
    ----------
    model : bytes
        ONNX model.
    given : mapping of str to array of shape (n, ...), float32
        Its inputs by name.
    expected : array of shape (n, dimension)
        What was exported gives itself.
    output : str
        Name of the output that is compared.
    data : bytes
        Tensors that lie beside the graph; see `OnnxModel`.
    tolerance : float
        Largest difference that is accepted, relative to the largest value of `expected`.

    Returns
    -------
    float
        Largest difference, relative to the largest value of `expected`.

    Raises
    ------
    ExportError
        If it is above `tolerance`, or not a number.
    """
    session = load_model(OnnxModel(model, data))
    worst = 0.0
    for n in (1, len(expected)):
        (got,) = session.run([output], {name: rows[:n] for name, rows in given.items()})
        worst = float(np.maximum(worst, largest_difference(got, expected[:n], expected)))
    if not worst <= tolerance:
        raise ExportError(
            f"The exported model differs from the trained one by {worst:.2g} of its largest value; at most "
            f"{tolerance:g} is accepted. Nothing was written."
        )
    return worst


def largest_difference(got: FloatArray, expected: FloatArray, of: FloatArray) -> float:
    """Return the largest difference of two arrays of one shape, relative to the largest value of `of`.

    It is not a number where one of the differences is not.
    """
    size = max(float(np.abs(of).max()), 1e-12)
    return float(np.abs(got - expected).max() / size)
