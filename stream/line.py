"""A line that follows a drifting clock."""

from dataclasses import dataclass, replace
from math import inf, sqrt

import numpy as np
import numpy.typing as npt

__all__ = ["Line", "LinearClock", "Times"]

Times = npt.NDArray[np.float64]

_HUBER = 2.5  # standard deviations of an innovation that count in full


@dataclass(frozen=True, slots=True)
class Line:
    """The line y = level + slope * (x - at); `at` stays close to the x in use, so float64 stays exact."""

    at: float
    level: float
    slope: float

    def y(self, x: float) -> float:
        """Return the y at `x`."""
        return self.level + self.slope * (x - self.at)


class LinearClock:
    """A line that follows slow drift: the one estimator behind sample times and clock offsets.

    A Kalman filter with the state (level, slope), both random walks in x. Innovations beyond 2.5 standard
    deviations are weighted down as in Huber's estimator, so a late packet does not bend the line.

    Parameters
    ----------
    slope : float
        Slope expected before any measurement.
    slope_sd : float
        How far the true slope may be off.
    level_walk, slope_walk : float
        Standard deviation of the change of level and slope over one unit of x.

    Attributes
    ----------
    line : Line
        The newest estimate. Replaced as a whole, so other threads may read it at any time.

    References
    ----------
    .. [1] Kalman, R. E. (1960). A new approach to linear filtering and prediction problems. Journal of Basic
       Engineering 82(1), 35-45.
    .. [2] Huber, P. J. (1964). Robust estimation of a location parameter. Annals of Mathematical Statistics
       35(1), 73-101.
    """

    def __init__(self, slope: float, slope_sd: float, level_walk: float, slope_walk: float) -> None:
        self.line = Line(0.0, 0.0, slope)
        self._level_q = level_walk**2
        self._slope_q = slope_walk**2
        # The covariance of level and slope: (level, level), (level, slope), (slope, slope).
        self._p = (inf, 0.0, slope_sd**2)

    def anchor(self, x: float, y: float, sd: float) -> None:
        """Set the line through (x, y) with the uncertainty `sd`; what is known of the slope stays."""
        self.line = replace(self.line, at=x, level=y)
        self._p = (sd**2, 0.0, self._p[2])

    def predict(self, x: float) -> float:
        """Return the y expected at `x`."""
        return self.line.y(x)

    def variance(self, x: float) -> float:
        """Return the variance of the line at `x`, without the noise of a measurement."""
        return self._spread(x)[0]

    @property
    def slope_sd(self) -> float:
        """Standard deviation of the slope."""
        return sqrt(self._p[2])

    def _spread(self, x: float) -> tuple[float, float, float]:
        p00, p01, p11 = self._p
        dx = x - self.line.at
        grown = abs(dx) * self._slope_q
        return (
            p00 + 2 * dx * p01 + dx * dx * (p11 + grown / 3) + abs(dx) * self._level_q,
            p01 + dx * (p11 + grown / 2),
            p11 + grown,
        )

    def update(self, x: float, y: float, noise_sd: float) -> float:
        """Take a measurement; the first one anchors the line.

        Parameters
        ----------
        x, y : float
            The measurement.
        noise_sd : float
            Standard deviation of the error of `y`.

        Returns
        -------
        float
            The innovation: `y` less what was predicted.
        """
        if self._p[0] == inf:
            self.anchor(x, y, noise_sd)
            return 0.0
        p00, p01, p11 = self._spread(x)
        predicted = self.line.y(x)
        error = y - predicted
        s = p00 + noise_sd**2
        s *= max(1.0, abs(error) / (_HUBER * sqrt(s)))
        self.line = Line(x, predicted + p00 / s * error, self.line.slope + p01 / s * error)
        self._p = (p00 - p00 * p00 / s, p01 - p00 * p01 / s, p11 - p01 * p01 / s)
        return error

    def fit(self, x: Times, y: Times, slope: float, slope_sd: float) -> float:
        """Set the line by robust least squares through measurements of unknown noise.

        For the first few: a filter that is told too small a noise never forgets its first measurements.

        Parameters
        ----------
        x, y : array of shape (n,), float64
            The measurements, in order.
        slope, slope_sd : float
            Expected slope and how far it may be off.

        Returns
        -------
        float
            Standard deviation of a measurement about the line.
        """
        at, base = float(x[-1]), float(y[-1])
        dx = x - at
        dy = y - base - slope * dx
        weights = np.ones(len(x))
        # Two points fit any slope, so the first guess of the noise is the scatter about the expected slope.
        noise = float(dy.std())
        for _ in range(4):
            ridge = (noise / slope_sd) ** 2
            w, wx, wxx = weights.sum(), weights @ dx, weights @ (dx * dx) + ridge
            wy, wxy = weights @ dy, weights @ (dx * dy)
            det = w * wxx - wx * wx
            if det <= 0.0:  # a single measurement
                self.anchor(at, base, 0.0)
                return 0.0
            level, bend = (wxx * wy - wx * wxy) / det, (w * wxy - wx * wy) / det
            rest = np.abs(dy - level - bend * dx)
            noise = sqrt(float(weights @ (rest * rest)) / max(1, len(x) - 2)) + 1e-12
            weights = np.minimum(1.0, _HUBER * noise / np.maximum(rest, 1e-12))
        self.line = Line(at, base + float(level), slope + float(bend))
        self._p = (noise**2 * wxx / det, -(noise**2) * wx / det, noise**2 * w / det)
        return noise
