"""Fits a ridge regression from whole trials of EEG or MEG to embeddings for `train`. Needs no torch."""

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.encoders.linear_windows import fit_linear
from decode_stream.decoders.encoders.ridge import targets
from decode_stream.decoders.epochs import TrialSet, grown
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.export.linear import export_growing, export_linear

__all__ = ["fit_linear_encoder"]


def fit_linear_encoder(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit a ridge regression on whole trials, for windows that slide or grow; nothing in it is random.

    Windows that slide share the regression out, and their inner products with the gallery add up to the whole trial's.
    Their cosines do not, so where a gallery is compared by cosine, windows that grow say more.

    Raises
    ------
    UsageError
        If there are too few trials to choose a penalty on.
    """
    gallery, schedule, n_latencies = recipe.gallery, recipe.schedule, recipe.n_latencies
    wanted = targets(gallery.embeddings, trials.labels, gallery.space.norm)
    fitted = fit_linear(trials.windows, wanted, trials.runs, schedule)
    if fitted.n_averaged > 1:
        options.report(
            f"averaging {fitted.n_averaged} neighbouring samples: a regression on every single one is too large"
        )
    if schedule.first_s is None:
        sliding = fitted.sliding(schedule, n_latencies)

        def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float64]:
            # A window of unknown latency tells nothing.
            return sliding.embed(windows) if known else np.zeros((*windows.shape[:2], wanted.shape[1]))

        return Trained(embed, lambda windows: export_linear(sliding, windows))
    growing = fitted.growing(schedule, n_latencies)

    def embed_grown(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float64]:
        embeddings = np.zeros((len(windows), n_latencies, wanted.shape[1]))
        for k in range(n_latencies if known else 0):
            embeddings[:, k] = growing.embed(grown(windows, schedule, k), k)
        return embeddings

    def export(windows: npt.NDArray[np.float32]) -> OnnxModel:
        parts = np.stack([grown(windows, schedule, k) for k in range(n_latencies)], axis=1)
        return export_growing(growing, parts)

    return Trained(embed_grown, export)
