"""An encoder from torch to ONNX, compared with torch before anyone sees it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from decode_stream.decoders.onnx_model import OnnxModel

from .metadata import ENCODER
from .onnx_file import serialised
from .parity import require_parity

__all__ = ["OPSET", "export_encoder", "translated"]

#: Version of the ONNX operator set written.
OPSET = 20


def translated(
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    *,
    most_rows: int = 1 << 16,
) -> torch.onnx.ONNXProgram:
    """Return a network as an ONNX program, which takes any number of rows up to a bound.

    Parameters
    ----------
    module : Module
        On the CPU.
    inputs : mapping of str to Tensor of shape (n, ...)
        What it takes, by name and in its order; two rows or more, as those of one are taken for a constant.
    outputs : sequence of str
        Names of what it gives.
    most_rows : int
    """
    batch = torch.export.Dim("batch", min=1, max=most_rows)
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(rows[:2] for rows in inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program


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
) -> OnnxModel:
    """Write an encoder as an ONNX model and check it against torch on real windows.

    Parameters
    ----------
    module : Module
        Takes ``(window, latency_s)`` and returns ``embedding``, or that and ``structure``; on the CPU.
    windows : array of shape (n, n_channels, n_times), float32
        Real windows, at least two.
    latencies_s : array of shape (n,), float32
        Their latencies; include some of -1, unknown.

    Returns
    -------
    OnnxModel
        Inputs ``window`` (batch, n_channels, n_times) and ``latency_s`` (batch,), output ``embedding``, and
        ``structure`` where the encoder has a second head.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from torch's by more than 1e-4 of the largest value.
    """
    module.eval()
    given = {"window": torch.tensor(windows), "latency_s": torch.tensor(latencies_s)}
    names = ["embedding", "structure"][: len(_outputs(module, *(rows[:2] for rows in given.values())))]
    model = serialised(translated(module, given, names).model, ENCODER)
    expected = _outputs(module, *given.values())
    for name, values in zip(names, expected, strict=True):
        require_parity(model, windows, latencies_s, values, output=name)
    return model


def _outputs(
    module: nn.Module, window: torch.Tensor, latency_s: torch.Tensor
) -> list[npt.NDArray[np.float32]]:
    """Return what an encoder gives, one array a head."""
    with torch.inference_mode():
        given = module(window, latency_s)
    return [part.numpy() for part in (given if isinstance(given, tuple) else (given,))]
