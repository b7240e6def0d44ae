"""Samples from a source into the pipeline, and what is to be told of them: gaps, stalls, losses, returns."""

import threading

from decode_stream.config import SessionConfig
from decode_stream.gui.words import sample_word
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.lsl import StreamLost, lsl_now
from decode_stream.stream.types import Gap

from .pipeline import Pipeline
from .source import Source
from .status import Status
from .timing import Arrivals, Startup, duration_text

__all__ = ["PULL_S", "Intake"]

#: How long a pull waits for samples or markers at most. Seconds.
PULL_S = 0.05
#: A stream stalls when nothing came for so long, and where hops are seconds long, as of volumes, for so many of them.
_LEAST_STALL_S, _HOPS_TO_STALL = 0.5, 2.5
#: A timed session of a stream that stalls ends so many seconds after its time. Seconds.
_GRACE_S = 10.0


class Intake:
    """Takes samples in until the stream ends, is given up, or has lasted as long as asked for.

    It belongs to the acquisition thread; others read its attributes.

    Parameters
    ----------
    config : SessionConfig
        How long to go on.
    source : Source
        Where the samples come from.
    status : Status
        Is told what happens.
    startup : Startup
        Is told of the first sample.
    stop : Event
        Ends a wait for the stream to come back.

    Attributes
    ----------
    gaps : list of Gap
        Breaks of the stream so far.
    newest_stamp_s : float or None
        LSL time of the newest sample; None before the first.
    arrivals : Arrivals
        When the newest samples arrived.
    done : bool
        Whether no sample comes any more.
    """

    def __init__(
        self, config: SessionConfig, source: Source, status: Status, startup: Startup, stop: threading.Event
    ) -> None:
        self.gaps = list[Gap]()
        self.newest_stamp_s: float | None = None
        self.arrivals = Arrivals()
        self.done = False
        self._source = source
        self._status = status
        self._startup = startup
        self._stop = stop
        self._wanted_s = config.duration_s
        self._samples = f"{sample_word(config.modality)}s"
        self._first_sample_s: float | None = None
        self._arrived_s = 0.0

    def take(self, pipeline: Pipeline) -> bool:
        """Wait for the samples up to the end of the next window and take them in; return whether any were."""
        ingest = pipeline.ingest
        stop = ingest.ring.stop
        wanted = ingest.samples_until(pipeline.cutter.next_stop(stop))
        try:
            data, stamps_s, arrived_s = self._source.pull(max(1, wanted), PULL_S)
        except StreamLost:
            self._reconnect(ingest)
            return False
        if not len(data):
            self._watch_for_stall(pipeline)
            return False
        gaps = ingest.feed(data, stamps_s, arrived_s)
        self._first_sample_s = self._first_sample_s or arrived_s
        self._startup.reach("first_sample")
        self.newest_stamp_s = float(stamps_s[-1])
        self._arrived_s = arrived_s
        if ingest.ring.stop > stop:
            self.arrivals.add(ingest.ring.stop, self.newest_stamp_s, arrived_s)
        self._tell_gaps(gaps)
        state, since_s = self._status.since()
        if state == "stalled":
            self._status.tell("resumed", f"{self._samples} again after {lsl_now() - since_s:.1f} s")
        if state in ("connected", "stalled", "lost"):
            self._status.set("decoding" if pipeline.decoder else "connected")
        return True

    def end(self, ingest: Ingest) -> None:
        """Take what was held back to tell jitter from loss; no sample comes after."""
        self._tell_gaps(ingest.flush())
        self.done = True

    def finished(self, pipeline: Pipeline) -> bool:
        """Return whether the stream has ended or lasted long enough."""
        if self._wanted_s is not None and self._first_sample_s is not None:
            # Signal counts, but a stream that stalls must not keep a timed session for ever.
            passed_s = (lsl_now() - self._first_sample_s) * pipeline.ingest.info.speed
            if pipeline.duration_s >= self._wanted_s or passed_s > self._wanted_s + _GRACE_S:
                return True
        return self.done or self._source.at_end

    def _tell_gaps(self, gaps: list[Gap]) -> None:
        self.gaps += gaps
        for gap in gaps:
            length = duration_text(gap.n_lost / self._source.info.sfreq_hz)
            texts = {
                "loss": f"{gap.n_lost} {self._samples} ({length}) lost",
                "reset": "the time stamps jumped; filters start anew",
                "reconnect": f"after the reconnection {gap.n_lost} {self._samples} are missing; filters start anew",
            }
            self._status.tell("gap", texts[gap.kind])

    def _watch_for_stall(self, pipeline: Pipeline) -> None:
        step_s = float(pipeline.cutter.schedule.step_s) / pipeline.ingest.info.speed
        state, since_s = self._status.since()
        silent_s = lsl_now() - (self._arrived_s or since_s)
        if silent_s > max(_LEAST_STALL_S, _HOPS_TO_STALL * step_s) and state not in ("stalled", "lost"):
            self._status.tell("stalled", f"no {self._samples} for {silent_s:.1f} s")
            self._status.set("stalled")

    def _reconnect(self, ingest: Ingest) -> None:
        if self._source.at_end:
            self.done = True
            return
        self._status.set("lost")
        self._status.tell(
            "lost", f"the outlet of {self._source.info.name!r} is gone; waiting for it to come back"
        )
        if self._source.reconnect(self._stop):
            ingest.continuity.reconnect()
            self._status.tell("reconnected", self._source.words)
            self._status.set("connected")
            # The silence before is told of already; a stall counts from here.
            self._arrived_s = 0.0
