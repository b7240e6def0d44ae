"""What is in a picture, told from its embedding: a linear classifier, and the area under its ROC curves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from decode_stream.decoders.candidates import Candidates
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["CategoryClassifier", "category_aucs", "fit_categories"]

#: Of the mean variance that a direction of the pictures has, summed over them: from hardly any penalty to a strong one.
_PENALTIES = np.logspace(-4, 3, 15)
#: Numbers of pictures' embeddings that are in double precision at once.
_VALUES = 1 << 24


@dataclass(frozen=True, eq=False)
class CategoryClassifier:
    """A linear classifier of many labels at once.

    Attributes
    ----------
    weights : array of shape (dimension, n_categories)
    bias : array of shape (n_categories,)
    """

    weights: FloatArray
    bias: FloatArray

    def scores(self, embeddings: FloatArray) -> npt.NDArray[np.float64]:
        """Return how much speaks for each category, shape (n, n_categories)."""
        found: npt.NDArray[np.float64] = embeddings @ self.weights + self.bias
        return found


def fit_categories(
    pictures: Candidates, places: IntArray, present: npt.NDArray[np.bool_]
) -> CategoryClassifier:
    """Return a classifier of what is in pictures, learnt from the embeddings of pictures alone.

    Least squares with a penalty on the weights, for each category that with the least error where each picture in turn
    is left out. No recording has a part in it. Where pictures are fewer than dimensions it is solved from their inner
    products, and their embeddings are read a part at a time; else by scikit-learn's RidgeCV, which gives the same.

    Parameters
    ----------
    pictures : Candidates
    places : array of shape (n_pictures,), int64
        The entries that are learnt from.
    present : array of shape (n_pictures, n_categories), bool
    """
    n, dimension = len(places), pictures.entries.shape[1]
    if n < dimension:
        return _fit_wide(pictures, places, present.astype(np.float64))
    from sklearn.linear_model import RidgeCV

    embeddings = pictures.block(places)
    # Of a direction: the variance, summed over pictures.
    spread = float(embeddings.var(axis=0).sum()) * n / dimension
    model = RidgeCV(_PENALTIES * max(spread, 1e-12), alpha_per_target=True)
    model.fit(embeddings, present.astype(np.float64))
    return CategoryClassifier(model.coef_.reshape(-1, dimension).T, np.atleast_1d(model.intercept_))


def _fit_wide(pictures: Candidates, places: IntArray, present: FloatArray) -> CategoryClassifier:
    """Fit by a multiplier for each picture, (K + a)^-1 y, where K are inner products of embeddings around their mean.

    The error of a picture left out is its multiplier over its own element of the inverse (Rifkin & Lippert 2007, MIT
    CSAIL TR 2007-025), in which the constant term, that has no penalty, has no part.
    """
    n, dimension = len(places), pictures.entries.shape[1]
    products, center = np.zeros((n, n)), np.empty(dimension)
    step = max(1, _VALUES // n)
    parts = [slice(start, start + step) for start in range(0, dimension, step)]
    for part in parts:
        block = pictures.block(places, part)
        center[part] = block.mean(axis=0)
        block -= center[part]
        products += block @ block.T
    values, vectors = eigh(products, overwrite_a=True, check_finite=False)
    along, shares = vectors.T @ (present - present.mean(axis=0)), vectors**2
    multipliers, least = np.zeros_like(present), np.full(present.shape[1], np.inf)
    for penalty in _PENALTIES * max(float(values.sum()) / n, 1e-12):
        shrunk = 1 / (np.maximum(values, 0.0) + penalty)
        found = vectors @ (shrunk[:, None] * along)
        error = ((found / (shares @ shrunk - 1 / (n * penalty))[:, None]) ** 2).mean(axis=0)
        better = error < least
        multipliers[:, better], least[better] = found[:, better], error[better]
    weights = np.empty((dimension, present.shape[1]))
    for part in parts:
        # Multipliers sum to nothing, so that the mean needs not be taken away again.
        weights[part] = pictures.block(places, part).T @ multipliers
    return CategoryClassifier(weights, present.mean(axis=0) - center @ weights)


def category_aucs(
    scores: FloatArray,
    present: npt.NDArray[np.bool_],
    pictures: IntArray,
    *,
    n_resamples: int = 500,
    seed: int = 0,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the area under the ROC curve of each category, and replicates of it over pictures drawn anew.

    That a trial of a picture with the category scores above one of a picture without it has this probability; ties
    count half. Pictures are drawn with replacement, each with all its trials, the same ones for all categories.

    Parameters
    ----------
    scores : array of shape (n_trials, n_categories)
    present : array of shape (n_pictures, n_categories), bool
    pictures : array of shape (n_trials,), int
        Row of `present` of each trial; every picture has one at least.

    Returns
    -------
    array of shape (n_categories,), float64
        NaN where all pictures have a category, or none.
    array of shape (n_resamples, n_categories), float64
        NaN likewise, of the pictures drawn.
    """
    order = np.argsort(pictures, kind="stable")
    ordered = pictures[order]
    counts = np.bincount(ordered, minlength=len(present)).astype(np.float64)
    n = len(present)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)
    drawn = np.concatenate([np.ones((1, n)), drawn])
    found = np.full((len(drawn), present.shape[1]), np.nan)
    for category, has in enumerate(present.T):
        if has.all() or not has.any():
            continue
        own = scores[order, category]
        wins = _wins(own[has[ordered]], own[~has[ordered]], counts[has], counts[~has])
        of_pairs = (drawn[:, has] @ counts[has]) * (drawn[:, ~has] @ counts[~has])
        won = ((drawn[:, has] @ wins) * drawn[:, ~has]).sum(axis=1)
        np.divide(won, of_pairs, out=found[:, category], where=of_pairs > 0)
    return found[0], found[1:]


def _wins(
    positive: FloatArray, negative: FloatArray, of_positive: FloatArray, of_negative: FloatArray
) -> npt.NDArray[np.float64]:
    """Return how many pairs of trials of two pictures are in order, shape (n_with, n_without).

    Parameters
    ----------
    positive, negative : array of shape (n_trials,)
        Scores of trials, picture after picture.
    of_positive, of_negative : array of shape (n_pictures,)
        How many trials each picture has.
    """
    above = (positive[:, None] > negative).astype(np.float64)
    above += 0.5 * (positive[:, None] == negative)
    rows, columns = (
        np.concatenate([[0], np.cumsum(of.astype(np.int64))[:-1]]) for of in (of_positive, of_negative)
    )
    wins: npt.NDArray[np.float64] = np.add.reduceat(np.add.reduceat(above, rows, axis=0), columns, axis=1)
    return wins
