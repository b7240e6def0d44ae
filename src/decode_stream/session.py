"""A session: the threads that take samples in, decode what is due, and keep what views and summary need."""

import sys
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Decoder
from decode_stream.decoders.runtime import Encoder
from decode_stream.gui.snapshot import SignalView, Snapshot
from decode_stream.stream.cutter import WindowCutter
from decode_stream.stream.filters import ChainSpec, WindowSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.lsl import StreamLost, lsl_now
from decode_stream.stream.onsets import OnsetChannel
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Event, Gap, StreamInfo
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

from .config import SessionConfig, parse_events
from .picture import AccuracyTrace, best_matches, progress, signal_view
from .source import Source
from .timing import StageTimes

__all__ = ["Session"]

_PULL_S = 0.05
_HOPS_TO_STALL = 5


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

    Attributes
    ----------
    events : tuple of Event
        Everything worth telling, oldest first.
    error : BaseException or None
        What ended the session, if it failed.
    """

    def __init__(
        self,
        config: SessionConfig,
        source: Source,
        bundle: Bundle | None,
        watch_chain: Callable[[StreamInfo], ChainSpec],
    ) -> None:
        self.config = config
        self.bundle = bundle
        self.error: BaseException | None = None
        self.events: tuple[Event, ...] = ()
        self.ingest: Ingest | None = None
        self.decoder: Decoder | None = None
        self.cutter: WindowCutter | None = None
        self.onset_channel: OnsetChannel | None = None
        self.stages = {name: StageTimes() for name in ("arrive", "window", "decode", "belief")}
        self.encoder = Encoder(bundle, config.provider) if bundle else None
        self.started_s = lsl_now()
        self.first_sample_s: float | None = None
        self.newest_stamp_s: float | None = None
        self._source = source
        self._trace = AccuracyTrace()
        self._watch_chain = watch_chain
        self._state = ("idle", self.started_s)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._input_done = False
        self._arrived_s = 0.0
        self._news = threading.Condition()
        self._lock = threading.Lock()
        self._n_running = 0
        self._threads: list[threading.Thread] = []
        self._onsets_shown: deque[tuple[int, str]] = deque(maxlen=64)

    # -- life ------------------------------------------------------------------------------------------------

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
        """Called by each thread at its end; the last one ends the session."""
        with self._lock:
            self._n_running -= 1
            last = self._n_running == 0
        if last:
            self._set_state("ended")
            self._ended.set()

    def stop(self) -> None:
        """Ask every thread to end; may be called from anywhere, and twice."""
        self._stop.set()
        with self._news:
            self._news.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the session; return whether it has come."""
        return self._ended.wait(timeout_s)

    def join(self) -> None:
        """Wait for all threads, release the streams, and raise what ended the session, if it failed."""
        self._ended.wait()
        for thread in self._threads:
            thread.join()
        self._source.close()
        if self.error is not None:
            raise self.error

    def tell(self, kind: str, text: str) -> None:
        """Add an event."""
        with self._lock:
            self.events = (*self.events, Event(lsl_now() - self.started_s, kind, text))

    def _set_state(self, state: str) -> None:
        if self._state[0] != state:
            self._state = (state, lsl_now())

    # -- samples in ------------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        self._set_state("searching")
        info = self._source.connect(self._stop)
        if info is None:
            return
        self._prepare(info)
        self._set_state("connected")
        self.tell("connected", self._source.words)
        for note in self._source.notes:
            self.tell("note", note)
        self._spawn(self._decode, "decoding")
        self._spawn(self._take_markers, "markers")
        try:
            while not self._stop.is_set() and not self._finished(info):
                self._take_samples()
        finally:
            self._flush()

    def _prepare(self, info: StreamInfo) -> None:
        """Build the way of the data for the stream that was found."""
        config, bundle = self.config, self.bundle
        manifest = bundle.manifest if bundle else None
        chain = manifest.chain if manifest else self._watch_chain(info)
        schedule = manifest.schedule if manifest else WindowSchedule(exact_sfreq(chain.sfreq_hz))
        ingest = Ingest(info, chain, counter_channel=config.counter_channel)
        stimuli = manifest.stimuli(parse_events(config.events)) if manifest else {}
        n_latencies = manifest.n_latencies if manifest else 1
        trials = Trials(schedule, n_latencies, stimuli, config.marker_offset_ms / 1e3)
        self.cutter = WindowCutter(ingest, schedule, manifest.window if manifest else WindowSpec(), trials)
        if config.onset_channel is not None:
            index = self._source.channel_index(config.onset_channel)
            self.onset_channel = OnsetChannel(index, info.sfreq_hz)
            ingest.onset_channel = self.onset_channel
        if bundle and self.encoder:
            self.decoder = Decoder(bundle, self.encoder, self.cutter, clock=lsl_now)
        self._stall_s = max(0.5, _HOPS_TO_STALL * float(schedule.step_s))
        self.ingest = ingest

    def _take_samples(self) -> None:
        assert self.ingest is not None and self.cutter is not None
        ingest = self.ingest
        stop = ingest.ring.stop
        wanted = ingest.samples_until(self.cutter.next_stop(stop))
        try:
            data, stamps_s, arrived_s = self._source.pull(max(1, wanted), _PULL_S)
        except StreamLost:
            self._reconnect()
            return
        if not len(data):
            self._watch_for_stall()
            return
        gaps = ingest.feed(data, stamps_s, arrived_s)
        self.first_sample_s = self.first_sample_s or arrived_s
        self.newest_stamp_s = float(stamps_s[-1])
        self._arrived_s = arrived_s
        if ingest.ring.stop > stop:
            self.stages["arrive"].add(arrived_s - self.newest_stamp_s)
        for gap in gaps:
            self._tell_gap(gap)
        if self._state[0] == "stalled":
            self.tell("resumed", f"samples again after {lsl_now() - self._state[1]:.1f} s")
        if self._state[0] in ("connected", "stalled", "lost"):
            self._set_state("decoding" if self.decoder else "connected")
        with self._news:
            self._news.notify_all()

    def _tell_gap(self, gap: Gap) -> None:
        sfreq_hz = self._source.info.sfreq_hz
        texts = {
            "loss": f"{gap.n_lost} samples ({1e3 * gap.n_lost / sfreq_hz:.0f} ms) lost",
            "reset": "the time stamps jumped; filters start anew",
            "reconnect": f"after the reconnection {gap.n_lost} samples are missing; filters start anew",
        }
        self.tell("gap", texts[gap.kind])

    def _watch_for_stall(self) -> None:
        last = self._arrived_s or self._state[1]
        if lsl_now() - last > self._stall_s and self._state[0] not in ("stalled", "lost"):
            self.tell("stalled", f"no samples for {lsl_now() - last:.1f} s")
            self._set_state("stalled")

    def _reconnect(self) -> None:
        assert self.ingest is not None
        if self._source.at_end:
            self._input_done = True
            return
        self._set_state("lost")
        self.tell("lost", f"the outlet of {self._source.info.name!r} is gone; waiting for it to come back")
        if self._source.reconnect(self._stop):
            self.ingest.continuity.reconnect()
            self.tell("reconnected", self._source.words)
            self._set_state("connected")

    def _finished(self, info: StreamInfo) -> bool:
        assert self.ingest is not None
        if self.config.duration_s is not None and self.first_sample_s is not None:
            seconds = (lsl_now() - self.first_sample_s) * info.speed
            # Signal time counts, but a stream that stalls must not keep a timed session for ever.
            if (
                min(self.duration_s, seconds) >= self.config.duration_s
                or seconds > self.config.duration_s + 10
            ):
                return True
        return self._input_done or self._source.at_end

    def _flush(self) -> None:
        if self.ingest is not None:
            for gap in self.ingest.flush():
                self._tell_gap(gap)
        self._input_done = True
        with self._news:
            self._news.notify_all()

    # -- markers and decisions -------------------------------------------------------------------------------

    def _take_markers(self) -> None:
        assert self.cutter is not None
        while not self._stop.is_set() and not self._input_done:
            for marker in self._source.pull_markers(_PULL_S):
                self.cutter.trials.add(marker)
                with self._news:
                    self._news.notify_all()

    def _onset(self, time_s: float) -> int | None:
        """Return the onset at the decoder's rate, corrected by the onset channel if there is one."""
        assert self.ingest is not None
        clock = self.ingest.continuity.clock
        sample = int(np.floor(clock.index_at(time_s) + 0.5))
        if self.onset_channel is not None:
            if not self._input_done and self.ingest.next_sample <= sample + self.onset_channel.tolerance:
                return None
            edge = self.onset_channel.nearest(sample)
            sample = sample if edge is None else edge
        return self.ingest.to_decoder(sample)

    def _decode(self) -> None:
        assert self.cutter is not None and self.ingest is not None
        while not self._stop.is_set():
            done = self._input_done
            with self._news:
                if not done and not self._due():
                    self._news.wait(_PULL_S)
            self._decode_due()
            if done:
                break

    def _due(self) -> bool:
        assert self.cutter is not None and self.ingest is not None
        return self.cutter.anything_due or self.cutter.trials.waiting > 0

    def _decode_due(self) -> None:
        assert self.cutter is not None and self.ingest is not None
        arrived_s, began_s = self._arrived_s, lsl_now()
        missed, unknown = self.cutter.trials.missed, len(self.cutter.trials.unknown_labels)
        for trial in self.cutter.trials.place(self._onset, self.ingest.ring.stop):
            self._onsets_shown.append((trial.onset, trial.label))
        if self.decoder is None:
            self.cutter.locked()
            decoded = bool(self.cutter.free())
        else:
            decoded = self.decoder.step()
        if decoded:
            self.stages["window"].add(max(0.0, began_s - arrived_s))
            if self.decoder is not None:
                self.stages["decode"].add(self.decoder.encode_s)
                self.stages["belief"].add(self.decoder.believe_s)
        if self.cutter.trials.missed > missed:
            self.tell(
                "missed", "a marker came when its samples were no longer held; the trial is not decoded"
            )
        if len(self.cutter.trials.unknown_labels) > unknown and self.decoder is not None:
            labels = ", ".join(sorted(self.cutter.trials.unknown_labels)[:10])
            self.tell("unknown", f"markers that name no gallery entry: {labels}; see --events")

    # -- what views pull -------------------------------------------------------------------------------------

    @property
    def duration_s(self) -> float:
        """Seconds of signal so far, in recording time."""
        return self.ingest.next_sample / self.ingest.info.sfreq_hz if self.ingest else 0.0

    def signal(self, seconds: float) -> SignalView | None:
        """Return the newest seconds of the filtered signal, or None before the first samples."""
        return signal_view(self.ingest, seconds, tuple(self._onsets_shown))

    def snapshot(self) -> Snapshot:
        """Return the session as it stands."""
        now = lsl_now()
        state, since = self._state
        matches, of, truth = best_matches(self.decoder)
        recent = [(name, stage.recent_ms()) for name, stage in self.stages.items()]
        return Snapshot(
            state=state,
            state_for_s=now - since,
            source=self._source.words,
            duration_s=self.duration_s,
            age_ms=None if self.newest_stamp_s is None else 1e3 * (now - self.newest_stamp_s),
            latency_ms=tuple((name, *times) for name, times in recent if times),
            progress=progress(self.ingest, self.cutter, self.decoder, self.events),
            accuracy=self._trace.of(self.decoder),
            matches=matches,
            matches_of=of,
            truth=truth,
            provider=self.encoder.provider if self.encoder else "",
            bundle=self.bundle.manifest.name if self.bundle else "",
            events=self.events[-50:],
        )
