"""A recording that is held in memory: what simulations give and what a player can be tried with."""

from dataclasses import dataclass, field

from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
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
    stimuli : StimulusTable
        What was shown; what the markers alone tell, if not given. Markers that are not given are its ids.
    epoch : Epoch or None
        How the trials lie, if the signal was cut into trials.
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
    stimuli: StimulusTable = field(default_factory=StimulusTable)
    epoch: Epoch | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 2 or self.data.shape[1] != len(self.channels):
            raise ValueError(f"Data of shape {self.data.shape} do not fit {len(self.channels)} channels.")
        markers = self.markers or self.stimuli.markers()
        object.__setattr__(self, "markers", tuple(sorted(markers, key=lambda marker: marker[0])))
        if not len(self.stimuli):
            object.__setattr__(self, "stimuli", StimulusTable.of_markers(self.markers))

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return len(self.data)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop) as a view, shape (stop - start, n_channels)."""
        return self.data[start:stop]
