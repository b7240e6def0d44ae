"""Ridge regression from volumes to embeddings: the plain decoder of fMRI. Needs no torch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["PENALTIES", "RidgeReadout", "answers", "fit_ridge", "targets"]

#: Penalties tried, as multiples of the number of voxels: the mean eigenvalue of a trial's standardised voxels.
PENALTIES = tuple(float(10.0**power) for power in np.arange(-3.0, 4.01, 0.5))
_N_FOLDS = 5


@dataclass(frozen=True, eq=False)
class RidgeReadout:
    """A linear map from the mean of a trial's volumes to how its picture's embedding differs from the mean one.

    Only the difference is told: what all pictures share moves the evidence of all alike, and a shrunken answer that
    kept it would say little more than which entry of the gallery is nearest to the mean.

    Attributes
    ----------
    weights : array of shape (n_channels, dimension), float64
    offset : array of shape (dimension,), float64
        So that the mean answer in training gives no difference.
    penalty : float
        The penalty chosen, on voxels of unit spread over trials.
    """

    weights: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    penalty: float

    def embed(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        """Return the embeddings of trials of one window each.

        Parameters
        ----------
        windows : array of shape (n_trials, 1, n_channels, n_times)

        Returns
        -------
        array of shape (n_trials, 1, dimension), float64
        """
        return (answers(windows) @ self.weights + self.offset)[:, None]


def answers(windows: FloatArray) -> npt.NDArray[np.float64]:
    """Return the mean volume of each trial's window, shape (n_trials, n_channels), float64.

    Parameters
    ----------
    windows : array of shape (n_trials, 1, n_channels, n_times)
        May be mapped from a file; it is read trial by trial.
    """
    means = np.empty((len(windows), windows.shape[2]))
    for mean, window in zip(means, windows, strict=True):
        window[0].mean(axis=1, dtype=np.float64, out=mean)
    return means


def targets(gallery: FloatArray, labels: IntArray, norm: str) -> npt.NDArray[np.float64]:
    """Return the embedding that each trial is to give, shape (n_trials, dimension), float64.

    Parameters
    ----------
    gallery : array of shape (n_entries, dimension)
    labels : array of shape (n_trials,), int64
        Gallery entry of each trial.
    norm : {"unit", "none"}
        Under ``"unit"`` entries are compared by their direction, so that is what is learnt.
    """
    entries = gallery.astype(np.float64)
    if norm == "unit":
        entries /= np.maximum(np.linalg.norm(entries, axis=1, keepdims=True), 1e-12)
    return entries[labels]


def fit_ridge(features: FloatArray, embeddings: FloatArray, runs: IntArray) -> RidgeReadout:
    """Fit a ridge regression whose penalty is chosen by leaving runs out.

    One penalty serves all dimensions, and the best is that whose predictions correlate most with the truth over the
    trials left out. Evidence asks for directions: with penalties of their own, dimensions would shrink by different
    factors, and the smallest error asks for more shrinking than the best order of the gallery does. Solved by himalaya
    (Dupré la Tour et al. 2022, NeuroImage 264:119728).

    Parameters
    ----------
    features : array of shape (n_trials, n_channels)
        The answer to each picture.
    embeddings : array of shape (n_trials, dimension)
        The embedding of each picture.
    runs : array of shape (n_trials,), int64
        Run of each trial; each is left out once. Of a single run, each of five successive parts is.

    Returns
    -------
    RidgeReadout

    Raises
    ------
    UsageError
        If there are fewer than ten trials.
    """
    from sklearn.model_selection import KFold, PredefinedSplit

    n = len(features)
    if n < 2 * _N_FOLDS:
        raise UsageError(
            f"Ridge regression chooses its penalty on trials left out: it needs {2 * _N_FOLDS} at least, "
            f"and there are {n}. Train on more runs."
        )
    names, places = np.unique(runs, return_inverse=True)
    folds = PredefinedSplit(places) if len(names) > 1 else KFold(_N_FOLDS)
    center, spread = features.mean(axis=0), features.std(axis=0)
    # A voxel that never changes has a spread of rounding errors, which must not be blown up to a whole one.
    spread[spread <= 1e-9 * (np.abs(center) + spread.max())] = 1.0
    x = (features - center) / spread
    y = embeddings - embeddings.mean(axis=0)
    weights, penalty = _solve(x.astype(np.float64), y.astype(np.float64), folds)
    weights /= spread[:, None]
    return RidgeReadout(weights, -(center @ weights), penalty)


def _solve(x: FloatArray, y: FloatArray, folds: object) -> tuple[npt.NDArray[np.float64], float]:
    """Return the weights, shape (n_channels, dimension), and the penalty chosen, for centred data."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score

    penalties = x.shape[1] * np.array(PENALTIES)
    # Penalties one after the other: all at once hold a map each, which of whole brains is gigabytes.
    how = {"n_alphas_batch": 1, "local_alpha": False, "score_func": correlation_score}
    if len(x) <= x.shape[1]:
        # With fewer trials than voxels the same solution is found many times faster from the trials' products.
        kernel = KernelRidgeCV(penalties, kernel="linear", solver_params=how, cv=folds).fit(x, y)
        weights = np.asarray(x.T @ kernel.dual_coef_, dtype=np.float64)
        return weights, float(kernel.best_alphas_[0])
    ridge = RidgeCV(penalties, solver_params=how, cv=folds).fit(x, y)
    return np.array(ridge.coef_, dtype=np.float64), float(ridge.best_alphas_[0])
