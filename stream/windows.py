"""When windows end: the schedule in time, in exact arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm

__all__ = ["WindowSchedule", "exact_sfreq"]

_TINY = Fraction(1, 10**9)


def exact_sfreq(sfreq_hz: float | int | Fraction) -> Fraction:
    """Return the sampling rate as the simple fraction it stands for.

    Rates such as 1000/3 Hz travel as floats; the nearest fraction with a denominator up to 1000 is meant. A rate
    below 1 Hz stands for the time between two volumes, so there the nearest such period is.

    Parameters
    ----------
    sfreq_hz : float, int or Fraction
        Sampling rate in Hz, finite and above 0.

    Raises
    ------
    ValueError
        If the rate is not a finite number above 0.
    """
    try:
        exact = Fraction(sfreq_hz)
        exact = 1 / (1 / exact).limit_denominator(1000) if 0 < exact < 1 else exact.limit_denominator(1000)
    except (ValueError, OverflowError):
        exact = Fraction(0)
    if exact <= 0:
        raise ValueError(f"A sampling rate is a finite number above 0 Hz; got {sfreq_hz!r}.")
    return exact


def _round_half_up(x: Fraction) -> int:
    return (2 * x.numerator + x.denominator) // (2 * x.denominator)


@dataclass(frozen=True)
class WindowSchedule:
    """Windows of `length_s` every `step_s`, on the sample grid of `sfreq_hz`.

    Window k ends at sample floor(fs * (lag + length + k * step) + 1/2), counted from the schedule's origin, and
    holds floor(fs * length + 1/2) samples. The sum is taken in rationals, so a 25 ms step at 250 Hz (6.25 samples)
    never drifts: 6, 6, 6, 7 samples.

    Parameters
    ----------
    sfreq_hz : Fraction
        Sampling rate at which windows are taken.
    length_s, step_s : Fraction
        Window length and step in seconds.
    lag_s : Fraction
        Time from the origin until the first window begins, in seconds: the blood answers seconds after the picture.

    Raises
    ------
    ValueError
        If the length or the step is shorter than one sample, or the lag is below 0.
    """

    sfreq_hz: Fraction
    length_s: Fraction = Fraction(1, 10)
    step_s: Fraction = Fraction(1, 40)
    lag_s: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        for name, value in (("length", self.length_s), ("step", self.step_s)):
            # A step of one volume travels as a float, which may lie below it in the last digit.
            if value * self.sfreq_hz < 1 - _TINY:
                raise ValueError(
                    f"The window {name} of {float(value):g} s is shorter than one sample at "
                    f"{float(self.sfreq_hz):g} Hz; it must be at least {float(1 / self.sfreq_hz):g} s."
                )
        if self.lag_s < 0:
            raise ValueError(f"Windows begin at the onset or later; got a lag of {float(self.lag_s):g} s.")

    @cached_property
    def n_times(self) -> int:
        """Number of samples of every window."""
        return _round_half_up(self.sfreq_hz * self.length_s)

    @cached_property
    def _whole(self) -> tuple[int, int, int]:
        """Samples up to the first end and of the step, as whole numbers over one denominator; fractions are slow."""
        length, step = self.sfreq_hz * (self.lag_s + self.length_s), self.sfreq_hz * self.step_s
        over = lcm(length.denominator, step.denominator)
        return int(length * over), int(step * over), over

    def stop(self, k: int) -> int:
        """Sample behind window k, counted from the origin."""
        length, step, over = self._whole
        return (2 * (length + k * step) + over) // (2 * over)

    def count(self, n_samples: int) -> int:
        """Return how many windows end within the first `n_samples` samples."""
        # stop(k) <= n  <=>  2 * (length + k * step) + over < 2 * over * (n + 1)
        length, step, over = self._whole
        return max(0, -((2 * length - over * (2 * n_samples + 1)) // (2 * step)))

    def due(self, first: int, n_samples: int) -> Iterator[tuple[int, int]]:
        """Yield (k, stop) of the windows from number `first` on that end within `n_samples` samples."""
        for k in range(first, self.count(n_samples)):
            yield k, self.stop(k)

    def start_latency_s(self, k: int) -> float:
        """Latency at which window k starts, in seconds after the origin."""
        return float(self.lag_s + k * self.step_s)
