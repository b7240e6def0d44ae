"""Where a session's samples and markers come from: streams on the network, or a replay of our own."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from decode_stream.config import SessionConfig
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.replay_data.player_process import PlayerProcess, play_in_process
from decode_stream.stream.errors import SessionError, StreamError, UsageError
from decode_stream.stream.lsl import (
    LslInlet,
    MarkerInlet,
    StreamLost,
    StreamQuery,
    find_streams,
    resolve_stream,
)
from decode_stream.stream.types import FloatArray, Marker, StreamInfo
from decode_stream.stream.units import UNITS, unit_symbol

from .searches import Searches

if TYPE_CHECKING:
    # A replay begins before what decodes it is loaded.
    from decode_stream.decoders.bundle import Bundle

__all__ = ["Source"]

_LOOK_S = 0.05
#: A replay of ours stays after its last sample until all is read; it ends with the source anyway. Seconds.
_LONGEST_READ_S = 600.0
#: Nothing is under way any more after so long without a sample, once a replay has sent its last. Seconds.
_DRAINED_S = 2.0


class Source:
    """The signal's stream and its markers, over LSL whether live or replayed.

    Parameters
    ----------
    config : SessionConfig
        Which stream, or which recording.
    replay : Path or None
        The recording to play; a child process plays it, so that the streams are real ones.

    Attributes
    ----------
    info : StreamInfo
        The stream, once connected.
    words : str
        The stream in words.
    notes : tuple of str
        What was assumed in connecting, in sentences.
    modality : {"eeg", "meg", "fmri"} or None
        Helps to find a stream that nothing else names; set before connecting.
    bundle : Bundle or None
        What will decode; set before connecting.
    tell : callable
        Takes the kind and the text of what happens to the streams.
    """

    def __init__(self, config: SessionConfig, replay: Path | None) -> None:
        self.bundle: Bundle | None = None
        self.info = StreamInfo("", "", "", "", (), 0.0)
        self.words = ""
        self.notes: tuple[str, ...] = ()
        self.tell: Callable[[str, str], None] = lambda kind, text: None
        self.modality = config.modality
        self._config = config
        self._replay = replay
        self._player: PlayerProcess | None = None
        self._inlet: LslInlet | None = None
        self._marker_inlet: MarkerInlet | None = None
        self._pulled = 0
        self._silent_s: float | None = None
        self._drained = False
        self._markers_lost = False
        self._searches = Searches()
        self._given_up = threading.Event()
        self._connecting: Future[StreamInfo | None] | None = None

    def begin(self) -> None:
        """Connect from now on, in a thread of its own; `connect` then waits for that.

        A replay so runs up while the decoder is loaded. What it plays meanwhile waits in liblsl's buffer, as the
        samples of an amplifier would.
        """
        pool = ThreadPoolExecutor(1, "connecting")
        self._connecting = pool.submit(self._connect, self._given_up)
        pool.shutdown(wait=False)

    def connect(self, stop: threading.Event) -> StreamInfo | None:
        """Find and open the streams.

        Returns
        -------
        StreamInfo or None
            None if `stop` was set meanwhile.

        Raises
        ------
        DecodeStreamError
            If there is no stream, more than one, or one that cannot be decoded.
        """
        if self._connecting is None:
            return self._connect(stop)
        while not stop.is_set():
            if wait([self._connecting], _LOOK_S).done:
                return self._connecting.result()
        return None

    def _connect(self, stop: threading.Event) -> StreamInfo | None:
        if self._replay is not None:
            self._player = self._play(self._replay)
            if stop.is_set():
                return None
        try:
            # Markers first where it is known which: opening takes a second, and the signal piles up meanwhile.
            named = self._named_markers()
            unnamed = (
                self._player is None
                and named is None
                and bool(find_streams(StreamQuery(type="Markers"), 1.0))
            )
            if named is not None:
                self._marker_inlet = self._open_markers(named, stop)
            found = resolve_stream(self._query(), self._config.wait_s, stop)
            self._inlet = LslInlet(found, clocksync=self._clocksync)
            self.info = self._with_units(self._inlet.info)
            self.notes = self._inlet.notes
            if named is None:
                self._marker_inlet = self._find_markers(unnamed, stop)
        except StreamError:
            if stop.is_set():
                return None
            raise
        speed = f", {self.info.speed:g} times as fast" if self.info.speed != 1 else ""
        info = self.info
        # People know volumes by the time between them.
        rate = f"@ {info.sfreq_hz:g} Hz" if info.sfreq_hz >= 2 else f"every {1 / info.sfreq_hz:.4g} s"
        self.words = f"{info.name!r} {info.type}, {len(info.channels)} ch {rate}{speed}"
        return info

    def _play(self, path: Path) -> PlayerProcess:
        config = self._config
        return play_in_process(
            path,
            PlayerConfig(
                loop=config.loop or config.demo,
                start_s=config.start_s,
                speed=config.speed,
                wait_for_consumer=True,
                linger_s=_LONGEST_READ_S,
                type=self.modality.upper() if self.modality else "",
                # The model of a run asks how long each stimulus lasts, which an id does not say.
                marker_format="json" if self.modality == "fmri" else "id",
            ),
            marker_column=config.marker_column,
            mask=config.mask,
        )

    @property
    def _clocksync(self) -> bool:
        # A replay of ours stamps with this machine's clock: to measure an offset of 0 takes 0.6 s for each stream.
        return self._config.clocksync and self._player is None

    def _query(self) -> StreamQuery:
        config = self._config
        if self._player is not None:
            return StreamQuery(source_id=self._player.source_id)
        chosen = config.stream or config.source_id or config.predicate
        return StreamQuery(
            name=config.stream or "",
            # A name or an id says enough; the type helps only where nothing else is said.
            type="" if chosen or self.modality is None else self.modality.upper(),
            source_id=config.source_id or "",
            predicate=config.predicate or "",
        )

    def _with_units(self, info: StreamInfo) -> StreamInfo:
        if self._config.unit is None:
            return info
        unit = unit_symbol(self._config.unit)
        if not unit:
            raise UsageError(
                f"--unit is {self._config.unit!r}; units that can be converted: {', '.join(UNITS)}."
            )
        return replace(info, channels=tuple(c if c.unit else replace(c, unit=unit) for c in info.channels))

    def _named_markers(self) -> StreamQuery | None:
        """Return which marker stream is meant, where the signal need not be asked."""
        if self._config.markers:
            return StreamQuery(name=self._config.markers)
        if self._player is not None and self._player.marker_source_id:
            return StreamQuery(source_id=self._player.marker_source_id)
        return None

    def _find_markers(self, unnamed: bool, stop: threading.Event) -> MarkerInlet | None:
        """Open the marker stream that the signal names, or the only one there is."""
        if self.info.marker_source_id:
            return self._open_markers(StreamQuery(source_id=self.info.marker_source_id), stop)
        if unnamed:
            return self._open_markers(StreamQuery(type="Markers"), stop)
        self.notes += ("There is no marker stream: windows run free, and no accuracy can be told.",)
        return None

    def _open_markers(self, query: StreamQuery, stop: threading.Event) -> MarkerInlet:
        return MarkerInlet(resolve_stream(query, self._config.wait_s, stop), clocksync=self._clocksync)

    def pull(self, n_samples: int, timeout_s: float) -> tuple[FloatArray, npt.NDArray[np.float64], float]:
        """Wait for samples, see `LslInlet.pull`; raises StreamLost when the outlet is gone."""
        assert self._inlet is not None
        data, stamps_s, arrived_s = self._inlet.pull(n_samples, timeout_s)
        self._pulled += len(data)
        if len(data):
            self._silent_s = None
        elif self._player is not None and self._player.sent is not None and not self.at_end:
            self._end_incomplete(arrived_s)
        return data, stamps_s, arrived_s

    def _end_incomplete(self, now_s: float) -> None:
        """End a replay that was sent to its end and comes no more although some of it never came."""
        # Not since the newest sample: volumes come seconds apart, and the last may still be under way.
        self._silent_s = self._silent_s or now_s
        if now_s - self._silent_s > _DRAINED_S and self.info.n_samples is not None:
            self._drained = True
            n_lost = self.info.n_samples - self._pulled
            way = "; try a lower --speed" if self.info.speed > 1 else ""
            self.tell(
                "incomplete", f"{n_lost} of {self.info.n_samples} samples of the replay never arrived{way}"
            )

    def pull_markers(self, timeout_s: float) -> list[Marker]:
        """Wait for markers; a marker stream that is lost is looked for again."""
        if self._marker_inlet is None:
            time.sleep(timeout_s)
            return []
        try:
            return self._marker_inlet.pull(timeout_s)
        except StreamLost:
            if not self._markers_lost and not self.at_end:
                self._markers_lost = True
                self.tell("markers lost", "the marker stream is gone; windows run free until it is back")
            self._find_markers_again(self._marker_inlet)
            return []

    def _find_markers_again(self, lost: MarkerInlet) -> None:
        query = StreamQuery(source_id=lost.source_id) if lost.source_id else StreamQuery(name=lost.name)
        inlet = self._searches.the_one(query, MarkerInlet, self.tell, clocksync=self._clocksync)
        if inlet is not None:
            lost.close()
            self._marker_inlet = inlet
            self._markers_lost = False
            self.tell("markers back", f"markers come from {inlet.name!r} again")

    @property
    def at_end(self) -> bool:
        """Whether every sample of a replay that ends has been pulled, or no more of it comes."""
        return self._drained or (self.info.n_samples is not None and self._pulled >= self.info.n_samples)

    def reconnect(self, stop: threading.Event) -> bool:
        """Wait until the lost outlet is back and open it again.

        Returns
        -------
        bool
            False if `stop` was set first.

        Raises
        ------
        SessionError
            If it comes back with other channels or another rate, or if our own replay died.
        """
        info = self.info
        query = StreamQuery(source_id=info.source_id) if info.source_id else StreamQuery(info.name, info.type)
        while not stop.is_set():
            if self._player is not None and (code := self._player.poll()) is not None:
                raise SessionError(
                    f"The replay of {self._replay} ended after {self._pulled} of {info.n_samples} samples (exit code "
                    f"{code}). {self._player.error or 'Start it again.'}"
                )
            inlet = self._searches.the_one(query, LslInlet, self.tell, clocksync=self._clocksync)
            if inlet is not None:
                self._check_same(inlet)
                if self._inlet is not None:
                    self._inlet.close()
                self._inlet = inlet
                return True
        return False

    def _check_same(self, inlet: LslInlet) -> None:
        before, now = self.info, self._with_units(inlet.info)
        if now.channels != before.channels or now.sfreq_hz != before.sfreq_hz:
            names = {c.name for c in before.channels} ^ {c.name for c in now.channels}
            raise SessionError(
                f"{before.name!r} came back different: {len(before.channels)} ch @ {before.sfreq_hz:g} Hz before, "
                f"{len(now.channels)} ch @ {now.sfreq_hz:g} Hz now"
                f"{'; names that differ: ' + ', '.join(sorted(names)) if names else ''}. "
                "Set the amplifier as it was, and start the session again."
            )

    def close(self) -> None:
        """Release the streams and end a replay; later calls do nothing."""
        self._given_up.set()
        if self._connecting is not None:
            wait([self._connecting])
        self._searches.end()
        for inlet in (self._inlet, self._marker_inlet):
            if inlet is not None:
                inlet.close()
        if self._player is not None:
            self._player.close()
