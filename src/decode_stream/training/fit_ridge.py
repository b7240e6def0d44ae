"""Fits a ridge regression from volumes to the gallery's embeddings for `train`. Needs no torch."""

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.encoders.ridge import answers, fit_ridge, targets
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.export.linear import export_ridge

__all__ = ["fit_ridge_encoder"]


def fit_ridge_encoder(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit a ridge regression on the mean volume of each trial's window; nothing in it is random.

    Raises
    ------
    UsageError
        If there are too few trials to choose a penalty on.
    """
    gallery = recipe.gallery
    wanted = targets(gallery.embeddings, trials.labels, gallery.space.norm)
    readout = fit_ridge(answers(trials.windows), wanted, trials.runs)

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float64]:
        # A window of unknown latency mixes the answers to several pictures, and tells nothing.
        return readout.embed(windows) if known else np.zeros((*windows.shape[:2], gallery.space.dimension))

    def export(windows: npt.NDArray[np.float32]) -> bytes:
        return export_ridge(readout, windows)

    return Trained(embed, export)
