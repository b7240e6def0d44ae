"""Play a recording as LSL streams as if it happened now: causal, markers on their samples."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.lsl import lsl_now, open_marker_outlet, open_outlet
from decode_stream.stream.recording import Recording, n_missing

from .player_config import PlayerConfig

__all__ = ["Player", "play"]

#: Seconds of signal read ahead from the recording in one go.
_BLOCK_S = 0.5


@dataclass(frozen=True, slots=True)
class _Run:
    """Samples [start, stop) without a gap between them; the first lies at `at` on the time line."""

    start: int
    stop: int
    at: int


def _runs(recording: Recording, start: int, loop: bool) -> tuple[list[_Run], int]:
    """Return the gapless pieces from `start` on, and the length of the time line with its gaps.

    A loop is played through breaks of unknown length as it is through its own end: it is there to keep a stream
    going, not to be scored.
    """
    breaks = [
        (gap.start, gap.n_lost if loop else n_missing(gap, recording.sfreq_hz))
        for gap in recording.gaps
        if start < gap.start < recording.n_samples
    ]
    runs, at, begin = [], 0, start
    for sample, n_lost in sorted(breaks):
        runs.append(_Run(begin, sample, at))
        at += sample - begin + n_lost
        begin = sample
    runs.append(_Run(begin, recording.n_samples, at))
    return runs, at + recording.n_samples - begin


class Player:
    """One recording as two LSL streams: its signal, and its markers if it has any.

    The streams can be found as soon as the player exists; nothing is sent before `run`. Sample i of the time
    line is stamped t0 + i / (sfreq_hz * speed), each sample with its own stamp, and a chunk is pushed once
    the LSL clock has reached its last stamp. A marker has its sample's very stamp and goes out right then.

    Parameters
    ----------
    recording : Recording
        What to play.
    config : PlayerConfig
        How to play it.

    Raises
    ------
    RecordingError
        If the recording is empty.
    UsageError
        If `start_s` lies behind its end.
    """

    def __init__(self, recording: Recording, config: PlayerConfig) -> None:
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
        self.recording = recording
        self.config = config
        self.rate_hz = recording.sfreq_hz * config.speed
        self.source_id = config.source_id
        self.name = config.name or recording.name
        self._runs, self._span = _runs(recording, self.start_sample, config.loop)
        self._marker_samples = [sample for sample, _ in recording.markers]
        self.marker_source_id = f"{config.source_id}-markers" if recording.markers else ""
        self._t0_s = 0.0
        self._n_sent = 0
        self._open()

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
            extras["n_samples"] = self.recording.n_samples - self.start_sample
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

    def run(self, stop: threading.Event) -> int:
        """Play until the end, or until `stop` is set.

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
        self._t0_s = lsl_now()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
            for start, at, data in self._blocks(reader):
                if not self._send(start, at, data, stop):
                    break
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
        n_block = max(self._n_chunk, int(_BLOCK_S * self.rate_hz) // self._n_chunk * self._n_chunk)
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

    @property
    def _n_chunk(self) -> int:
        return max(1, round(self.config.chunk_s * self.rate_hz))

    def _blocks(self, reader: ThreadPoolExecutor) -> Iterator[tuple[int, int, npt.NDArray[np.floating]]]:
        """Yield (first sample, its place on the time line, data); the next block is read meanwhile."""
        dtype = np.float32 if self.config.dtype == "float32" else np.float64

        def read(start: int, stop: int, at: int) -> tuple[int, int, npt.NDArray[np.floating]]:
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
            chunk = data[first : first + self._n_chunk]
            # One expression for every stamp, so that a marker's equals its sample's to the last bit.
            stamps_s = self._t0_s + np.arange(at + first, at + first + len(chunk)) / self.rate_hz
            begin = bisect_left(self._marker_samples, start + first)
            end = bisect_left(self._marker_samples, start + first + len(chunk))
            for sample, label in self.recording.markers[begin:end]:
                stamp_s = float(stamps_s[sample - start - first])
                if not _wait_until(stamp_s, stop):
                    return False
                assert self._markers is not None
                self._markers.push_sample([label], stamp_s)
            if not _wait_until(float(stamps_s[-1]), stop):
                return False
            self._signal.push_chunk(chunk, stamps_s.tolist())
            self._n_sent += len(chunk)
        return True

    def _linger(self, stop: threading.Event) -> None:
        """Stay until consumers have closed: what an outlet has not yet delivered dies with it."""
        deadline_s = lsl_now() + self.config.linger_s
        outlets = [outlet for outlet in (self._signal, self._markers) if outlet is not None]
        while any(outlet.have_consumers() for outlet in outlets) and lsl_now() < deadline_s:
            if stop.wait(0.02):
                return


def _stream_type(recording: Recording) -> str:
    kinds = {channel.type for channel in recording.channels}
    return "EEG" if "eeg" in kinds else "MEG" if kinds & {"mag", "grad"} else "Signal"


def _wait_until(time_s: float, stop: threading.Event) -> bool:
    while (left_s := time_s - lsl_now()) > 0:
        if stop.wait(left_s):
            return False
    return not stop.is_set()


def play(
    path: Path,
    config: PlayerConfig,
    stop: threading.Event,
    tell: Callable[[str], None],
    **reading: Any,
) -> int:
    """Open a recording and play it in this process; the work of ``decode-stream replay``.

    Parameters
    ----------
    path : Path
        Any recording that `open_recording` reads.
    config : PlayerConfig
        How to play it.
    stop : threading.Event
        Ends the replay.
    tell : callable
        Receives sentences for the user.
    **reading
        What else `open_recording` takes: ``marker_column``, ``modality``, ...

    Returns
    -------
    int
        Number of samples sent.

    Raises
    ------
    RecordingError, UsageError, StreamError
        As `open_recording` and `Player` do.
    """
    from .open import open_recording

    player = Player(open_recording(path, **reading), config)
    recording = player.recording
    tell(
        f"Replaying {recording.name}: {len(recording.channels)} channels at {player.rate_hz:g} Hz, "
        f"{recording.n_samples / recording.sfreq_hz:.1f} s, {len(recording.markers)} markers"
        + (f", {config.speed:g} times as fast as recorded" if config.speed != 1 else "")
        + (", looping" if config.loop else "")
        + f". Stream {player.name!r}, source_id {player.source_id}."
    )
    if config.wait_for_consumer:
        tell("Waiting for a consumer.")
    n_sent = player.run(stop)
    tell(f"{'Stopped' if stop.is_set() else 'Ended'} after {n_sent} samples.")
    return n_sent
