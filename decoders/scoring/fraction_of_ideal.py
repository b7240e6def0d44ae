"""How much of what can be known a decoder knows."""

from dataclasses import dataclass

import numpy as np

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import bootstrap_interval

__all__ = ["Fraction", "fraction_of_ideal"]

#: What a fraction needs to be meaningful.
_LEAST_TRIALS, _IDEAL_RANGE = 2000, (0.3, 0.8)


@dataclass(frozen=True)
class Fraction:
    """How much of what can be known a decoder knows: (p - c) / (p* - c).

    Attributes
    ----------
    value, low, high : float
        With a 95 % bootstrap interval over trials, or over pictures.
    accuracy, ideal, chance : float
        p, p* and c.
    n, n_training : int
        Held-out trials, and trials that the decoder was trained on.
    caveats : tuple of str
        What keeps it from being reported: too few trials, an ideal accuracy at which it says little.
    """

    value: float
    low: float
    high: float
    accuracy: float
    ideal: float
    chance: float
    n: int
    n_training: int
    caveats: tuple[str, ...] = ()


def fraction_of_ideal(
    hits: FloatArray,
    ideal_hits: FloatArray,
    chance: float,
    n_training: int,
    *,
    pictures: IntArray | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Fraction:
    """Return a decoder's accuracy above chance as a fraction of the ideal observer's, on the same trials.

    Parameters
    ----------
    hits, ideal_hits : array of shape (n,)
        Whether each trial was right, of the decoder and of the ideal observer.
    chance : float
    n_training : int
        Trials that the decoder was trained on.
    pictures : array of shape (n,), int64, optional
        What each trial showed: pictures are drawn with all their trials then, since those of one succeed or fail
        together. Without it trials are drawn, as is right where no picture comes twice.

    Raises
    ------
    ValueError
        If there are no trials or the two differ in number.
    """
    if len(hits) != len(ideal_hits) or not len(hits):
        raise ValueError(
            f"{len(hits)} and {len(ideal_hits)} trials cannot be compared; they must be the same."
        )
    caveats = []
    ideal = float(np.mean(ideal_hits))
    if len(hits) < _LEAST_TRIALS:
        caveats.append(f"{len(hits)} held-out trials; at least {_LEAST_TRIALS} are needed")
    low, high = _IDEAL_RANGE
    if not low <= ideal <= high:
        caveats.append(f"the ideal observer is right in {ideal:.3f}; {low:g} to {high:g} are needed")
    rng = np.random.default_rng(seed)
    above = np.stack([np.asarray(hits, np.float64), np.asarray(ideal_hits, np.float64)]) - chance
    if pictures is not None:
        _, group = np.unique(pictures, return_inverse=True)
        above = np.stack([np.bincount(group, row) for row in above])
    n = above.shape[1]
    ours, theirs = above @ rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).T
    usable = theirs > 0
    span = bootstrap_interval(ours[usable] / theirs[usable]) if usable.any() else (float("nan"),) * 2
    total = above.sum(axis=1)
    value = float(total[0] / total[1]) if total[1] > 0 else float("nan")
    return Fraction(value, *span, float(np.mean(hits)), ideal, chance, len(hits), n_training, tuple(caveats))
