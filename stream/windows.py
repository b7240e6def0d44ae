"""When windows end: the schedule in time, in exact arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, lcm

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
    """Windows that slide, or one that grows, on the sample grid of `sfreq_hz`.

    Sliding window k ends at sample floor(fs * (lag + length + k * step) + 1/2), counted from the schedule's origin, and
    holds the floor(fs * length + 1/2) samples before. The sum is taken in rationals, so a 25 ms step at 250 Hz (6.25
    samples) never drifts: 6, 6, 6, 7 samples.

    A growing window always begins at floor(fs * lag + 1/2), and number k ends by the same rule with `first_s` in the
    place of the length, until the whole length is reached. It is as many samples wide as the whole one: what has not
    happened yet is left open. A first window of the whole length is a schedule of that one window.

    Parameters
    ----------
    sfreq_hz : Fraction
        Sampling rate at which windows are taken.
    length_s, step_s : Fraction
        Window length and step in seconds.
    lag_s : Fraction
        Time from the origin until the first window begins, in seconds: the blood answers seconds after the picture.
    first_s : Fraction or None
        How much of a growing window has happened at its first end, in seconds; None for windows that slide.

    Raises
    ------
    ValueError
        If the length, the step or the first part is shorter than one sample, the lag is below 0, or the first part is
        longer than the whole.
    """

    sfreq_hz: Fraction
    length_s: Fraction = Fraction(1, 10)
    step_s: Fraction = Fraction(1, 40)
    lag_s: Fraction = Fraction(0)
    first_s: Fraction | None = None

    def __post_init__(self) -> None:
        for name, value in (("length", self.length_s), ("step", self.step_s), ("first part", self.first_s)):
            # A step of one volume travels as a float, which may lie below it in the last digit.
            if value is not None and value * self.sfreq_hz < 1 - _TINY:
                raise ValueError(
                    f"The window {name} of {float(value):g} s is shorter than one sample at "
                    f"{float(self.sfreq_hz):g} Hz; it must be at least {float(1 / self.sfreq_hz):g} s."
                )
        if self.lag_s < 0:
            raise ValueError(f"Windows begin at the onset or later; got a lag of {float(self.lag_s):g} s.")
        if self.first_s is not None and self.first_s > self.length_s:
            raise ValueError(
                f"A window grows from {float(self.first_s):g} s to {float(self.length_s):g} s; its first part must not "
                "be longer than the whole."
            )

    @cached_property
    def n_times(self) -> int:
        """Number of samples of every window; of a growing one, with those that have not happened yet."""
        return _round_half_up(self.sfreq_hz * self.length_s)

    @cached_property
    def n_windows(self) -> int | None:
        """Number of windows until a growing one is whole; None for windows that slide, which have no last."""
        if self.first_s is None:
            return None
        return 1 + ceil((self.length_s - self.first_s) / self.step_s - _TINY)

    @cached_property
    def _whole(self) -> tuple[int, int, int]:
        """Samples up to the first end and of the step, as whole numbers over one denominator; fractions are slow."""
        first_s = self.length_s if self.first_s is None else self.first_s
        first, step = self.sfreq_hz * (self.lag_s + first_s), self.sfreq_hz * self.step_s
        over = lcm(first.denominator, step.denominator)
        return int(first * over), int(step * over), over

    @cached_property
    def _lag(self) -> int:
        return _round_half_up(self.sfreq_hz * self.lag_s)

    def start(self, k: int) -> int:
        """First sample of window k, counted from the origin."""
        return self.stop(k) - self.n_times if self.n_windows is None else self._lag

    def stop(self, k: int) -> int:
        """Sample behind window k, or behind what has happened of a growing one, counted from the origin."""
        first, step, over = self._whole
        stop = (2 * (first + k * step) + over) // (2 * over)
        if self.n_windows is None:
            return stop
        whole = self._lag + self.n_times
        return whole if k >= self.n_windows - 1 else min(stop, whole)

    def count(self, n_samples: int) -> int:
        """Return how many windows end within the first `n_samples` samples."""
        # stop(k) <= n  <=>  2 * (first + k * step) + over < 2 * over * (n + 1)
        first, step, over = self._whole
        n = max(0, -((2 * first - over * (2 * n_samples + 1)) // (2 * step)))
        if self.n_windows is None:
            return n
        return self.n_windows if n_samples >= self._lag + self.n_times else min(n, self.n_windows - 1)

    def due(self, first: int, n_samples: int) -> Iterator[tuple[int, int]]:
        """Yield (k, stop) of the windows from number `first` on that end within `n_samples` samples."""
        for k in range(first, self.count(n_samples)):
            yield k, self.stop(k)

    def latency_s(self, k: int) -> float:
        """Return the latency that tells an encoder which window k is, in seconds after the origin.

        Of a sliding window it is the time at which it starts, of a growing one, whose start says nothing, the time up
        to which it has happened.
        """
        if self.first_s is None:
            return float(self.lag_s + k * self.step_s)
        return float(self.lag_s + min(self.first_s + k * self.step_s, self.length_s))
