"""Ridge regression from volumes to embeddings: the plain decoder of fMRI. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .ridge_settings import OURS, RidgeSettings
from .ridge_systems import READ_AT_ONCE, RidgeSystem, batches, left_out_scores
from .ridge_trials import RidgeTrials, standardised
from .ridge_voxels import SELECTED_AT_ONCE, check_finite, fit_selected

__all__ = ["RidgeReadout", "answers", "entries", "fit_ridge", "needed_bytes", "targets"]

_N_FOLDS, _MOST_FOLDS = 5, 10
#: Up to here a decomposition of each fold takes seconds: of so many trials where voxels are more, else of voxels.
_FEW_TRIALS, _FEW_VOXELS = 2500, 1500
#: Above so many unknowns each penalty is factored for one fold, not for all.
_MANY = 2500


@dataclass(frozen=True, eq=False)
class RidgeReadout:
    """A linear map from the mean of a trial's volumes to how its picture's embedding differs from the mean one.

    Only the difference is told: what all pictures share moves the evidence of all alike, and a shrunken answer that
    kept it would say little more than which entry of the gallery is nearest to the mean.

    Attributes
    ----------
    weights : array of shape (n_channels, dimension), float64 or float32
    offset : array of shape (dimension,), float64
        So that the mean answer in training gives no difference.
    penalties : array of shape (dimension,), float64
        The penalty of each dimension, on voxels of unit spread over trials.
    notes : tuple of str
        What is to be said of the fit.
    """

    weights: FloatArray
    offset: npt.NDArray[np.float64]
    penalties: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def embed(self, windows: FloatArray) -> FloatArray:
        """Return the embeddings of trials of one window each.

        Parameters
        ----------
        windows : array of shape (n_trials, 1, n_channels, n_times)

        Returns
        -------
        array of shape (n_trials, 1, dimension), float64 or float32
        """
        return (answers(windows).astype(self.weights.dtype) @ self.weights + self.offset)[:, None]


def answers(windows: FloatArray) -> npt.NDArray[np.float32]:
    """Return the mean volume of each trial's window, shape (n_trials, n_channels), float32.

    Parameters
    ----------
    windows : array of shape (n_trials, 1, n_channels, n_times)
        May be mapped from a file; it is read trial by trial.
    """
    means = np.empty((len(windows), windows.shape[2]), np.float32)
    for mean, window in zip(means, windows, strict=True):
        mean[:] = window[0].mean(axis=1, dtype=np.float64)
    return means


def entries(gallery: FloatArray, norm: str) -> npt.NDArray[np.float32]:
    """Return what trials of each entry are to give, shape (n_entries, dimension), float32.

    Parameters
    ----------
    gallery : array of shape (n_entries, dimension)
    norm : {"unit", "none"}
        Under ``"unit"`` entries are compared by their direction, so that is what is learnt.
    """
    wanted = gallery.astype(np.float32)
    if norm == "unit":
        for entry in wanted:
            entry /= max(float(np.linalg.norm(entry.astype(np.float64))), 1e-12)
    return wanted


def targets(gallery: FloatArray, labels: IntArray, norm: str) -> npt.NDArray[np.float64]:
    """Return the embedding that each trial is to give, shape (n_trials, dimension), float64.

    Parameters
    ----------
    gallery, norm
        As in `entries`.
    labels : array of shape (n_trials,), int64
        Gallery entry of each trial.
    """
    return entries(gallery, norm).astype(np.float64)[labels]


def needed_bytes(
    n_trials: int, n_voxels: int, dimension: int, settings: RidgeSettings = OURS, n_entries: int = 0
) -> int:
    """Return about how much memory a fit takes at most, its features, its targets and its export included.

    Parameters
    ----------
    n_entries : int
        Embeddings that are learnt, each once however often it was shown.
    """
    unknowns = min(n_trials, n_voxels)
    size = 4 if unknowns > _MANY else 8
    # Weights as they are solved for, written, and run.
    numbers, rest = 3 * n_voxels * dimension, 4 * (n_trials * n_voxels + n_entries * dimension)
    if settings.n_selected is not None:
        n_selected, n_ordered = min(settings.n_selected, n_voxels), min(dimension, SELECTED_AT_ONCE)
        numbers += n_trials * n_voxels + 3 * n_ordered * n_voxels
        # Where voxels are more than trials, products are of those that a dimension has chosen.
        numbers += n_voxels**2 if n_voxels <= n_trials else 2 * n_trials * n_selected
        rest += 8 * (n_ordered * n_voxels + 4 * n_selected**2)
    elif _is_quick(n_trials, n_voxels, settings):
        # All and the trials of a fold, standardised, with their decomposition; their embeddings, and what is predicted.
        numbers += 4 * n_trials * n_voxels + 3 * n_trials * dimension + 3 * unknowns**2
    else:
        # All products, those without a fold, and a factor; what they are solved for, of all and without a fold.
        numbers += 4 * unknowns**2 + 2 * unknowns * dimension
        # Those of trials or voxels that are read, and of dimensions before and after they are solved for.
        numbers += unknowns * (min(max(n_trials, n_voxels), READ_AT_ONCE) + 2 * min(dimension, READ_AT_ONCE))
    return size * numbers + rest


def fit_ridge(
    features: FloatArray,
    embeddings: FloatArray,
    runs: IntArray,
    settings: RidgeSettings = OURS,
    labels: IntArray | None = None,
) -> RidgeReadout:
    """Fit a ridge regression whose penalty is chosen by leaving runs out.

    By default one penalty serves all dimensions, and the best is that whose predictions correlate most with the truth
    over the trials left out. Evidence asks for directions: with penalties of their own, dimensions would shrink by
    different factors, and the smallest error asks for more shrinking than the best order of the gallery does.

    Solved by himalaya (Dupré la Tour et al. 2022, NeuroImage 264:119728) where a decomposition of each fold is quick:
    up to 2500 trials that are fewer than the voxels, or 1500 voxels. Above, and where predictions are rescaled, by
    Cholesky factors, which give the same. Of more than 2500 trials and voxels the penalty is chosen on the last fold
    alone, and everything is in single precision.

    Parameters
    ----------
    features : array of shape (n_trials, n_channels)
        The answer to each picture.
    embeddings : array of shape (n_trials, dimension), or (n_entries, dimension) with `labels`
        The embedding of each picture.
    runs : array of shape (n_trials,), int64
        Run of each trial; each is left out once, of more than ten in ten groups of successive ones. Of a single run,
        each of five successive parts is.
    settings : RidgeSettings
    labels : array of shape (n_trials,), int64, or None
        Row of `embeddings` of each trial, so that an embedding shown again is held once.

    Returns
    -------
    RidgeReadout

    Raises
    ------
    UsageError
        If there are fewer than ten trials, no voxel changes, or a penalty is too small for voxels that depend on each
        other.
    RecordingError
        If a voxel holds values that are not numbers.
    """
    n_trials, n_voxels = features.shape
    if n_trials < 2 * _N_FOLDS:
        raise UsageError(
            f"Ridge regression chooses its penalty on trials left out: it needs {2 * _N_FOLDS} at least, "
            f"and there are {n_trials}. Train on more runs."
        )
    check_finite(features)
    large = min(n_trials, n_voxels) > _MANY
    rows = np.arange(n_trials) if labels is None else labels
    trials = standardised(features, embeddings, rows, settings.ddof, np.float32 if large else np.float64)
    n_used = int(np.isfinite(trials.scale).sum())
    if not n_used:
        raise UsageError(
            f"None of the {n_voxels} voxels ever changes over {n_trials} trials: there is nothing to learn from. Check "
            "the recordings, or the --mask."
        )
    penalties = np.array(settings.penalties) * (n_voxels if settings.relative else 1.0)
    weights, chosen = _fit(trials, _folds(runs), penalties, settings, large=large)
    weights /= trials.scale[:, None].astype(weights.dtype)
    offset = -np.concatenate([trials.center @ weights[:, some] for some in batches(trials.dimension)])
    return RidgeReadout(weights, offset, chosen, tuple(_notes(chosen, penalties, settings, n_used)))


def _folds(runs: IntArray) -> list[IntArray]:
    """Return the trials that are left out together, a few of each."""
    n = len(runs)
    names, places = np.unique(runs, return_inverse=True)
    places = places * min(len(names), _MOST_FOLDS) // len(names)
    folds = list[IntArray]()
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        # A trial alone has no correlation.
        if folds and min(len(rows), len(folds[-1])) < 2:
            folds[-1] = np.concatenate([folds[-1], rows])
        else:
            folds.append(rows)
    return folds if len(folds) > 1 else np.array_split(np.arange(n), _N_FOLDS)


def _fit(
    trials: RidgeTrials,
    folds: list[IntArray],
    penalties: npt.NDArray[np.float64],
    settings: RidgeSettings,
    *,
    large: bool,
) -> tuple[FloatArray, npt.NDArray[np.float64]]:
    """Return weights of standardised voxels, shape (n_voxels, dimension), and the penalty of each dimension."""
    n_trials, n_voxels = trials.shape
    if settings.n_selected is not None:
        weights = fit_selected(trials, settings.n_selected, penalties[0])
        return weights, np.full(trials.dimension, penalties[0])
    if _is_quick(n_trials, n_voxels, settings):
        return _decomposed(trials, folds, penalties, per_target=settings.per_target)
    system = RidgeSystem(trials)
    chosen = np.zeros(trials.dimension, np.int64)
    if len(penalties) > 1 or settings.rescaled:
        # The last ones are the nearest to what a session to come is.
        scores = left_out_scores(trials, system, folds[-1:] if large else folds, penalties)
        chosen[:] = scores.error.argmin(axis=0) if settings.per_target else scores.correlation.argmax()
    weights = system.weights(penalties[chosen])
    if settings.rescaled:
        spread = scores.spread[chosen, np.arange(trials.dimension)]
        gain = trials.spread / np.where(spread > 0, spread, np.inf)
        weights *= gain.astype(weights.dtype)
    return weights, penalties[chosen]


def _is_quick(n_trials: int, n_voxels: int, settings: RidgeSettings) -> bool:
    """Return whether a penalty is chosen by a decomposition of each fold."""
    few = n_trials <= _FEW_TRIALS if n_trials <= n_voxels else n_voxels <= _FEW_VOXELS
    return few and len(settings.penalties) > 1 and not settings.rescaled


def _decomposed(
    trials: RidgeTrials, folds: list[IntArray], penalties: npt.NDArray[np.float64], *, per_target: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return weights and penalties by himalaya, from a decomposition of each fold."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score, l2_neg_loss
    from sklearn.model_selection import PredefinedSplit

    x, y = trials.x(slice(None)), trials.y(slice(None))
    places = np.empty(len(x), np.int64)
    for place, rows in enumerate(folds):
        places[rows] = place
    split = PredefinedSplit(places)
    # Penalties one after the other: all at once hold a map each, which of whole brains is gigabytes.
    how = {
        "n_alphas_batch": 1,
        "local_alpha": per_target,
        "score_func": l2_neg_loss if per_target else correlation_score,
    }
    if len(x) <= x.shape[1]:
        # With fewer trials than voxels the same solution is found many times faster from the trials' products.
        kernel = KernelRidgeCV(penalties, kernel="linear", solver_params=how, cv=split).fit(x, y)
        return np.asarray(x.T @ kernel.dual_coef_, dtype=np.float64), np.asarray(kernel.best_alphas_)
    ridge = RidgeCV(penalties, solver_params=how, cv=split).fit(x, y)
    return np.array(ridge.coef_, dtype=np.float64), np.asarray(ridge.best_alphas_)


def _notes(
    chosen: npt.NDArray[np.float64],
    penalties: npt.NDArray[np.float64],
    settings: RidgeSettings,
    n_voxels: int,
) -> Sequence[str]:
    """Return what is to be said of a choice that lies at an edge of what there was to choose from."""
    notes = []
    if settings.n_selected is not None and settings.n_selected > n_voxels:
        notes.append(
            f"there are {n_voxels} voxels, and {settings.n_selected} were to be selected: all are used"
        )
    if len(penalties) == 1:
        return notes
    smaller, larger = (
        (
            "less shrinking may be better: take fewer voxels by --mask, or more trials",
            "the voxels may tell nothing of them: check --lag-s, --mask and the markers",
        )
        if settings.relative
        else (
            f"a {which} one may be better, and these are the paper's: --model ridge tries others"
            for which in ("smaller", "larger")
        )
    )
    edges = (("smallest", penalties[0], smaller), ("largest", penalties[-1], larger))
    for which, edge, advice in edges:
        # himalaya hands penalties back through a logarithm.
        if n := int(np.isclose(chosen, edge, rtol=1e-6).sum()):
            dimensions = f"all {n} dimensions" if n == len(chosen) else f"{n} of {len(chosen)} dimensions"
            notes.append(f"{dimensions} took the {which} penalty tried, {edge:g}; {advice}")
    return notes
