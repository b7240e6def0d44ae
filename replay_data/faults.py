"""What goes wrong in a laboratory, put into a replay on purpose, and counted."""

from dataclasses import dataclass, field
from math import isfinite

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError

__all__ = ["FaultInjector", "Faults"]

Times = npt.NDArray[np.float64]

#: Jitter is drawn from a normal distribution that is cut off at so many standard deviations.
_FARTHEST_SD = 3.0
#: Largest delay that a fault may cause. Seconds.
_LONGEST_S = 1e6


@dataclass(frozen=True, slots=True)
class Faults:
    """What is to go wrong in a replay. Times are those of the LSL clock, whatever the speed of the replay.

    Attributes
    ----------
    drop : float
        Fraction of the chunks that are never sent, each by itself: what a radio link or a full buffer does. The first
        and the last are always sent, so that every loss lies between samples that came. Markers are not dropped.
    jitter_ms : float
        Standard deviation of the error of a chunk's stamps, normal, cut off at three times as much. A chunk goes out
        when its stamps and its true time have passed. Markers keep their true time.
    clock_offset_s : float
        How much the clock that stamps both streams is ahead of LSL's on this machine. LSL's own correction compares
        machines and finds one here, so a consumer sees the stamps as they are: with an offset above 0, samples of the
        future. Signal and markers still fit, so trials are not affected; every figure of latency is off by it.
    clock_drift_ppm : float
        How much faster that clock runs, in parts per million: the rate seen is lower by as much than the declared one.
    stall : tuple of (float, float)
        (at, length) in seconds since the replay began: both streams are held up from `at` on, and what was held up
        comes at once after `length`, with its true stamps. Nothing is lost.
    permute_channels : bool
        Whether the channels are sent in another order, drawn at random, under their names.
    marker_jitter_ms : float
        Standard deviation of the error of the markers' stamps, as of `jitter_ms`: what a stimulus program without a
        photodiode does. The signal, and a trigger channel in it, is not affected.
    seed : int
        Of everything random; each fault draws from numbers of its own.

    Raises
    ------
    UsageError
        If a number makes no sense.
    """

    drop: float = 0.0
    jitter_ms: float = 0.0
    clock_offset_s: float = 0.0
    clock_drift_ppm: float = 0.0
    stall: tuple[tuple[float, float], ...] = field(default=())
    permute_channels: bool = False
    marker_jitter_ms: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.drop < 1:
            raise UsageError(f"--drop is {self.drop:g}; it is a fraction, from 0 to below 1.")
        for word, value in (("jitter", self.jitter_ms), ("marker-jitter", self.marker_jitter_ms)):
            if not 0 <= value <= 1e3 * _LONGEST_S:
                raise UsageError(f"--{word}-ms is {value:g}; it must be 0 or more milliseconds.")
        if not isfinite(self.clock_offset_s):
            raise UsageError(f"--clock-offset-s is {self.clock_offset_s:g}; it must be a number of seconds.")
        if not abs(self.clock_drift_ppm) <= 1e5:
            raise UsageError(
                f"--clock-drift-ppm is {self.clock_drift_ppm:g}; it lies between -100000 and 100000. The clocks of "
                "computers differ by 10 to 100."
            )
        for at_s, length_s in self.stall:
            if not (0 <= at_s <= _LONGEST_S and 0 < length_s <= _LONGEST_S):
                raise UsageError(
                    f"--stall is {at_s:g}:{length_s:g}; it begins at 0 s or later and lasts for more than 0 s."
                )
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; it must be 0 or more.")

    def told(self) -> tuple[str, ...]:
        """Return what goes wrong, in phrases."""
        words = []
        if self.drop:
            words.append(f"{100 * self.drop:g} % of the chunks are dropped")
        if self.jitter_ms:
            words.append(f"stamps err by {self.jitter_ms:g} ms (standard deviation)")
        if self.clock_offset_s:
            words.append(f"the clock is off by {self.clock_offset_s:g} s")
        if self.clock_drift_ppm:
            words.append(f"the clock drifts by {self.clock_drift_ppm:g} ppm")
        words += [f"a stall of {length_s:g} s at {at_s:g} s" for at_s, length_s in self.stall]
        if self.permute_channels:
            words.append("the channels are permuted")
        if self.marker_jitter_ms:
            words.append(f"markers err by {self.marker_jitter_ms:g} ms (standard deviation)")
        return tuple(words)

    def n_dropped(self, sizes: npt.NDArray[np.int64]) -> int:
        """Return how many samples of chunks of these sizes a replay that ends will drop."""
        dropped = self._generator("drop").random(len(sizes)) < self.drop
        dropped[[0, -1]] = False
        return int(sizes[dropped].sum())

    def _generator(self, fault: str) -> np.random.Generator:
        return np.random.default_rng((self.seed, *fault.encode()))


class FaultInjector:
    """Puts faults into one replay, chunk by chunk, and counts them.

    Parameters
    ----------
    faults : Faults
        What goes wrong.
    n_chunks : int or None
        Chunks of the whole replay; None if it does not end.

    Attributes
    ----------
    dropped_chunks, dropped_samples, moved_chunks, moved_markers, held_up : int
        What was done so far: chunks and samples never sent, chunks and markers with a wrong stamp, chunks and markers
        that a stall held up.
    """

    def __init__(self, faults: Faults, n_chunks: int | None) -> None:
        self.faults = faults
        self._last = None if n_chunks is None else n_chunks - 1
        self._n_seen = 0
        self._t0_s = 0.0
        self._drops, self._errors, self._marker_errors = (
            faults._generator(fault) for fault in ("drop", "jitter", "marker jitter")
        )
        self.dropped_chunks = self.dropped_samples = 0
        self.moved_chunks = self.moved_markers = self.held_up = 0

    def begin(self, t0_s: float) -> None:
        """Say when the replay begins: stalls and drift count from then on."""
        self._t0_s = t0_s

    def drops(self, n_samples: int) -> bool:
        """Return whether the next chunk is dropped."""
        place = self._n_seen
        self._n_seen += 1
        if not self.faults.drop or not self._drops.random() < self.faults.drop or place in (0, self._last):
            return False
        self.dropped_chunks += 1
        self.dropped_samples += n_samples
        return True

    def chunk(self, true_s: Times) -> tuple[Times, float]:
        """Return the stamps of the next chunk, and when it may go out.

        Parameters
        ----------
        true_s : array of shape (n_samples,), float64
            LSL times at which its samples are due.
        """
        stamps_s = true_s
        if self.faults.jitter_ms:
            stamps_s = true_s + self._error_s(self._errors, self.faults.jitter_ms)
            self.moved_chunks += 1
        due_s = self._held(max(float(true_s[-1]), float(stamps_s[-1])))
        return self._on_clock(stamps_s), due_s

    def marker(self, true_s: float) -> tuple[float, float]:
        """Return the stamp of the next marker, and when it may go out."""
        stamp_s = true_s
        if self.faults.marker_jitter_ms:
            stamp_s = true_s + self._error_s(self._marker_errors, self.faults.marker_jitter_ms)
            self.moved_markers += 1
        return float(self._on_clock(np.array([stamp_s]))[0]), self._held(stamp_s)

    @staticmethod
    def _error_s(generator: np.random.Generator, sd_ms: float) -> float:
        return 1e-3 * sd_ms * float(np.clip(generator.standard_normal(), -_FARTHEST_SD, _FARTHEST_SD))

    def _held(self, due_s: float) -> float:
        for at_s, length_s in sorted(self.faults.stall):
            begin_s = self._t0_s + at_s
            if begin_s <= due_s < begin_s + length_s:
                self.held_up += 1
                return begin_s + length_s
        return due_s

    def _on_clock(self, times_s: Times) -> Times:
        offset_s, drift_ppm = self.faults.clock_offset_s, self.faults.clock_drift_ppm
        if not offset_s and not drift_ppm:
            return times_s
        return times_s + offset_s + 1e-6 * drift_ppm * (times_s - self._t0_s)

    def counted(self) -> tuple[str, ...]:
        """Return what was done, in phrases."""
        faults, words = self.faults, []
        if faults.drop:
            words.append(f"{self.dropped_samples} samples in {self.dropped_chunks} chunks dropped")
        if faults.jitter_ms:
            words.append(f"{self.moved_chunks} chunks with wrong stamps")
        if faults.marker_jitter_ms:
            words.append(f"{self.moved_markers} markers with wrong stamps")
        if faults.stall:
            words.append(f"{self.held_up} chunks and markers held up")
        return tuple(words)
