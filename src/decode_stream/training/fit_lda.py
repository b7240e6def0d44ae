"""Fits shrinkage LDA for `train`: the yardstick that every encoder is held against. Needs no torch."""

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.encoders.lda import fit_lda, join_windows
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.export.linear import export_linear
from decode_stream.stream.errors import UsageError

__all__ = ["fit_lda_encoder"]


def fit_lda_encoder(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit LDA on whole trials and share it out among their windows; nothing in it is random.

    Raises
    ------
    UsageError
        If the gallery is not one of categories: LDA knows classes, not embeddings.
    """
    gallery = recipe.gallery.embeddings
    if recipe.gallery.space.norm != "none" or not np.array_equal(gallery, np.eye(len(gallery))):
        raise UsageError("LDA decodes categories; for a gallery of embeddings use --model channel-attention.")
    epochs = join_windows(trials.windows, recipe.schedule)
    readout = fit_lda(epochs, trials.labels, recipe.schedule, recipe.n_latencies, n_entries=len(gallery))
    if readout.n_averaged > 1:
        options.report(
            f"averaging {readout.n_averaged} neighbouring samples: the products of every single one are too many"
        )

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float64]:
        # A window of unknown latency tells LDA nothing.
        return readout.embed(windows) if known else np.zeros((*windows.shape[:2], len(gallery)))

    def export(windows: npt.NDArray[np.float32]) -> OnnxModel:
        return export_linear(readout, windows)

    return Trained(embed, export)
