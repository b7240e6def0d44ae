"""What every reader of recordings gives, whatever the file."""

from math import ceil
from typing import Protocol

from .types import Channel, FloatArray, Gap

__all__ = ["Recording", "n_missing"]

#: Length given to a break whose true length nobody knows, so that filters start anew behind it. Seconds.
_UNKNOWN_BREAK_S = 0.5


def n_missing(gap: Gap, sfreq_hz: float) -> int:
    """Return how many samples a break of a recording stands for, in replay and in training alike.

    A break of unknown length, such as a file put together from pieces, counts half a second: it must show on the
    time line, or windows and filters would run across it.
    """
    return gap.n_lost or ceil(_UNKNOWN_BREAK_S * sfreq_hz)


class Recording(Protocol):
    """A recorded signal with its markers, read in blocks.

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
        Sample index and label of every marker, by sample.
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
    def gaps(self) -> tuple[Gap, ...]: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), in the channels' units."""
        ...
