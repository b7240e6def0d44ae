"""A distilled prior from torch to ONNX, compared with torch before anyone sees it."""

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.encoders.diffusion_prior import FewStepPrior
from decode_stream.stream.errors import ExportError

from .metadata import PRIOR
from .onnx import translated
from .onnx_file import serialised
from .parity import require_agreement

__all__ = ["export_prior"]


def export_prior(prior: FewStepPrior, decoded: npt.NDArray[np.float32], seed: int = 0) -> bytes:
    """Write a prior as an ONNX model and check it against torch on what was decoded.

    Parameters
    ----------
    prior : FewStepPrior
        On the CPU.
    decoded : array of shape (n, dimension), float32
        Decoded embeddings, at least two.
    seed : int
        Of the noise that the two are compared on.

    Returns
    -------
    bytes
        The model: inputs ``embedding`` (batch, dimension) and ``noise`` (batch, n_steps, dimension), output
        ``image_embedding`` (batch, dimension), all float32.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from torch's by more than 1e-4 of the largest value, or it is above 2 GB.
    """
    prior.eval()
    shape = (len(decoded), len(prior.times), decoded.shape[1])
    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    given = {"embedding": decoded, "noise": noise}
    rows = {name: torch.tensor(values) for name, values in given.items()}
    model = serialised(translated(prior, rows, ["image_embedding"]).model, PRIOR)
    if model.data:
        raise ExportError(
            f"The prior has {len(model.data) / 1e9:.1f} GB of weights, and a bundle holds one of at most 2 GB. Train "
            "without --prior."
        )
    with torch.inference_mode():
        expected = prior(*rows.values()).numpy()
    require_agreement(model.graph, given, expected, "image_embedding")
    return model.graph
