"""A recording that is held in memory: what simulations give and what a player can be tried with."""

from dataclasses import dataclass, field

from decode_stream.stream.types import Channel, FloatArray, Gap

__all__ = ["ArrayRecording"]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayRecording:
    """Samples, channels and markers in memory, as a `Recording`.

    Attributes
    ----------
    data : array of shape (n_samples, n_channels), floating
        The signal, in the channels' units.
    channels : tuple of Channel
        One for each column of `data`.
    sfreq_hz : float
        Sampling rate.
    markers : tuple of (int, str)
        Sample index and label of every marker; sorted by sample here.
    gaps : tuple of Gap
        Breaks, counted in the recording's own samples.
    name : str
        Short name for people.
    notes : tuple of str
        What was assumed or left out in reading, in sentences.

    Raises
    ------
    ValueError
        If the channels do not fit the data.
    """

    data: FloatArray
    channels: tuple[Channel, ...]
    sfreq_hz: float
    markers: tuple[tuple[int, str], ...] = ()
    gaps: tuple[Gap, ...] = field(default=())
    name: str = "array"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.data.ndim != 2 or self.data.shape[1] != len(self.channels):
            raise ValueError(f"Data of shape {self.data.shape} do not fit {len(self.channels)} channels.")
        object.__setattr__(self, "markers", tuple(sorted(self.markers, key=lambda marker: marker[0])))

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return len(self.data)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop) as a view, shape (stop - start, n_channels)."""
        return self.data[start:stop]
