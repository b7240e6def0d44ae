"""Fits a ridge regression from volumes to the gallery's embeddings for `train`. Needs no torch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.config import RidgeModel
from decode_stream.decoders.encoders.ridge import answers, entries, fit_ridge, needed_bytes
from decode_stream.decoders.encoders.ridge_settings import OURS, RidgeSettings, published, target_kind
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Fit, Recipe, Trained
from decode_stream.export.linear import export_ridge
from decode_stream.free_memory import free_bytes
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording

__all__ = ["check_ridge_memory", "ridge_fit"]


def ridge_fit(name: RidgeModel) -> Fit:
    """Return what fits the ridge regression of a name; nothing in it is random."""

    def fit(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
        """Fit a ridge regression on the mean volume of each trial's window.

        Raises
        ------
        UsageError
            If there are too few trials to choose a penalty on, or more voxels or dimensions than the memory holds.
        """
        gallery = recipe.gallery
        settings = _settings(name, recipe)
        _check_memory(name, len(trials.labels), recipe)
        features = answers(trials.windows)
        wanted = entries(gallery.embeddings, gallery.space.norm)
        readout = fit_ridge(features, wanted, trials.runs, settings, trials.labels)
        for line in readout.notes:
            options.report(line)

        def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.floating]:
            # A window of unknown latency mixes the answers to several pictures, and tells nothing.
            return (
                readout.embed(windows) if known else np.zeros((*windows.shape[:2], gallery.space.dimension))
            )

        return Trained(embed, lambda windows: export_ridge(readout, windows))

    return fit


def _settings(name: RidgeModel, recipe: Recipe) -> RidgeSettings:
    return OURS if name == "ridge" else published(name, target_kind(recipe.gallery.space))


def check_ridge_memory(name: RidgeModel, recipe: Recipe, recordings: Sequence[Recording]) -> None:
    """Refuse, before a trial is read, what does not fit into the memory that is free.

    Parameters
    ----------
    recordings : sequence of Recording
        To train on; their markers tell how many trials they have.

    Raises
    ------
    UsageError
    """
    stimuli = recipe.gallery.stimuli()
    n_trials = sum(label in stimuli for recording in recordings for _, label in recording.markers)
    _check_memory(name, n_trials, recipe)


def _check_memory(name: RidgeModel, n_trials: int, recipe: Recipe) -> None:
    """Refuse what does not fit into the memory that is free, before any of it is taken."""
    n_voxels, dimension = recipe.chain.n_out, recipe.gallery.space.dimension
    needed = needed_bytes(n_trials, n_voxels, dimension, _settings(name, recipe), len(recipe.gallery.names))
    free = free_bytes()
    if free is not None and needed > free:
        raise UsageError(
            f"--model {name} takes {needed / 1e9:.1f} GB for {n_trials} trials of {n_voxels} voxels and {dimension} "
            f"numbers to decode, and {free / 1e9:.1f} GB of memory are free. Give fewer voxels by --mask, such as "
            "nsdgeneral, or a smaller --target."
        )
