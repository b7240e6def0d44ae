"""What a prior learns from: embeddings of training trials, decoded as those of new trials are."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError

from .epochs import TrialSet
from .fit_options import FitOptions, Validation
from .hold_out import among
from .recipe import Fit, Gallery, Recipe, Trained
from .training.prior_settings import Pairs

__all__ = ["decoded_whole", "out_of_fold", "picture_folds"]

_BATCH = 256
_LEAST_CONCEPTS = 10


def out_of_fold(
    trials: TrialSet,
    recipe: Recipe,
    fit: Fit,
    options: FitOptions,
    valid: Validation,
    folds: npt.NDArray[np.int64],
) -> Pairs:
    """Decode each training trial by a mapper that saw neither it nor any picture of its concept.

    What a mapper gives of the trials that it was fitted on is closer to the truth than what it gives of new ones; a
    prior that had learnt from that would believe a session's embeddings too much. So every fold of the concepts is
    decoded by a mapper that is fitted on the others, in the same way, with the same trials held out to choose by. It
    had less to learn from than the one in the bundle, so the prior believes that a little less than it might.

    Trials stay single, as a session decodes them: the spread of the samples is then what a single trial leaves open,
    and repeats of a picture are so many draws of the noise.

    Parameters
    ----------
    trials : TrialSet
        Their labels are entries of the recipe's gallery.
    recipe : Recipe
        As the mapper in the bundle was fitted with, scaling included.
    valid : Validation
        What that mapper was chosen by; nothing of it is decoded here.
    folds : array of shape (n_entries,), int64
        From `picture_folds`.

    Raises
    ------
    RecordingError
        If a fold leaves no trial to fit on.
    """
    dimension = recipe.gallery.embeddings.shape[1]
    decoded = np.empty((len(trials.labels), dimension), np.float32)
    n_folds = int(folds.max()) + 1
    for fold in range(n_folds):
        options.report(f"decoding what the prior learns from, part {fold + 1} of {n_folds}")
        places, own = np.flatnonzero(folds != fold), folds[trials.labels] == fold
        if not own.any():
            continue
        if own.all():
            raise RecordingError(
                "All trials show pictures of few concepts, which leaves none to fit a mapper on without them. Give "
                "more recordings, or leave out --prior."
            )
        others = replace(recipe, gallery=recipe.gallery.rows(places))
        mapper = fit(among(trials, places), others, options.of(f"prior-fold-{fold + 1}", valid))
        decoded[own] = decoded_whole(mapper, trials.windows, np.flatnonzero(own))
    return Pairs(decoded, trials.labels, recipe.gallery.embeddings)


def picture_folds(gallery: Gallery, n_folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each entry: whole concepts, dealt by a seed; pictures where concepts are not known.

    Raises
    ------
    RecordingError
        If there are fewer than ten concepts, or than folds.
    """
    _, which = np.unique(gallery.concepts or gallery.names, return_inverse=True)
    n_concepts, least = int(which.max()) + 1, max(n_folds, _LEAST_CONCEPTS)
    if n_concepts < least:
        raise RecordingError(
            f"The pictures trained on show {n_concepts} concepts, and a prior needs {least} at least: it learns from "
            "what mappers decode of concepts that they never saw. Give more recordings, or leave out --prior."
        )
    dealt = np.random.default_rng(seed).permutation(np.arange(n_concepts) % n_folds)
    folds: npt.NDArray[np.int64] = dealt[which].astype(np.int64)
    return folds


def decoded_whole(
    mapper: Trained, windows: npt.NDArray[np.float32], places: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return what a mapper gives of some trials when they are whole, shape (len(places), dimension), float32."""
    parts = [
        np.asarray(mapper.embed(windows[places[start : start + _BATCH]], True)[:, -1], np.float32)
        for start in range(0, len(places), _BATCH)
    ]
    return np.concatenate(parts)
