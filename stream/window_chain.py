"""What is done to one window after it was cut: baseline, artefact gate and clamp."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["WindowChain", "WindowSpec"]


@dataclass(frozen=True)
class WindowSpec:
    """What is done to one window after it was cut.

    Attributes
    ----------
    baseline_s : tuple of float or None
        Span (start, stop) relative to stimulus onset, stop <= 0, whose mean is subtracted from each channel. A
        window without a known onset takes the span before its own start.
    clamp : float or None
        Values beyond +-clamp are set to it, in the units after the chain's scaling.
    reject_peak : float or None
        A window in which any value lies beyond +-reject_peak before clamping holds an artefact and is withheld.
    """

    baseline_s: tuple[float, float] | None = None
    clamp: float | None = None
    reject_peak: float | None = None

    def __post_init__(self) -> None:
        if self.baseline_s is not None and not self.baseline_s[0] < self.baseline_s[1] <= 0:
            raise ValueError(f"A baseline lies before the onset: start < stop <= 0; got {self.baseline_s}.")
        for name, value in (("clamp", self.clamp), ("reject_peak", self.reject_peak)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0; got {value}.")


class WindowChain:
    """Baseline, artefact gate and clamp of single windows.

    Parameters
    ----------
    spec : WindowSpec
        What to do.
    sfreq_hz : float
        The decoder's sampling rate.

    Attributes
    ----------
    lead : int
        Samples that the baseline reaches back before its reference point (onset or window start).
    """

    def __init__(self, spec: WindowSpec, sfreq_hz: float) -> None:
        self.spec = spec
        span = spec.baseline_s
        self._span = None if span is None else (round(span[0] * sfreq_hz), round(span[1] * sfreq_hz))
        if self._span is not None and self._span[0] >= self._span[1]:
            raise ValueError(f"The baseline {span} s holds no sample at {sfreq_hz:g} Hz.")
        self.lead = 0 if self._span is None else -self._span[0]

    def baseline_span(self, reference: int) -> tuple[int, int] | None:
        """Return the samples [start, stop) of the baseline before `reference`, or None without a baseline."""
        return None if self._span is None else (reference + self._span[0], reference + self._span[1])

    def apply(
        self, window: npt.NDArray[np.float32], baseline: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32] | None:
        """Return the window as the encoder takes it, or None if it holds an artefact.

        Parameters
        ----------
        window : array of shape (n_times, n_channels), float32
            A view of the ring; it is not changed.
        baseline : array of shape (n_baseline, n_channels), float32, or None
            The samples of `baseline_span`.

        Returns
        -------
        array of shape (n_channels, n_times), float32, contiguous, or None
        """
        x = window
        if baseline is not None:
            x = x - baseline.mean(axis=0, dtype=np.float64).astype(np.float32)
        if self.spec.reject_peak is not None and not np.abs(x).max() <= self.spec.reject_peak:
            return None
        if self.spec.clamp is not None:
            x = np.clip(x, -self.spec.clamp, self.spec.clamp)
        return np.ascontiguousarray(x.T)
