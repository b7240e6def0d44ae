"""What a replay is asked to do: the flags of ``decode-stream replay``."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import Modality

__all__ = ["MarkerFormat", "ReplayConfig", "parse_stall"]

MarkerFormat = Literal["id", "json"]

_PLAYING = Group.create_ordered("Playing")
_READING = Group.create_ordered("Reading")
_MARKERS = Group.create_ordered("Markers")
_FAULTS = Group.create_ordered("Faults, for rehearsals")


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """Settings of a replay."""

    name: Annotated[str, Parameter(group=_PLAYING)] = ""
    """Name of the signal's stream; by default the file's name."""
    source_id: Annotated[str, Parameter(group=_PLAYING)] = ""
    """source_id of the signal's stream; by default a new one."""
    loop: Annotated[bool, Parameter(group=_PLAYING, negative=())] = False
    """Start again at the end."""
    start_s: Annotated[float, Parameter(group=_PLAYING)] = 0.0
    """Where to start [s]."""
    speed: Annotated[float, Parameter(group=_PLAYING)] = 1.0
    """How many times faster than recorded: stamps are compressed and the declared rate is multiplied."""
    wait: Annotated[bool, Parameter(group=_PLAYING, negative=())] = False
    """Wait until a consumer listens, so that it gets the first sample."""

    modality: Annotated[Modality | None, Parameter(group=_READING)] = None
    """Send only the channels of this modality."""
    stream: Annotated[str | None, Parameter(group=_READING)] = None
    """Which stream of an XDF file is the signal, by name; by default the only one, or the one with most channels."""
    unit: Annotated[str | None, Parameter(group=_READING)] = None
    """Unit of a CSV recording's channels."""
    mask: Annotated[str | None, Parameter(group=_READING)] = None
    """fMRI: which voxels, a region of interest by name or the path of a mask."""

    marker_column: Annotated[str | None, Parameter(group=_MARKERS)] = None
    """Marker column of a CSV recording or of events.tsv, stim channel, or marker stream of an XDF file."""
    marker_format: Annotated[MarkerFormat, Parameter(group=_MARKERS)] = "id"
    """Send markers as ids, or as JSON with concept, image and split where the recording tells them."""
    trigger_channel: Annotated[str, Parameter(group=_MARKERS)] = ""
    """Add a channel of this name that rises at every onset for 50 ms, to rehearse --onset-channel."""

    drop: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """Fraction of the chunks of 10 ms that are never sent."""
    jitter_ms: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """Standard deviation of the error of a chunk's stamps [ms]."""
    clock_offset_s: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """How far ahead the clock is that stamps both streams [s]; LSL cannot tell, and does not correct it."""
    clock_drift_ppm: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """How much faster that clock runs [parts per million]."""
    stall: Annotated[tuple[str, ...], Parameter(group=_FAULTS, negative=())] = ()
    """AT:LENGTH in seconds: both streams are held up at AT, and all that was held up comes after LENGTH; repeatable."""
    permute_channels: Annotated[bool, Parameter(group=_FAULTS, negative=())] = False
    """Send the channels in another order."""
    marker_jitter_ms: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """Standard deviation of the error of the markers' stamps [ms]; a trigger channel stays exact."""
    seed: Annotated[int, Parameter(group=_FAULTS)] = 0
    """Of everything random in the faults."""


def parse_stall(text: str) -> tuple[float, float]:
    """Return (at, length) in seconds from ``"60:2.5"``.

    Raises
    ------
    UsageError
        If the text is not AT:LENGTH.
    """
    try:
        at_s, length_s = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--stall is {text!r}; write AT:LENGTH in seconds, as in --stall 60:2.5.") from None
    return at_s, length_s
