"""A session: the threads that take samples in, decode what is due, and keep what views and summary need."""

import sys
import threading
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.config import SessionConfig, parse_events
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Decoder
from decode_stream.decoders.runtime import LIVE_BATCHES, Encoder
from decode_stream.gui.snapshot import SignalView, Snapshot, WhatIfQuestion
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.lsl import lsl_now
from decode_stream.stream.types import Event, StreamInfo, Trial

from .beta_pipeline import BetaEvents, beta_notes
from .intake import PULL_S, Intake
from .painter import Painter, nothing_drawn
from .picture import AccuracyTrace, best_matches, chain_notes, progress, shown_now, signal_view, trial_name
from .pipeline import Pipeline, build_pipeline
from .provider_events import ProviderEvents
from .scan_view import ScanWatch
from .source import Source
from .status import Status
from .timing import StageTimes, Startup
from .what_if import LiveWhatIf

__all__ = ["Session"]

#: Stamps farther ahead of the clock tell no age: those of a scan that is played faster than it was measured. Seconds.
_FARTHEST_AHEAD_S = 1.0


class Session:
    """Decodes a stream until it ends, is stopped, or fails.

    Parameters
    ----------
    config : SessionConfig
        What to do.
    source : Source
        Where the samples come from.
    bundle : Bundle or None
        The decoder; without one the signal is windowed and shown only.
    watch_chain : callable
        Gives the chain to watch a stream with when there is no bundle.
    caveat : str
        What keeps its scores from being held-out ones; told wherever they are.
    painter : Painter or None
        Draws what is decoded; not started yet.
    undrawn : str
        Why nothing is drawn, where there is no painter.

    Attributes
    ----------
    pipeline : Pipeline or None
        None until the stream is found.
    startup : Startup
        When the session had reached what.
    error : BaseException or None
        What ended the session, if it failed.
    """

    def __init__(
        self,
        config: SessionConfig,
        source: Source,
        bundle: Bundle | None,
        watch_chain: Callable[[StreamInfo], ChainSpec],
        caveat: str = "",
        painter: Painter | None = None,
        undrawn: str = "",
    ) -> None:
        self.config = config
        self.painter, self._undrawn = painter, undrawn
        self.bundle = bundle
        self.pipeline: Pipeline | None = None
        self.error: BaseException | None = None
        self.stages = {name: StageTimes() for name in ("arrive", "window", "decode", "belief", "total")}
        self.startup = Startup()
        self.encoder = Encoder(bundle, config.provider, warm=LIVE_BATCHES) if bundle else None
        self._what_if = (
            LiveWhatIf(bundle, self.encoder) if bundle and self.encoder and bundle.regions else None
        )
        self._scan = ScanWatch(bundle) if config.modality == "fmri" else None
        # Names that the gallery lacks are told before a stream is looked for.
        self._stimuli = bundle.manifest.stimuli(parse_events(config.events)) if bundle else {}
        self._source = source
        self._status = Status()
        source.tell = self._status.tell
        self._providers = ProviderEvents(self.encoder, self._status.tell)
        if painter is not None:
            painter.tell = self._providers.of_pictures
        self._watch_chain = watch_chain
        self._caveat = caveat
        if caveat:
            self.tell("caveat", caveat)
        self._trace = AccuracyTrace()
        self._stop = threading.Event()
        self._intake = Intake(config, source, self._status, self.startup, self._stop)
        self._ended = threading.Event()
        self._markers_done = False
        self._news = threading.Condition()
        self._is_new = False
        self._lock = threading.Lock()
        self._n_running = 0
        self._tell_onsets_at = 5  # markers; then 20, 80, ...
        self._threads: list[threading.Thread] = []
        self._beta_events = BetaEvents()
        self._onsets_shown: deque[tuple[int, str]] = deque(maxlen=64)
        self._newest_trial: Trial | None = None

    # Life

    def start(self) -> None:
        """Start the threads; returns at once."""
        # 5 ms, the default, is a fifth of a hop: a drawing thread must let the decoder in sooner.
        sys.setswitchinterval(0.0005)
        self._spawn(self._acquire, "acquisition")

    def _spawn(self, target: Callable[[], None], name: str) -> None:
        def guarded() -> None:
            try:
                target()
            except BaseException as error:
                # Whatever goes wrong in a thread ends the session, and is told by `join`.
                self.error = self.error or error
                self.stop()
            finally:
                self._leave()

        with self._lock:
            self._n_running += 1
        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _leave(self) -> None:
        """End the session with its last thread."""
        with self._lock:
            self._n_running -= 1
            last = self._n_running == 0
        if last:
            self._status.set("ended")
            self._ended.set()

    def stop(self) -> None:
        """Ask every thread to end; may be called from anywhere, and twice."""
        self._stop.set()
        self._tell_news()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the session; return whether it has come."""
        return self._ended.wait(timeout_s)

    def join(self) -> None:
        """Wait for all threads, release the streams, and raise what ended the session, if it failed."""
        self._ended.wait()
        for thread in self._threads:
            thread.join()
        if self.painter is not None:
            self.painter.stop()
        self._source.close()
        if self.error is not None:
            raise self.error

    def tell(self, kind: str, text: str) -> None:
        """Add an event."""
        self._status.tell(kind, text)

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything worth telling, oldest first."""
        return self._status.events

    @property
    def n_gaps(self) -> int:
        """Breaks of the stream so far."""
        return len(self._intake.gaps)

    def _tell_news(self) -> None:
        with self._news:
            self._is_new = True
            self._news.notify_all()

    # Samples in

    def _acquire(self) -> None:
        self._status.set("searching")
        info = self._source.connect(self._stop)
        if info is None:
            return
        pipeline = self.pipeline = self._build(info)
        self._status.set("connected")
        self.startup.reach("connected")
        self.tell("connected", self._source.words)
        for note in (*self._source.notes, *chain_notes(pipeline.ingest), *beta_notes(pipeline.cutter)):
            self.tell("note", note)
        if self.painter is not None:
            self.painter.start()
        self._spawn(lambda: self._decode(pipeline), "decoding")
        self._spawn(lambda: self._take_markers(pipeline), "markers")
        try:
            while not self._stop.is_set() and not self._intake.finished(pipeline):
                if self._intake.take(pipeline):
                    self._tell_news()
        finally:
            self._intake.end(pipeline.ingest)
            self._tell_news()

    def _build(self, info: StreamInfo) -> Pipeline:
        chain = self.bundle.manifest.chain if self.bundle else self._watch_chain(info)
        pipeline = build_pipeline(
            info, chain, self.config, self.bundle, self.encoder, self._stimuli, self._keep
        )
        if pipeline.decoder is not None:
            pipeline.decoder.scores.caveat = self._caveat
        if self._scan is not None:
            self._scan.watch(pipeline)
        return pipeline

    def _keep(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> None:
        """Hand a window that was decoded to those who look at windows."""
        for watcher in (self._what_if, self._scan, self.painter):
            if watcher is not None:
                watcher.keep(window, embedding)

    # Markers and decisions

    def _take_markers(self, pipeline: Pipeline) -> None:
        ended = False
        while not self._stop.is_set() and not ended:
            # Looked at before the pull: what was sent before the last sample is still taken after it.
            ended = self._intake.done
            for marker in self._source.pull_markers(PULL_S):
                pipeline.cutter.trials.add(marker)
                self._tell_news()
        self._markers_done = True
        self._tell_news()

    def _decode(self, pipeline: Pipeline) -> None:
        while not self._stop.is_set():
            done = self._intake.done and self._markers_done
            with self._news:
                if not done and not self._is_new:
                    self._news.wait(PULL_S)
                self._is_new = False
            self._decode_due(pipeline)
            if done:
                break
        if pipeline.decoder is not None:
            pipeline.decoder.finish()
            if self._scan is not None:
                self._scan.step(pipeline, ())

    def _decode_due(self, pipeline: Pipeline) -> None:
        ingest, cutter, decoder = pipeline.ingest, pipeline.cutter, pipeline.decoder
        trials = cutter.trials
        before = trials.missed, trials.refused, len(trials.unknown_labels), decoder.repeated if decoder else 0
        placed = trials.place(ingest.onset, ingest.ring.stop)
        for trial in placed:
            self._onsets_shown.append((trial.onset, trial_name(trial, self.bundle)))
            if self._newest_trial is None or trial.onset >= self._newest_trial.onset:
                self._newest_trial = trial
        decoded = decoder is not None and decoder.step()
        self._providers.look()
        if self._scan is not None:
            self._scan.step(pipeline, placed)
        if decoder is None:
            cutter.free()
            return
        if decoded:
            self._time(decoder)
            if decoder.decided_belief is not None:
                self.startup.reach("first_trial_decoded")
            if self.painter is not None:
                self.painter.look(decoder, self._stamp_of)
        if trials.missed > before[0]:
            self.tell(
                "missed", "a marker came when its samples were no longer held; the trial is not decoded"
            )
        if trials.refused > before[1]:
            self.tell(
                "refused",
                "a marker is stamped more than a minute ahead of the signal, or not with a number; "
                "stamp markers with LSL's local_clock",
            )
        if len(trials.unknown_labels) > before[2]:
            labels = ", ".join(sorted(trials.unknown_labels)[:10])
            self.tell("unknown", f"markers that name no gallery entry: {labels}; see --events")
        for kind, text in self._beta_events.of(cutter):
            self.tell(kind, text)
        onsets = ingest.onset_channel
        if onsets is not None and onsets.corrected + onsets.uncorrected >= self._tell_onsets_at:
            self._tell_onsets_at *= 4
            self.tell("onsets", onsets.summary())
        if decoder.repeated and not before[3]:
            self.tell("loop", "the recording begins again; trials count in the first turn only")

    def _time(self, decoder: Decoder) -> None:
        """Note how long the last batch took at each stage, from the stamp of its oldest window on."""
        batch = decoder.batch
        arrival = self._intake.arrivals.of(batch.oldest_stop) if batch else None
        if batch is None or arrival is None:
            return
        stamp_s, arrived_s = arrival
        times = (stamp_s, arrived_s, batch.began_s, batch.encoded_s, batch.believed_s)
        names = ("arrive", "window", "decode", "belief")
        told = dict(zip(names, pairwise(times), strict=True)) | {"total": (stamp_s, batch.believed_s)}
        if stamp_s - arrived_s > _FARTHEST_AHEAD_S:
            del told["arrive"], told["total"]
        for name, (begin_s, end_s) in told.items():
            self.stages[name].add(end_s - begin_s)
        if self._scan is not None:
            self._scan.took(batch.believed_s - arrived_s)

    def _stamp_of(self, stop: int) -> float:
        """Return the LSL time of the sample before `stop`; NaN where that tells nothing."""
        stamp_s, arrived_s = self._intake.arrivals.of(stop) or (nan, nan)
        return nan if stamp_s - arrived_s > _FARTHEST_AHEAD_S else stamp_s

    def scan_summary(self) -> dict[str, Any] | None:
        """Return what the session's summary tells of a run of fMRI; None of other signals."""
        return self._scan.summary(self.pipeline, self._intake.gaps) if self._scan else None

    def reconstructions(self) -> dict[str, Any]:
        """Return what the session's summary tells of the pictures that were drawn."""
        return self.painter.summary() if self.painter else nothing_drawn(self._undrawn)

    # What views pull

    def signal(self, seconds: float) -> SignalView | None:
        """Return the newest seconds of the filtered signal, or None before the first samples."""
        return signal_view(self.pipeline, seconds, tuple(self._onsets_shown)) if self.pipeline else None

    def picture(self, name: str) -> bytes | None:
        """Return the picture of a gallery entry, if the bundle has one."""
        return self.bundle.thumbnails.get(name) if self.bundle else None

    def ask_what_if(self, question: WhatIfQuestion) -> None:
        """Ask what would have been decoded of a past trial; a bundle without regions has no answer."""
        if self._what_if is not None:
            self._what_if.ask(question)

    def snapshot(self) -> Snapshot:
        """Return the session as it stands."""
        now_s = lsl_now()
        state, since_s = self._status.since()
        stamp_s = self._intake.newest_stamp_s
        decoder = self.pipeline.decoder if self.pipeline else None
        info = self._source.info
        matches, of, truth = best_matches(decoder)
        painter = self.painter
        stages = self.stages | ({"generate": painter.times} if painter else {})
        recent = [(name, stage.recent_ms()) for name, stage in stages.items()]
        return Snapshot(
            state=state,
            state_for_s=now_s - since_s,
            source=self._source.words,
            sfreq_hz=info.sfreq_hz,
            modality=self.config.modality or "",
            speed=info.speed,
            duration_s=self.pipeline.duration_s if self.pipeline else 0.0,
            age_ms=_age_ms(stamp_s, now_s) if state != "ended" else None,
            latency_ms=tuple((name, *times) for name, times in recent if times),
            progress=progress(self.pipeline, self.n_gaps),
            accuracy=self._trace.of(decoder),
            matches=matches,
            matches_of=of,
            truth=truth,
            stimulus=None
            if state == "ended"
            else shown_now(self._newest_trial, self.bundle, now_s, info.speed, self.config.modality),
            has_pictures=bool(self.bundle and self.bundle.thumbnails),
            provider=self.encoder.provider if self.encoder else "",
            bundle=self.bundle.manifest.name if self.bundle else "",
            events=self.events[-50:],
            regions=self._what_if.regions if self._what_if else (),
            past=self._what_if.past if self._what_if else (),
            what_if=self._what_if.answer if self._what_if else None,
            scan=self._scan.view(self.pipeline, self._intake.gaps) if self._scan and self.pipeline else None,
            generator=painter.generator if painter else "",
            reconstruction=painter.reconstruction() if painter else None,
        )


def _age_ms(stamp_s: float | None, now_s: float) -> float | None:
    """Return how old a sample is by its stamp; None where that tells nothing."""
    if stamp_s is None or stamp_s - now_s > _FARTHEST_AHEAD_S:
        return None
    return 1e3 * (now_s - stamp_s)
