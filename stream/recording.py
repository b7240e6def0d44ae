"""What every reader of recordings gives, whatever the file."""

from dataclasses import dataclass
from math import ceil
from typing import Protocol

from .stimuli import StimulusTable
from .types import Channel, FloatArray, Gap

__all__ = ["Epoch", "Recording", "epoch_gaps", "n_missing"]

#: Length given to a break whose true length nobody knows, so that filters start anew behind it. Seconds.
_UNKNOWN_BREAK_S = 0.5


def n_missing(gap: Gap, sfreq_hz: float) -> int:
    """Return how many samples a break of a recording stands for, in replay and in training alike.

    A break of unknown length, such as a file put together from pieces, counts half a second: it must show on the
    time line, or windows and filters would run across it.
    """
    return gap.n_lost or ceil(_UNKNOWN_BREAK_S * sfreq_hz)


@dataclass(frozen=True, slots=True)
class Epoch:
    """How a recording that was cut into trials before it came here is laid out: trial after trial.

    Attributes
    ----------
    n_times : int
        Samples of every trial; trial i holds the recording's samples [i * n_times, (i + 1) * n_times).
    onset : int
        Sample of the stimulus onset within each trial; may be negative where the cut begins behind it.
    in_order : bool
        Whether the trials stand in the order in which they were shown.
    shared : int
        So many trials in a row rest on parts of the signal in common: 1, but for betas of responses that overlap.
    """

    n_times: int
    onset: int
    in_order: bool
    shared: int = 1


def epoch_gaps(n_trials: int, epoch: Epoch, sfreq_hz: float) -> tuple[Gap, ...]:
    """Return the breaks between the trials of a recording that was cut into trials.

    Trials of a single sample, betas, have none: nothing can run across their edges.
    """
    if epoch.n_times == 1:
        return ()
    places = range(epoch.n_times, n_trials * epoch.n_times, epoch.n_times)
    return tuple(Gap(at, 0, "reset", at / sfreq_hz) for at in places)


class Recording(Protocol):
    """A recorded signal with its stimuli, read in blocks.

    A sample is a moment of all sensors, or a volume of all voxels: the channels of fMRI are voxels, and its rate is
    one over the repetition time. A recording that was cut into trials is read as if these lay end to end, with a break
    before each, and says so by `epoch`; a trial's betas are trials of one sample.

    Attributes
    ----------
    name : str
        Short name for people: the file's name.
    channels : tuple of Channel
        The signal's channels, without marker columns.
    sfreq_hz : float
        Sampling rate.
    n_samples : int
        Length in samples.
    markers : tuple of (int, str)
        Sample index and label of every marker, by sample; the ids of `stimuli` where the source gives ids.
    stimuli : StimulusTable
        What was shown, by onset.
    epoch : Epoch or None
        How the trials lie, in a recording that was cut into trials; None for a continuous one.
    gaps : tuple of Gap
        Breaks inside the recording, with `start` counted in the recording's own samples and `n_lost` samples
        missing in front of it.
    notes : tuple of str
        What was assumed or left out in reading, in sentences.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def channels(self) -> tuple[Channel, ...]: ...  # noqa: D102
    @property
    def sfreq_hz(self) -> float: ...  # noqa: D102
    @property
    def n_samples(self) -> int: ...  # noqa: D102
    @property
    def markers(self) -> tuple[tuple[int, str], ...]: ...  # noqa: D102
    @property
    def stimuli(self) -> StimulusTable: ...  # noqa: D102
    @property
    def epoch(self) -> Epoch | None: ...  # noqa: D102
    @property
    def gaps(self) -> tuple[Gap, ...]: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), in the channels' units."""
        ...
