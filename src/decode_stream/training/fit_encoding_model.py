"""Fits a generative linear decoder of EEG or MEG to a gallery of embeddings for `train`. Needs no torch."""

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.encoders.encoding_model import fit_encoding_model
from decode_stream.decoders.encoders.ridge import targets
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.export.linear import export_linear
from decode_stream.stream.errors import UsageError

__all__ = ["fit_encoding_encoder"]


def fit_encoding_encoder(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit an encoding model on windows that slide; nothing in it is random.

    Raises
    ------
    UsageError
        If the windows grow, or there are too few trials.
    """
    if recipe.schedule.first_s is not None:
        raise UsageError("An encoding model decodes windows that slide; leave out what makes them grow.")
    norm = recipe.gallery.space.norm
    wanted = targets(recipe.gallery.embeddings, trials.labels, norm)
    readout = fit_encoding_model(trials.windows, wanted, recipe.schedule, recipe.n_latencies, trials.labels)
    options.report(f"{len(readout.tuning)} directions of the signal tell pictures apart")
    if readout.rho is not None:
        options.report(f"{readout.rho.mean():.1%} of the noise there comes again with the picture")

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float64]:
        # A window of unknown latency tells nothing: what it says depends on when the picture came.
        return readout.embed(windows) if known else np.zeros((*windows.shape[:2], len(readout.tuning) + 1))

    return Trained(
        embed,
        lambda windows: export_linear(readout.linear, windows),
        projector=readout.projector(unit=norm == "unit"),
    )
