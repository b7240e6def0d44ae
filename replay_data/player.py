"""Play a recording as LSL streams as if it happened now: causal, markers on their samples."""

import heapq
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.lsl import lsl_now, open_marker_outlet, open_outlet
from decode_stream.stream.recording import Recording

from .faults import FaultInjector
from .outgoing import PermutedRecording, TriggerRecording, marker_texts
from .player_config import PlayerConfig
from .timeline import runs_of

__all__ = ["Player"]

#: Seconds of LSL time, and values, that are read ahead from the recording in one go; at least one chunk.
_BLOCK_S = 0.5
_BLOCK_VALUES = 2**22

_PAUSE_STEP_S = 0.02

_Block = tuple[int, int, npt.NDArray[np.floating]]


class Player:
    """One recording as two LSL streams: its signal, and its markers if it has any.

    The streams can be found as soon as the player exists; nothing is sent before `run`. Sample i of the time
    line is stamped t0 + i / (sfreq_hz * speed), each sample with its own stamp, and a chunk is pushed once
    the LSL clock has reached its last stamp. A marker has its sample's very stamp, or that of its onset between two
    volumes, and goes out right then. Only the faults that `config` asks for change any of this.

    Parameters
    ----------
    recording : Recording
        What to play.
    config : PlayerConfig
        How to play it.
    tell : callable, optional
        Receives sentences for the user.

    Attributes
    ----------
    recording : Recording
        What is sent: with the trigger channel, and permuted, if that is asked for.
    faults : FaultInjector
        What went wrong on purpose so far.

    Raises
    ------
    RecordingError
        If the recording is empty.
    UsageError
        If `start_s` lies behind its end, or it has nothing that a trigger channel could rise at.
    """

    def __init__(
        self, recording: Recording, config: PlayerConfig, tell: Callable[[str], None] = lambda text: None
    ) -> None:
        if recording.n_samples < 1:
            raise RecordingError(
                f"Recording {recording.name!r} holds no samples; there is nothing to replay."
            )
        length_s = recording.n_samples / recording.sfreq_hz
        self.start_sample = int(np.floor(config.start_s * recording.sfreq_hz + 0.5))
        if self.start_sample >= recording.n_samples:
            raise UsageError(
                f"Recording {recording.name!r} is {length_s:.3f} s long and cannot start at "
                f"{config.start_s:g} s. Give --start-s a value below {length_s:.3f}."
            )
        if config.trigger_channel:
            recording = TriggerRecording(recording, config.trigger_channel)
        if config.faults.permute_channels:
            recording = PermutedRecording(recording, config.faults.seed)
        self.recording = recording
        self.config = config
        self.rate_hz = recording.sfreq_hz * config.speed
        self.source_id = config.source_id
        self.name = config.name or recording.name
        self._tell = tell
        self._n_chunk = max(1, round(config.chunk_s * self.rate_hz))
        self._runs, self._span = runs_of(recording, self.start_sample, config.loop)
        self._marker_samples = [sample for sample, _ in recording.markers]
        self._marker_texts = marker_texts(recording, config.marker_format)
        table = recording.stimuli
        rows = table.rows_of(recording.markers)
        self._behind_s = [  # how far its sample, in seconds of LSL time
            (table.onset_at(sample, row) - sample) / self.rate_hz
            for sample, row in zip(self._marker_samples, rows, strict=True)
        ]
        self.marker_source_id = f"{config.source_id}-markers" if recording.markers else ""
        self._waiting: list[tuple[float, int, float, str]] = []  # due, number, stamp, text
        self._n_markers = 0
        self._t0_s = 0.0
        self._n_sent = 0
        self._paused = False
        self.faults = FaultInjector(config.faults, None if config.loop else len(self._chunk_sizes()))
        self._open()

    def _chunk_sizes(self) -> npt.NDArray[np.int64]:
        n = self._n_chunk
        sizes = [min(n, run.stop - first) for run in self._runs for first in range(run.start, run.stop, n)]
        return np.array(sizes, dtype=np.int64)

    def _open(self) -> None:
        extras: dict[str, object] = {
            "speed": repr(self.config.speed),
            "loop": "true" if self.config.loop else "false",
            "start_sample": self.start_sample,
            "marker_source_id": self.marker_source_id,
        }
        if self.config.loop:
            extras["loop_samples"] = self._span
        else:
            n_dropped = self.config.faults.n_dropped(self._chunk_sizes()) if self.config.faults.drop else 0
            extras["n_samples"] = self.recording.n_samples - self.start_sample - n_dropped
        self._markers = (
            open_marker_outlet(f"{self.name}-markers", self.marker_source_id)
            if self.marker_source_id
            else None
        )
        self._signal = open_outlet(
            self.name,
            self.config.type or _stream_type(self.recording),
            self.recording.channels,
            self.rate_hz,
            self.source_id,
            self.config.dtype,
            extras,
        )

    @property
    def paused(self) -> bool:
        """Whether the replay rests, or will after the chunk that is due next."""
        return self._paused

    def pause(self) -> None:
        """Rest after the chunk that is due next, as an amplifier that is stopped; safe from any thread or signal."""
        self._paused = True

    def resume(self) -> None:
        """Go on with the next sample, which is taken now; safe from any thread or signal.

        The recording loses nothing, but the stamps jump by the length of the rest: a consumer finds as many samples
        missing as would have fitted in.
        """
        self._paused = False

    def run(self, stop: threading.Event, sent: Callable[[int], None] = lambda n_sent: None) -> int:
        """Play until the end, or until `stop` is set.

        Parameters
        ----------
        stop : threading.Event
        sent : callable, optional
            Is told the number of samples when all are sent, before consumers are waited for.

        Returns
        -------
        int
            Number of samples sent.

        Raises
        ------
        StreamError
            If a consumer was to be waited for and none came.
        """
        if self.config.wait_for_consumer and not self._wait_for_consumers(stop):
            return 0
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
            for start, at, data in self._blocks(reader):
                if not self._t0_s:
                    # Not before there is something to send: to read the first block may take a while.
                    self._t0_s = lsl_now()
                    self.faults.begin(self._t0_s)
                if not self._send(start, at, data, stop):
                    break
        self._send_markers(float("inf"), stop)
        sent(self._n_sent)
        self._linger(stop)
        return self._n_sent

    def _wait_for_consumers(self, stop: threading.Event) -> bool:
        deadline_s = lsl_now() + self.config.wait_s
        for what, outlet in (("signal", self._signal), ("markers", self._markers)):
            while outlet is not None and not outlet.wait_for_consumers(0.1):
                if stop.is_set():
                    return False
                if lsl_now() > deadline_s:
                    raise StreamError(
                        f"Nobody listened to the {what} of {self.name!r} within {self.config.wait_s:g} s. "
                        "Start the consumer, or replay without waiting for one."
                    )
        return True

    def _places(self) -> Iterator[tuple[int, int, int]]:
        """Yield (start, stop, place on the time line) of blocks to read, in order, for ever if looping."""
        most = min(_BLOCK_S * self.rate_hz, _BLOCK_VALUES / len(self.recording.channels))
        n_block = max(1, int(most) // self._n_chunk) * self._n_chunk
        for turn in count():
            for run in self._runs:
                for start in range(run.start, run.stop, n_block):
                    yield (
                        start,
                        min(start + n_block, run.stop),
                        turn * self._span + run.at + start - run.start,
                    )
            if not self.config.loop:
                return

    def _blocks(self, reader: ThreadPoolExecutor) -> Iterator[_Block]:
        """Yield (first sample, its place on the time line, data); the next block is read meanwhile."""
        dtype = np.float32 if self.config.dtype == "float32" else np.float64

        def read(start: int, stop: int, at: int) -> _Block:
            return start, at, np.ascontiguousarray(self.recording.read(start, stop), dtype)

        places = self._places()
        coming = reader.submit(read, *next(places))
        for place in places:
            ready, coming = coming.result(), reader.submit(read, *place)
            yield ready
        yield coming.result()

    def _send(self, start: int, at: int, data: npt.NDArray[np.floating], stop: threading.Event) -> bool:
        """Push one block chunk by chunk, each when it is due; False if stopped."""
        for first in range(0, len(data), self._n_chunk):
            if self._paused:
                self._rest(at + first, stop)
            chunk = data[first : first + self._n_chunk]
            # One expression for every stamp, so that a marker's equals its sample's to the last bit.
            true_s = self._t0_s + np.arange(at + first, at + first + len(chunk)) / self.rate_hz
            begin = bisect_left(self._marker_samples, start + first)
            end = bisect_left(self._marker_samples, start + first + len(chunk))
            for place in range(begin, end):
                sample_s = float(true_s[self._marker_samples[place] - start - first])
                self._take_marker(place, sample_s + self._behind_s[place])
            stamps_s, due_s = self.faults.chunk(true_s)
            if not self._send_markers(due_s, stop) or not _wait_until(due_s, stop):
                return False
            if not self.faults.drops(len(chunk)):
                self._signal.push_chunk(chunk, stamps_s.tolist())
                self._n_sent += len(chunk)
        return True

    def _take_marker(self, place: int, true_s: float) -> None:
        stamp_s, due_s = self.faults.marker(true_s)
        heapq.heappush(self._waiting, (due_s, self._n_markers, stamp_s, self._marker_texts[place]))
        self._n_markers += 1

    def _send_markers(self, until_s: float, stop: threading.Event) -> bool:
        """Push the markers that are due by a time, each when it is; False if stopped."""
        while self._waiting and self._waiting[0][0] <= until_s:
            due_s, _, stamp_s, text = heapq.heappop(self._waiting)
            if not _wait_until(due_s, stop):
                return False
            assert self._markers is not None
            self._markers.push_sample([text], stamp_s)
        return True

    def _rest(self, at: int, stop: threading.Event) -> None:
        """Wait until the replay is resumed; sample `at` of the time line is then due now."""
        self._tell(f"Paused after {self._n_sent} samples.")
        began_s = lsl_now()
        while self._paused and not stop.wait(_PAUSE_STEP_S):
            pass
        now_s = lsl_now()
        self._t0_s += max(0.0, now_s - (self._t0_s + at / self.rate_hz))
        self._tell(f"{'Stopped' if stop.is_set() else 'Resumed'} after a rest of {now_s - began_s:.1f} s.")

    def _linger(self, stop: threading.Event) -> None:
        """Stay until consumers have closed: what an outlet has not yet delivered dies with it."""
        deadline_s = lsl_now() + self.config.linger_s
        outlets = [outlet for outlet in (self._signal, self._markers) if outlet is not None]
        if not stop.is_set() and any(outlet.have_consumers() for outlet in outlets):
            self._tell(f"All is sent; waiting for consumers to read it, {self.config.linger_s:g} s at most.")
        while any(outlet.have_consumers() for outlet in outlets) and lsl_now() < deadline_s:
            if stop.wait(0.02):
                return


def _stream_type(recording: Recording) -> str:
    kinds = {channel.type for channel in recording.channels}
    if "eeg" in kinds:
        return "EEG"
    return "MEG" if kinds & {"mag", "grad"} else "FMRI" if "voxel" in kinds else "Signal"


def _wait_until(time_s: float, stop: threading.Event) -> bool:
    while (left_s := time_s - lsl_now()) > 0:
        if stop.wait(left_s):
            return False
    return not stop.is_set()
