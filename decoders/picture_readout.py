"""What a decoder's output tells of a picture's embedding where it gives no likelihood: a gain, and what is left."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from decode_stream.stream.types import FloatArray, IntArray

from .encoders.window_noise import shrunk

__all__ = ["FEWEST_TRIALS", "MOST_DIMENSIONS", "PictureReadout", "fit_picture_readout"]

Array = npt.NDArray[np.float32]

#: How far from what the numbers are measured to tell, each by itself, what they tell together is looked for.
_LEAST_PRECISION, _MOST_PRECISION = 1e-4, 1e2
#: Of fewer trials nothing is measured, nor of longer embeddings: a matrix of all their products is diagonalised.
FEWEST_TRIALS, MOST_DIMENSIONS = 20, 2048
#: A number that a decoder gives without any relation to the picture has this much noise for a picture's variance.
_MOST_NOISE = 1e6


@dataclass(frozen=True, eq=False)
class PictureReadout:
    r"""A linear observation of what is compared with a decoder's output, one after each window of a trial.

    After window k a trial's output :math:`z` (what its windows gave, each as it enters similarity and times what it
    counts) is taken for :math:`g z + c_k = \mu(e) + n`, with the noise of number i of variance :math:`v_i / p_k`, and
    :math:`\mu(e)` the picture's embedding, or what the bundle's projector makes of it.

    Attributes
    ----------
    gain : array of shape (dimension,), float32
    offset : array of shape (n_latencies, dimension), float32
    variance : array of shape (dimension,), float32
    precision : array of shape (n_latencies,), float32
        0 after a window that tells nothing.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a number is impossible.
    """

    gain: Array
    offset: Array
    variance: Array
    precision: Array

    def __post_init__(self) -> None:
        n_latencies, dimension = len(self.precision), len(self.gain)
        fits = (
            self.gain.shape == self.variance.shape == (dimension,)
            and self.precision.shape == (n_latencies,)
            and self.offset.shape == (n_latencies, dimension)
        )
        if not fits or not all(np.isfinite(part).all() for part in self.tensors().values()):
            raise ValueError(
                "The arrays of the readout of pictures do not fit each other, or are not finite."
            )
        if (self.variance <= 0).any() or (self.precision < 0).any():
            raise ValueError("A readout of pictures has variances above 0 and precisions of at least 0.")

    @property
    def dimension(self) -> int:
        """Numbers of an output."""
        return len(self.gain)

    @property
    def n_latencies(self) -> int:
        """Windows of a trial."""
        return len(self.precision)

    def tensors(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_picture_readout(outputs: FloatArray, labels: IntArray, entries: FloatArray) -> PictureReadout:
    """Measure on trials that a decoder was not trained on what its output tells of their pictures.

    What each number tells by itself is measured after the last window: the slope of the output over pictures and the
    variance beside it, the slope made smaller by what chance alone gives so few trials. Numbers err together, so that
    all of them tell less than they would if they did not; and earlier windows tell less. Both are one factor after each
    window: that under which the trials' true embeddings are most probable, given the Gaussian that all entries are
    from (an empirical Bayes estimate, of one number).

    Parameters
    ----------
    outputs : array of shape (n_trials, n_latencies, dimension)
        After each window, as `PictureReadout` takes them.
    labels : array of shape (n_trials,), int64
        Entry of each trial's picture.
    entries : array of shape (n_entries, dimension)
        What the outputs are compared with.

    Raises
    ------
    ValueError
        If there are fewer than 20 trials.
    """
    if len(outputs) < FEWEST_TRIALS:
        raise ValueError(f"{len(outputs)} trials tell too little of a readout; {FEWEST_TRIALS} are needed.")
    true = entries.astype(np.float64)[labels]
    shown, spread = true - true.mean(axis=0), np.maximum(true.var(axis=0), 1e-12)
    middle = outputs.mean(axis=0, dtype=np.float64)
    slope, noise = _slopes(shown, outputs[:, -1] - middle[-1], spread)
    gain = 1 / slope
    variance = np.clip(noise * gain**2, 1e-6 * spread, _MOST_NOISE * spread)
    # A number that tells nothing keeps a gain that does not carry its noise beyond what its variance admits.
    gain = np.where(variance < _MOST_NOISE * spread, gain, 0.0)
    offset = true.mean(axis=0) - gain * middle
    # Entries are few: the Gaussian that they are from is shrunk towards numbers that do not go together.
    apart = entries - entries.mean(axis=0, dtype=np.float64)
    covariance = shrunk(apart.T @ apart / len(apart), len(apart))
    strength, axes = np.linalg.eigh(covariance / np.sqrt(variance) / np.sqrt(variance)[:, None])
    told = shown / np.sqrt(variance) @ axes
    strength = np.maximum(strength, 1e-12)
    reads = (gain / np.sqrt(variance))[:, None] * axes
    # One window after the other: of a large training all of them in float64 would be gigabytes.
    precision = [
        _precision(told, (outputs[:, k] - middle[k]) @ reads, strength) for k in range(outputs.shape[1])
    ]
    parts = (gain, offset, variance, np.array(precision))
    return PictureReadout(*(np.ascontiguousarray(part, np.float32) for part in parts))


def _slopes(
    shown: FloatArray, said: FloatArray, spread: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the slope of each number's output over pictures and the variance beside it, each (dimension,)."""
    n = len(shown)
    slope = (shown * said).mean(axis=0) / spread
    total = np.maximum(said.var(axis=0), 1e-24)
    told = np.clip(slope, 0, None) ** 2 * spread / total
    # As the adjusted coefficient of determination: what n trials give a number that tells nothing is taken off.
    honest = np.clip((told * (n - 1) - 1) / (n - 2), 1 / _MOST_NOISE, 1 - 1e-6)
    return np.sqrt(honest * total / spread), (1 - honest) * total


def _precision(told: FloatArray, observed: FloatArray, strength: FloatArray) -> float:
    """Return the factor of all numbers' precision under which the true embeddings are most probable.

    Parameters
    ----------
    told, observed : array of shape (n_trials, dimension)
        True embeddings and what was read of them, along the axes of pictures, in units of the noise.
    strength : array of shape (dimension,)
        Variance of pictures there.
    """

    def surprise(log_precision: float) -> float:
        precision = np.exp(log_precision)
        left = strength / (1 + precision * strength)
        return float((np.log(left) + (told - precision * left * observed) ** 2 / left).mean())

    bounds = (np.log(_LEAST_PRECISION), np.log(_MOST_PRECISION))
    found = minimize_scalar(surprise, bounds=bounds, method="bounded")
    nothing = float((np.log(strength) + told**2 / strength).mean())
    return float(np.exp(found.x)) if found.fun < nothing else 0.0
