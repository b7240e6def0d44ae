"""What a model asks of its trials: rate, band, windows that slide or one that grows, and what is done to them."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from decode_stream.stream.recording import Epoch
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

__all__ = ["TrialSpec", "trial_schedule", "trial_window"]


@dataclass(frozen=True)
class TrialSpec:
    """What a model asks of trials of EEG or MEG; by default windows of 100 ms that slide over 600 ms.

    Attributes
    ----------
    sfreq_hz : float or None
        The decoder's rate is the highest whole fraction of the recordings' up to this; None for the modality's usual.
    band_hz : tuple of float or None
        High-pass and low-pass; None for the modality's usual.
    length_s : float
        What the encoder takes at once: the length of a sliding window, or of the whole trial.
    step_s : float
        From one window to the next.
    until_s : float
        When the last sliding window ends after the onset.
    growing : bool
        Whether the encoder takes whole trials, so that windows grow from the onset to `length_s`.
    first_s : float or None
        When the first growing window ends; None to decode a trial only once, when it is whole.
    baseline_s : tuple of float or None
        As in `WindowSpec`. Trials that were cut before and do not reach back so far were corrected before, too.
    clamp, reject_peak : float or None
        As in `WindowSpec`, in robust standard deviations: blinks and movements lie far above 12, brain signals
        below 5.

    Raises
    ------
    ValueError
        If a first window is given for windows that slide, or these do not fit between the onset and `until_s`.
    """

    sfreq_hz: float | None = None
    band_hz: tuple[float, float] | None = None
    length_s: float = 0.1
    step_s: float = 0.025
    until_s: float = 0.6
    growing: bool = False
    first_s: float | None = None
    baseline_s: tuple[float, float] | None = None
    clamp: float | None = 5.0
    reject_peak: float | None = 12.0

    def __post_init__(self) -> None:
        if not self.growing and self.first_s is not None:
            raise ValueError(
                "Windows that slide have no first_s; windows that grow are asked for with growing."
            )
        if not self.growing and self.until_s < self.length_s:
            raise ValueError(f"No window of {self.length_s:g} s ends by {self.until_s:g} s after the onset.")

    @property
    def shortest_s(self) -> float:
        """How much of a trial must be there after its onset to be decoded at all, in seconds."""
        if not self.growing:
            return self.length_s
        return self.step_s if self.first_s is None else self.first_s


def trial_schedule(spec: TrialSpec, sfreq_hz: float, epoch: Epoch | None) -> tuple[WindowSchedule, int]:
    """Return the schedule of a trial's windows and their number.

    Parameters
    ----------
    sfreq_hz : float
        The decoder's rate.
    epoch : Epoch or None
        How the recordings were cut into trials before, if they were: a whole trial is then no longer, and sliding
        windows are no more, than what was cut allows.

    Raises
    ------
    ValueError
        If a trial as it was cut holds less than `shortest_s` after its onset.
    """
    rate = exact_sfreq(sfreq_hz)
    length_s, step_s, until_s = (Fraction(str(s)) for s in (spec.length_s, spec.step_s, spec.until_s))
    held = None if epoch is None else epoch.n_times - max(0, epoch.onset)
    if epoch is not None and held is not None and (epoch.onset < 0 or held < round(spec.shortest_s * rate)):
        raise ValueError(f"a trial must hold a window of {spec.shortest_s:g} s from the onset on")
    if spec.growing:
        length_s = length_s if held is None else min(length_s, held / rate)
        first_s = length_s if spec.first_s is None else Fraction(str(spec.first_s))
        schedule = WindowSchedule(rate, length_s, step_s, first_s=first_s)
        return schedule, schedule.n_windows or 1
    schedule, n_latencies = WindowSchedule(rate, length_s, step_s), 1 + floor((until_s - length_s) / step_s)
    return schedule, n_latencies if held is None else min(n_latencies, schedule.count(held))


def trial_window(spec: TrialSpec, sfreq_hz: float, epoch: Epoch | None) -> WindowSpec:
    """Return what is done to each window of a trial."""
    baseline_s = spec.baseline_s
    if baseline_s is not None and epoch is not None and round(-baseline_s[0] * sfreq_hz) > epoch.onset:
        baseline_s = None
    return WindowSpec(baseline_s, spec.clamp, spec.reject_peak)
