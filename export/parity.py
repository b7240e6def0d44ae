"""Compares an exported graph with the decoder it came from."""

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from decode_stream.stream.errors import ExportError
from decode_stream.stream.types import FloatArray

__all__ = ["TOLERANCE", "require_parity"]

#: Largest difference that is accepted, relative to the largest value of the embeddings.
TOLERANCE = 1e-4


def require_parity(
    model: bytes,
    windows: npt.NDArray[np.float32],
    latencies_s: npt.NDArray[np.float32],
    expected: FloatArray,
    *,
    output: str = "embedding",
) -> float:
    """Run an exported encoder on real windows, one alone and all as a batch, and compare.

    Parameters
    ----------
    model : bytes
        ONNX model with inputs ``window`` and ``latency_s`` and output ``embedding``.
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
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    size = max(float(np.abs(expected).max()), 1e-12)
    differences = []
    for n in (1, len(windows)):
        (got,) = session.run([output], {"window": windows[:n], "latency_s": latencies_s[:n]})
        differences.append(np.abs(got - expected[:n]).max() / size)
    # NumPy's maximum carries a NaN on, Python's may lose it.
    worst = float(np.max(differences))
    if not worst <= TOLERANCE:
        raise ExportError(
            f"The exported encoder differs from the trained one by {worst:.2g} of its largest value; at most "
            f"{TOLERANCE:g} is accepted. Nothing was written."
        )
    return worst
