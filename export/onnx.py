"""An encoder from torch to ONNX, compared with torch before anyone sees it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import nn

from decode_stream.stream.errors import DecodeStreamError

__all__ = ["OPSET", "ExportError", "export_encoder", "largest_difference"]

#: Version of the ONNX operator set written.
OPSET = 20

#: Largest difference from torch that is accepted, relative to the largest value of the embedding.
TOLERANCE = 1e-4


class ExportError(DecodeStreamError):
    """An exported graph does not give what the network gives."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and deprecation talk out of the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def export_encoder(
    module: nn.Module, windows: npt.NDArray[np.float32], latencies_s: npt.NDArray[np.float32]
) -> bytes:
    """Write an encoder as an ONNX model and check it against torch on real windows.

    Parameters
    ----------
    module : Module
        Takes ``(window, latency_s)`` and returns ``embedding``; on the CPU.
    windows : array of shape (n, n_channels, n_times), float32
        Real windows, at least two.
    latencies_s : array of shape (n,), float32
        Their latencies; include some of -1, unknown.

    Returns
    -------
    bytes
        The model: inputs ``window`` (batch, n_channels, n_times) and ``latency_s`` (batch,), output ``embedding``.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from torch's by more than 1e-4 of the largest value.
    """
    module.eval()
    example = (torch.tensor(windows[:2]), torch.tensor(latencies_s[:2]))
    batch = torch.export.Dim("batch", min=1, max=65536)
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["window", "latency_s"],
            output_names=["embedding"],
            dynamic_shapes=({0: batch}, {0: batch}),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: bytes = program.model_proto.SerializeToString()
    difference = largest_difference(model, module, windows, latencies_s)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The exported encoder differs from torch by {difference:.2g} of the largest value; at most {TOLERANCE:g} "
            "is accepted. Nothing was written."
        )
    return model


def largest_difference(
    model: bytes, module: nn.Module, windows: npt.NDArray[np.float32], latencies_s: npt.NDArray[np.float32]
) -> float:
    """Return the largest difference between ONNX Runtime and torch, relative to the largest value of torch's.

    One window alone and all of them as a batch are compared.
    """
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    worst = 0.0
    for n in (1, len(windows)):
        with torch.inference_mode():
            expected = module(torch.tensor(windows[:n]), torch.tensor(latencies_s[:n])).numpy()
        (got,) = session.run(["embedding"], {"window": windows[:n], "latency_s": latencies_s[:n]})
        worst = max(worst, float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-12)))
    return worst
