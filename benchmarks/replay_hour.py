"""Replay an hour over LSL, as fast as the clock allows, and check every sample and every marker that arrives.

``python -m benchmarks.replay_hour`` finds the highest speed at which samples still arrive within a tenth of a second,
and replays the hour at that speed. It ends with code 1 if a sample is lost, if anything arrives before its stamp, or if
a marker is off its sample, by its stamp or by the clock that a session places it with.
"""

import argparse
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.player import Player
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.stream.continuity import Continuity
from decode_stream.stream.lsl import LslInlet, MarkerInlet, StreamQuery, lsl_now, quiet_liblsl, resolve_stream
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Chunk, FloatArray, Gap

from .machine import machine

__all__ = ["Outcome", "RampRecording", "replay"]

_SPEEDS = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0)
#: Length of a pilot, in seconds of the clock.
_PILOT_S = 5.0
#: A replay is as fast as the clock allows while 99 % of its samples arrive within this. Seconds.
_LATE_S = 0.1
_START_TIMEOUT_S = 60.0
_SILENT_S = 20.0


@dataclass(frozen=True)
class RampRecording:
    """A recording of any length whose first channel carries the sample number, with a picture every 200 ms."""

    length_s: float
    n_channels: int = 63
    sfreq_hz: float = 250.0
    name: str = "hour"
    epoch: None = None
    gaps: tuple[()] = ()
    notes: tuple[()] = ()
    markers: tuple[tuple[int, str], ...] = field(init=False)
    stimuli: StimulusTable = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        onsets = np.arange(round(0.5 * self.sfreq_hz), self.n_samples, round(0.2 * self.sfreq_hz))
        onsets = np.unique(np.minimum(onsets + rng.integers(0, 9, len(onsets)), self.n_samples - 1))
        object.__setattr__(self, "stimuli", StimulusTable(onsets, onsets))
        object.__setattr__(self, "markers", self.stimuli.markers())

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Channels, all in microvolts."""
        return tuple(Channel(f"C{i:03}", "eeg", "uV") for i in range(self.n_channels))

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return round(self.length_s * self.sfreq_hz)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), float32."""
        numbers = np.arange(start, stop)
        data = np.sin(numbers[:, None] * np.linspace(0.01, 1, self.n_channels), dtype=np.float32)
        data[:, 0] = numbers
        return data


@dataclass(frozen=True)
class Outcome:
    """What arrived of a replay.

    Attributes
    ----------
    took_s : float
        From the first sample to the last.
    n_samples, n_lost, n_wrong : int
        Samples that came; that did not; that are counted with another index than their own.
    n_early : int
        Samples and markers in hand before their stamp.
    late_ms : tuple of float
        Median, 99th percentile and maximum of how long after its stamp the newest sample of each pull was in hand.
    n_markers, n_markers_lost, n_markers_off, n_markers_misplaced : int
        Markers that came; that did not; that have not their sample's very stamp; that the sample clock puts on another
        sample.
    """

    took_s: float
    n_samples: int
    n_lost: int
    n_wrong: int
    n_early: int
    late_ms: tuple[float, float, float]
    n_markers: int
    n_markers_lost: int
    n_markers_off: int
    n_markers_misplaced: int

    @property
    def sound(self) -> bool:
        """Whether everything came, in time and in place."""
        return not (
            self.n_lost
            or self.n_wrong
            or self.n_early
            or self.n_markers_lost
            or self.n_markers_off
            or self.n_markers_misplaced
        )


@contextmanager
def _playing(recording: RampRecording, config: PlayerConfig) -> Iterator[str]:
    """Play in a process of its own while the block runs; gives the source_id of the markers."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_play, args=(recording, config, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(_START_TIMEOUT_S):
            raise RuntimeError(f"The player did not start within {_START_TIMEOUT_S:g} s.")
        yield ours.recv()
    finally:
        ours.close()
        process.join(2.0)
        if process.is_alive():
            process.terminate()
            process.join()


def _play(recording: RampRecording, config: PlayerConfig, parent: Connection) -> None:
    quiet_liblsl()
    player = Player(recording, config)
    parent.send(player.marker_source_id)
    player.run(threading.Event())


def replay(recording: RampRecording, speed: float) -> Outcome:
    """Replay a recording over LSL in another process, and check what arrives here.

    Parameters
    ----------
    recording : RampRecording
    speed : float
        How many times faster than recorded.

    Raises
    ------
    RuntimeError
        If nothing comes any more before the end.
    """
    source_id = f"replay-hour-{uuid.uuid4()}"
    config = PlayerConfig(source_id=source_id, speed=speed, wait_for_consumer=True, linger_s=_SILENT_S)
    with _playing(recording, config) as marker_source_id:
        markers = MarkerInlet(resolve_stream(StreamQuery(source_id=marker_source_id), 10))
        signal = LslInlet(resolve_stream(StreamQuery(source_id=source_id), 10))
        outcome = _Check(recording, speed).run(signal, markers)
        signal.close()
        markers.close()
    return outcome


class _Check:
    """Receives a replay to its end."""

    def __init__(self, recording: RampRecording, speed: float) -> None:
        self._recording = recording
        self._continuity = Continuity(recording.sfreq_hz, speed)
        self._stamps_s: list[npt.NDArray[np.float64]] = []
        self._values: list[FloatArray] = []
        self._late_s: list[float] = []
        self._n_early = 0
        self._markers: list[tuple[float, int]] = []
        self._to_place: list[tuple[float, int]] = []
        self._n_misplaced = self._n_wrong = 0

    def run(self, signal: LslInlet, markers: MarkerInlet) -> Outcome:
        """Receive all that comes; return what it was."""
        n, n_markers = 0, len(self._recording.markers)
        heard_s = began_s = lsl_now()
        while n < self._recording.n_samples or len(self._markers) < n_markers:
            data, stamps_s, arrived_s = signal.pull(1, drain=True)
            if len(data):
                began_s = began_s if n else arrived_s
                n, heard_s = n + len(data), arrived_s
                self._take(data, stamps_s, arrived_s)
            self._take_markers(markers)
            if lsl_now() - heard_s > _SILENT_S:
                break
        self._count(self._continuity.flush())
        self._place()
        return self._outcome(heard_s - began_s)

    def _take(self, data: FloatArray, stamps_s: npt.NDArray[np.float64], arrived_s: float) -> None:
        self._n_early += int(np.count_nonzero(stamps_s > arrived_s))
        self._late_s.append(arrived_s - float(stamps_s[-1]))
        self._stamps_s.append(stamps_s)
        self._values.append(data[:, 0].copy())
        self._count(self._continuity.admit(data[:, :1], stamps_s, arrived_s))
        self._place()

    def _count(self, pieces: Iterable[Chunk | Gap]) -> None:
        for piece in pieces:
            if isinstance(piece, Chunk):
                own = np.arange(piece.start, piece.stop)
                self._n_wrong += int(np.count_nonzero(piece.data[:, 0] != own))

    def _take_markers(self, markers: MarkerInlet) -> None:
        for marker in markers.pull(0.0):
            self._n_early += marker.time_s > marker.arrived_s
            self._markers.append((marker.time_s, int(marker.label)))
            self._to_place.append(self._markers[-1])

    def _place(self) -> None:
        """Place the markers whose sample has come, as a session does: with the clock as it is then."""
        received = self._continuity.received + self._continuity.lost
        waiting = []
        for time_s, sample in self._to_place:
            if sample >= received:
                waiting.append((time_s, sample))
            else:
                at = int(np.floor(self._continuity.clock.index_at(time_s) + 0.5))
                self._n_misplaced += at != sample
        self._to_place = waiting

    def _outcome(self, took_s: float) -> Outcome:
        stamps_s, values = np.concatenate(self._stamps_s), np.concatenate(self._values)
        times_s, samples = np.array(self._markers).reshape(-1, 2).T
        at = np.minimum(np.searchsorted(stamps_s, times_s), len(stamps_s) - 1)
        off = (stamps_s[at] != times_s) | (values[at] != samples)
        late_ms = 1e3 * np.array(self._late_s)
        return Outcome(
            took_s=took_s,
            n_samples=len(values),
            n_lost=self._recording.n_samples - len(values),
            n_wrong=self._n_wrong,
            n_early=self._n_early,
            late_ms=(*np.percentile(late_ms, (50, 99)).tolist(), float(late_ms.max())),
            n_markers=len(times_s),
            n_markers_lost=len(self._recording.markers) - len(times_s),
            n_markers_off=int(np.count_nonzero(off)),
            n_markers_misplaced=self._n_misplaced + len(self._to_place),
        )


def _highest_speed(n_channels: int, sfreq_hz: float) -> float:
    """Return the highest speed at which a pilot keeps up with the clock."""
    best = _SPEEDS[0]
    for speed in _SPEEDS:
        outcome = replay(RampRecording(_PILOT_S * speed, n_channels, sfreq_hz), speed)
        print(f"Pilot at {speed:g} times the speed: {_words(outcome)}", flush=True)
        if not outcome.sound or outcome.late_ms[1] > 1e3 * _LATE_S:
            break
        best = speed
    return best


def _words(outcome: Outcome) -> str:
    p50, p99, most = outcome.late_ms
    return (
        f"{outcome.n_samples} samples in {outcome.took_s:.1f} s, {outcome.n_lost} lost, {outcome.n_wrong} misplaced; "
        f"{outcome.n_markers} markers, {outcome.n_markers_lost} lost, {outcome.n_markers_off} off their sample's "
        f"stamp, {outcome.n_markers_misplaced} off their sample by the clock; {outcome.n_early} before their stamp; in "
        f"hand {p50:.1f} ms after the stamp (p99 {p99:.1f}, longest {most:.1f})."
    )


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length-s", type=float, default=3600.0, help="length of the recording [s]")
    parser.add_argument("--channels", type=int, default=63)
    parser.add_argument("--sfreq-hz", type=float, default=250.0)
    parser.add_argument("--speed", type=float, help="instead of the highest that the clock allows")
    given = parser.parse_args()
    quiet_liblsl()
    print("\n".join(f"{name}: {value}" for name, value in machine().items()))
    speed = given.speed or _highest_speed(given.channels, given.sfreq_hz)
    outcome = replay(RampRecording(given.length_s, given.channels, given.sfreq_hz), speed)
    print(
        f"Summary: {'sound' if outcome.sound else 'NOT SOUND'}: {given.length_s / 3600:g} h of {given.channels} ch @ "
        f"{given.sfreq_hz:g} Hz at {speed:g} times the speed: {_words(outcome)}"
    )
    return 0 if outcome.sound else 1


if __name__ == "__main__":
    sys.exit(main())
