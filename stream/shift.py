"""Notices that a noisy line has moved for good."""

from collections import deque
from math import sqrt

import numpy as np

__all__ = ["ShiftWatch"]

_SURE = 5.0  # standard deviations


class ShiftWatch:
    """Tells a lasting step from noise by the mean of the newest errors.

    Parameters
    ----------
    n_after : int
        Number of newest errors that must agree on the step. Six times as many before them tell the noise.

    Notes
    -----
    Errors that follow on one another are alike where packets are long; the noise of the mean is widened by
    (1 + r) / (1 - r), r being the correlation of neighbours (exact for a first-order process).
    """

    def __init__(self, n_after: int) -> None:
        self.n_after = n_after
        self._errors: deque[float] = deque(maxlen=7 * n_after)

    def clear(self) -> None:
        """Begin anew, as after a step that was corrected."""
        self._errors.clear()

    def add(self, error: float) -> tuple[float, float]:
        """Take an error of the line; return the size of a step, 0 if there is none, and the noise about it.

        Returns
        -------
        step, noise_sd : float
            In the unit of the errors.
        """
        self._errors.append(error)
        if len(self._errors) < 7 * self.n_after:
            return 0.0, 0.0
        errors = np.array(self._errors)
        before, after = errors[: -self.n_after], errors[-self.n_after :]
        step = float(after.mean())
        noise = float(before.std()) + 1e-9
        if abs(step) < _SURE * noise / sqrt(self.n_after) or after.std() > 2 * noise:
            return 0.0, noise
        r = min(0.95, max(0.0, float((before[1:] * before[:-1]).mean()) / noise**2))
        sure = abs(step) > _SURE * noise * sqrt((1 + r) / (1 - r) / self.n_after)
        return (step if sure else 0.0), noise
