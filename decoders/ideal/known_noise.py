"""Gaussian noise of known covariance: sources of one spectrum each, spread over channels, behind causal filters."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import linalg, signal

from decode_stream.stream.types import FloatArray

__all__ = ["KnownNoise", "autocovariance", "decayed"]

#: Directions of a window that hold less than this share of the largest one's noise are left out: the filters remove
#: them, and what is left is the rounding of float32.
_LEAST_SHARE = 1e-11
#: Noise of less than this share of the sensors' own is left out.
_LEAST_NOISE = 1e-9
_IMPULSE_STEP = 4096


def decayed(sos: FloatArray, start: FloatArray, least: float = 1e-9) -> npt.NDArray[np.float64]:
    """Return what filters make of a signal, followed until it has decayed to `least` of its largest value.

    Parameters
    ----------
    sos : array of shape (n_sections, 6)
    start : array of shape (n_times,) or (n_signals, n_times)
        Zero before and after.

    Returns
    -------
    array of shape (n_longer,) or (n_signals, n_longer)
    """
    if not len(sos):
        return np.asarray(start, np.float64)
    state = np.zeros((len(sos), *start.shape[:-1], 2))
    out, state = signal.sosfilt(sos, start, zi=state)
    pieces, largest = [out], np.abs(out).max(initial=0.0)
    silence = np.zeros((*start.shape[:-1], _IMPULSE_STEP))
    while True:
        out, state = signal.sosfilt(sos, silence, zi=state)
        pieces.append(out)
        largest = max(largest, float(np.abs(out).max()))
        if np.abs(out).max() <= least * largest:
            return np.concatenate(pieces, axis=-1)


def autocovariance(sos: FloatArray, decimation: int, n_lags: int) -> npt.NDArray[np.float64]:
    """Return the autocovariance of filtered white noise of variance 1, every `decimation` samples.

    The sum over the impulse response h, r[k] = sum_t h[t] h[t + k decimation], with h followed to 1e-13 of its peak.
    """
    impulse = np.zeros(1)
    impulse[0] = 1.0
    h = decayed(sos, impulse, 1e-13)
    n = 2 ** int(np.ceil(np.log2(len(h) + n_lags * decimation)))
    power = np.abs(np.fft.rfft(h, n)) ** 2
    covariance: npt.NDArray[np.float64] = np.fft.irfft(power, n)[: n_lags * decimation : decimation]
    return covariance


class KnownNoise:
    r"""The covariance of noise in a window of (n_times, n_channels), ready to be inverted.

    It is a sum of Kronecker products :math:`\Sigma = \sum_g T_g \otimes S_g`, covariance over time by covariance over
    channels. Two of the terms, the sensors' noise and the one with the most sources, are diagonal at once after the
    generalised eigenvectors of :math:`(T_1, T_0)` and :math:`(S_1, S_0)`; the others have few sources and follow by
    Woodbury's identity. So nothing of the size of :math:`\Sigma` is ever factored, and the inverse is exact but for
    rounding.

    Parameters
    ----------
    covariances : sequence of array of shape (n_times,)
        Autocovariance of each term's sources, different ones only.
    topographies : sequence of array of shape (n_sources, n_channels)
        What each source of a term gives to each channel.
    sensors : int
        Which term reaches every channel by itself.
    """

    def __init__(
        self, covariances: Sequence[FloatArray], topographies: Sequence[FloatArray], sensors: int
    ) -> None:
        others = sorted(
            (g for g in range(len(covariances)) if g != sensors), key=lambda g: -len(topographies[g])
        )
        time, space = linalg.toeplitz(covariances[sensors]), topographies[sensors].T @ topographies[sensors]
        first = others[0] if others else None
        self._time, by_time = _joint(time, None if first is None else linalg.toeplitz(covariances[first]))
        self._space, by_space = _joint(
            space, None if first is None else topographies[first].T @ topographies[first]
        )
        self._terms = list(zip(covariances, topographies, strict=True))
        self._scale = 1 / np.sqrt(1 + np.outer(by_time, by_space))
        columns = [np.empty((self._scale.size, 0))]
        columns += [self._columns(linalg.toeplitz(covariances[g]), topographies[g]) for g in others[1:]]
        self._low_rank = np.concatenate(columns, axis=1)
        inner = np.eye(self._low_rank.shape[1]) + self._low_rank.T @ self._low_rank
        self._inner = linalg.cho_factor(inner)

    def _columns(self, time: FloatArray, topographies: FloatArray) -> npt.NDArray[np.float64]:
        """Return a factor u of a term, u u' = T x S, in the whitened coordinates: (n_whitened, n_columns)."""
        values, vectors = linalg.eigh(self._time @ time @ self._time.T)
        maps = topographies @ self._space.T
        kept = values * (maps**2).sum(axis=1).max(initial=0.0) > _LEAST_NOISE
        courses = vectors[:, kept] * np.sqrt(values[kept])
        columns = np.einsum("tm,kc,tc->tcmk", courses, maps, self._scale)
        flat: npt.NDArray[np.float64] = columns.reshape(self._scale.size, -1)
        return flat

    def draw(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return `n` windows of this noise, independent of each other, shape (n, n_times, n_channels)."""
        total = np.zeros((n, self._time.shape[1], self._space.shape[1]))
        for covariance, topographies in self._terms:
            values, vectors = linalg.eigh(linalg.toeplitz(covariance))
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            total += root @ rng.standard_normal((n, len(root), len(topographies))) @ topographies
        return total

    def whitened(self, x: FloatArray) -> npt.NDArray[np.float64]:
        """Return windows (n, n_times, n_channels) without the first two terms' covariance, shape (n, n_whitened)."""
        white: npt.NDArray[np.float64] = (self._time @ x @ self._space.T * self._scale).reshape(len(x), -1)
        return white

    def weigh(self, x: FloatArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        r"""Return :math:`\Sigma^{-1} x`, as windows, and :math:`x' \Sigma^{-1} x`.

        Parameters
        ----------
        x : array of shape (n, n_times, n_channels)

        Returns
        -------
        array of shape (n, n_times, n_channels), array of shape (n, n)
        """
        white = self.whitened(x)
        seen = white @ self._low_rank
        weighed = white - linalg.cho_solve(self._inner, seen.T).T @ self._low_rank.T
        gram = weighed @ white.T
        back = weighed.reshape(len(x), *self._scale.shape) * self._scale
        return self._time.T @ back @ self._space, (gram + gram.T) / 2


def _joint(
    first: FloatArray, second: FloatArray | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return rows v with v first v' = 1 and v second v' = diag(values), and these values."""
    values, vectors = linalg.eigh(first)
    kept = values > _LEAST_SHARE * values[-1]
    white = (vectors[:, kept] / np.sqrt(values[kept])).T
    if second is None:
        return white, np.zeros(len(white))
    values, vectors = linalg.eigh(white @ second @ white.T)
    return vectors.T @ white, np.maximum(values, 0.0)
