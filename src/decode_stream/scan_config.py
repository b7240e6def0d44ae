"""What a simulated scan is asked to do: the flags of ``decode-stream scan``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from decode_stream.stream.errors import UsageError

from .replay_config import MarkerFormat

__all__ = ["ScanConfig", "ScanVendor", "parse_volumes"]

#: The scanners of `decode_stream.replay_data.scanner.vendors`, which needs not be loaded to be asked for.
ScanVendor = Literal["siemens", "siemens-xa", "ge", "philips", "philips-enhanced", "nifti"]

_PLAYING = Group.create_ordered("Playing")
_MARKERS = Group.create_ordered("Markers")
_FAULTS = Group.create_ordered("Faults, for rehearsals")


@dataclass(frozen=True, kw_only=True)
class ScanConfig:
    """Settings of a simulated scan."""

    out: Annotated[Path, Parameter(group=_PLAYING)]
    """The folder into which the scanner writes; a new or an empty one."""
    vendor: Annotated[ScanVendor, Parameter(name="--as", group=_PLAYING)]
    """How it writes: siemens (mosaics), siemens-xa (multi-frame), ge (a file a slice), philips (a file a slice),
    philips-enhanced (multi-frame), nifti (a file a volume)."""
    tr_s: Annotated[float | None, Parameter(group=_PLAYING)] = None
    """Repetition time, where the recording does not say it or says it wrongly [s]."""
    speed: Annotated[float, Parameter(group=_PLAYING)] = 1.0
    """How many times faster than recorded; what the files say of time stays as recorded."""
    start_volume: Annotated[int, Parameter(group=_PLAYING)] = 1
    """The recording's volume that is the scan's first, from 1."""
    rename: Annotated[bool, Parameter(group=_PLAYING, negative=())] = False
    """Write each file under another name, and give it its own when it is whole."""

    markers: Annotated[bool, Parameter(group=_MARKERS, negative=())] = False
    """Publish what was shown as an LSL stream of markers."""
    onsets: Annotated[Path | None, Parameter(group=_MARKERS)] = None
    """Write what is shown to this events.tsv, in seconds from the first volume."""
    marker_column: Annotated[str | None, Parameter(group=_MARKERS)] = None
    """Column of events.tsv that says what was shown."""
    marker_format: Annotated[MarkerFormat, Parameter(group=_MARKERS)] = "id"
    """Send markers as ids, or as JSON with concept, image and split where the recording tells them."""
    name: Annotated[str, Parameter(group=_MARKERS)] = ""
    """Name of the marker stream; by default the recording's file name with -markers."""
    source_id: Annotated[str, Parameter(group=_MARKERS)] = ""
    """source_id of the marker stream; by default a new one."""
    wait: Annotated[bool, Parameter(group=_MARKERS, negative=())] = False
    """Begin when somebody listens to the markers."""

    drop: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """Fraction of the volumes that never arrive."""
    drop_volumes: Annotated[str | None, Parameter(group=_FAULTS)] = None
    """Volumes that never arrive, by their number from 1, as in 10,11."""
    delay_ms: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """How long each file takes to arrive [ms]."""
    shuffle_ms: Annotated[float, Parameter(group=_FAULTS)] = 0.0
    """How much longer a file may take, drawn for each [ms]; above a repetition time, volumes change their order."""
    partial: Annotated[bool, Parameter(group=_FAULTS, negative=())] = False
    """Let files grow in four writes."""
    truncate_volumes: Annotated[str | None, Parameter(group=_FAULTS)] = None
    """Volumes of which a file stays cut off, as in 10,11."""
    second_series: Annotated[bool, Parameter(group=_FAULTS, negative=())] = False
    """Write each volume once more, as of a second series."""
    seed: Annotated[int, Parameter(group=_FAULTS)] = 0
    """Of everything random in the faults."""

    def __post_init__(self) -> None:
        if self.wait and not self.markers:
            raise UsageError("--wait waits for who listens to the markers: it belongs to --markers.")
        if not self.markers and (self.name or self.source_id):
            raise UsageError("--name and --source-id are of the marker stream: they belong to --markers.")


def parse_volumes(flag: str, text: str | None) -> tuple[int, ...]:
    """Return numbers of volumes from ``"10,11"``, none for None.

    Raises
    ------
    UsageError
        If the text is no list of whole numbers.
    """
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{flag} is {text!r}; write numbers of volumes, from 1, separated by commas, as in {flag} 10,11."
        ) from None
