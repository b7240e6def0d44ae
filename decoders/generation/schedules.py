"""Schedules: how much of a picture and how much noise there is at each time.

At time t a noisy picture is ``alpha(t) * picture + sigma(t) * noise``; time 0 is the picture, time 1 noise. All
schedules lead along the same ways in other words: of ``x / (alpha + sigma)`` each is the flow, at the time
``sigma / (alpha + sigma)``.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from math import cos, exp, expm1, floor, log1p, pi, sqrt
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FlowSchedule",
    "Numbers",
    "Schedule",
    "VarianceExploding",
    "VariancePreserving",
    "cosine_betas",
    "linear_betas",
    "noised",
    "scaled_linear_betas",
]

#: Arrays of either library; what is computed from them is by operators alone.
Numbers = TypeVar("Numbers", npt.NDArray[Any], "Tensor")

_STEEPEST, _OFFSET = 0.999, 0.008


class Schedule(Protocol):
    """Gives the two factors at a time from 0 to 1: ``alpha(0) = 1``, ``sigma(0) = 0``, and sigma grows."""

    def alpha(self, t: float) -> float:
        """Return the factor of the picture."""
        ...

    def sigma(self, t: float) -> float:
        """Return the factor of the noise, which has unit variance."""
        ...


@dataclass(frozen=True, slots=True)
class FlowSchedule:
    """A straight line from picture to noise: alpha = 1 - t, sigma = t.

    Liu et al. 2023, arXiv 2209.03003 (rectified flow); Lipman et al. 2023, arXiv 2210.02747 (conditional optimal
    transport).
    """

    def alpha(self, t: float) -> float:
        """Return the factor of the picture."""
        return 1.0 - t

    def sigma(self, t: float) -> float:
        """Return the factor of the noise."""
        return float(t)


@dataclass(frozen=True, slots=True)
class VarianceExploding:
    """Noise is added to a picture that stays as it is: alpha = 1, sigma = t * most.

    Karras et al. 2022, arXiv 2206.00364: sigma is the time but for its unit. Their spacing is `karras_times`.

    Attributes
    ----------
    most : float
        Sigma at time 1.
    """

    most: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.most < float("inf"):
            raise ValueError(f"The largest sigma is above 0; got {self.most}.")

    def alpha(self, t: float) -> float:
        """Return the factor of the picture."""
        return 1.0

    def sigma(self, t: float) -> float:
        """Return the factor of the noise."""
        return t * self.most


@dataclass(frozen=True, slots=True)
class VariancePreserving:
    """The diffusion of a table of betas: alpha^2 + sigma^2 = 1.

    Ho et al. 2020, arXiv 2006.11239: alpha^2 is the product of 1 - beta over the steps so far. A network that was
    trained on the table counts its steps from 0; step k ends at time (k + 1) / n, and time 0 is the picture before
    all of them. Between two steps the logarithm of alpha^2 is a straight line, as if beta were spread evenly.

    Attributes
    ----------
    betas : tuple of float
        Of each step, between 0 and 1.

    Raises
    ------
    ValueError
        If there is no step, or a beta is not between 0 and 1.
    """

    betas: tuple[float, ...]
    _log_signal: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.betas or not all(0 < beta < 1 for beta in self.betas):
            raise ValueError(
                f"A schedule has betas between 0 and 1; got {len(self.betas)} of {self.betas[:3]}."
            )
        logs = [0.0]
        for beta in self.betas:
            logs.append(logs[-1] + log1p(-beta))
        object.__setattr__(self, "_log_signal", tuple(logs))

    def alpha(self, t: float) -> float:
        """Return the factor of the picture."""
        return exp(self._log_at(t) / 2)

    def sigma(self, t: float) -> float:
        """Return the factor of the noise."""
        return sqrt(-expm1(self._log_at(t)))

    def step(self, t: float) -> float:
        """Return the step at a time, as networks trained on the table count them; the picture is at -1."""
        return t * len(self.betas) - 1

    def time(self, step: float) -> float:
        """Return the time at which a step ends."""
        return (step + 1) / len(self.betas)

    def time_of_noise(self, variance: float) -> float:
        """Return the time at which sigma^2 is a variance of 0 to 1; the last one where none is as large."""
        signal = log1p(-variance) if variance < 1 else float("-inf")
        logs, n = self._log_signal, len(self.betas)
        # Ascending for the search.
        above = bisect_right(logs, -signal, key=lambda log: -log)
        if above > n:
            return 1.0
        return (above - 1 + (logs[above - 1] - signal) / (logs[above - 1] - logs[above])) / n

    def _log_at(self, t: float) -> float:
        at = t * len(self.betas)
        below = min(max(floor(at), 0), len(self.betas) - 1)
        share = at - below
        return self._log_signal[below] * (1 - share) + self._log_signal[below + 1] * share


def linear_betas(n: int = 1000, first: float = 1e-4, last: float = 0.02) -> tuple[float, ...]:
    """Return betas on a straight line (Ho et al. 2020, arXiv 2006.11239, section 4)."""
    return _line(n, first, last)


def scaled_linear_betas(n: int = 1000, first: float = 0.00085, last: float = 0.012) -> tuple[float, ...]:
    """Return betas whose roots lie on a straight line, as of Stable Diffusion (Rombach et al. 2022, CVPR)."""
    return tuple(root**2 for root in _line(n, sqrt(first), sqrt(last)))


def cosine_betas(n: int = 1000) -> tuple[float, ...]:
    """Return betas of a cosine (Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17), 0.999 at most."""

    def signal(t: float) -> float:
        return cos((t + _OFFSET) / (1 + _OFFSET) * pi / 2) ** 2

    return tuple(min(1 - signal((k + 1) / n) / signal(k / n), _STEEPEST) for k in range(n))


def noised(schedule: Schedule, picture: Numbers, noise: Numbers, t: float) -> Numbers:
    """Return a picture with the noise of a time; sampling may begin there instead of at noise alone."""
    return schedule.alpha(t) * picture + schedule.sigma(t) * noise


def _line(n: int, first: float, last: float) -> tuple[float, ...]:
    if n < 2:
        raise ValueError(f"A table of betas has at least 2; got {n}.")
    return tuple(first + (last - first) * k / (n - 1) for k in range(n))
