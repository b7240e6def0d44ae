"""How a recording is played."""

from dataclasses import dataclass, field
from uuid import uuid4

from decode_stream.stream.errors import UsageError

from .faults import Faults

__all__ = ["PlayerConfig"]


@dataclass(frozen=True)
class PlayerConfig:
    """How a recording is played.

    Attributes
    ----------
    name : str
        Name of the stream; the recording's name where empty.
    type : str
        Content type of the stream, such as ``EEG``; taken from the channels where empty.
    source_id : str
        Identifies the stream; fresh for every player unless given. The markers' is ``<source_id>-markers``.
    loop : bool
        Whether to begin again at `start_s` after the last sample, without a break in the time line.
    start_s : float
        Where in the recording to begin, in seconds.
    speed : float
        How much faster than recorded; the declared rate is multiplied by it.
    chunk_s : float
        Seconds of LSL time between two pushes; a chunk holds at least one sample.
    wait_for_consumer : bool
        Whether to begin only when somebody listens to the signal, and to the markers if there are any.
    wait_s : float
        Longest wait for a consumer.
    dtype : str
        Format on the wire, ``float32`` or ``double64``.
    linger_s : float
        How long the streams stay open at most after the last sample for consumers that have not yet closed theirs: one
        that is slower than the replay reads on.
    marker_format : str
        ``id`` sends the recording's markers as they are, ``json`` what its table of stimuli says of each, as
        `decode_stream.stream.marker_text` writes it.
    trigger_channel : str
        Name of a channel that is added to the signal and rises at every onset; none where empty.
    faults : Faults
        What is to go wrong.

    Raises
    ------
    UsageError
        If a number makes no sense.
    """

    name: str = ""
    type: str = ""
    source_id: str = field(default_factory=lambda: f"decode-stream-{uuid4().hex}")
    loop: bool = False
    start_s: float = 0.0
    speed: float = 1.0
    chunk_s: float = 0.01
    wait_for_consumer: bool = False
    wait_s: float = 60.0
    dtype: str = "float32"
    linger_s: float = 60.0
    marker_format: str = "id"
    trigger_channel: str = ""
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        for word, value in (("speed", self.speed), ("chunk length", self.chunk_s)):
            if not 0 < value < float("inf"):
                raise UsageError(f"The {word} of a replay must be a number above 0; got {value:g}.")
        if not 0 <= self.start_s < float("inf"):
            raise UsageError(f"A replay starts at 0 s or later; got --start-s {self.start_s:g}.")
        if self.dtype not in ("float32", "double64"):
            raise UsageError(f"A replay is sent as float32 or double64; got {self.dtype!r}.")
        if self.marker_format not in ("id", "json"):
            raise UsageError(f"Markers are sent as id or json; got --marker-format {self.marker_format}.")
