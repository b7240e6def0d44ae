"""The way of the data from samples to beliefs, built once the stream is known."""

from dataclasses import dataclass

from decode_stream.decoders.decoder import Decoder
from decode_stream.stream.cutter import WindowCutter
from decode_stream.stream.ingest import Ingest

__all__ = ["Pipeline"]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Samples to ring, ring to windows, windows to beliefs.

    Attributes
    ----------
    ingest : Ingest
        Belongs to the acquisition thread.
    cutter : WindowCutter
        Belongs to the decoding thread.
    decoder : Decoder or None
        Belongs to the decoding thread; None in a session that only watches.
    """

    ingest: Ingest
    cutter: WindowCutter
    decoder: Decoder | None

    @property
    def duration_s(self) -> float:
        """Seconds of signal so far, in recording time."""
        return self.ingest.next_sample / self.ingest.info.sfreq_hz
