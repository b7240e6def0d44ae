"""Which sample was when, and what another machine's clock reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, inf, sqrt
from typing import overload

import numpy as np
import numpy.typing as npt

from .line import Line, LinearClock, Times
from .shift import ShiftWatch

__all__ = ["ClockOffset", "LinearClock", "SampleClock"]


class ClockOffset:
    """Turns stamps of another machine's clock into times of this one, from probes of the offset.

    A probe counts from the first on. Two probes in a row that lie more than 10 ms off the line and agree with
    each other mean that a clock was set or a machine slept: the line starts anew. A remote clock that goes
    back means a reboot: it starts anew at once.

    Parameters
    ----------
    probe_noise_s : float
        Standard deviation of a probe. liblsl's are within about 0.2 ms.

    Attributes
    ----------
    jumps : int
        How often the line was started anew.
    """

    _JUMP_S = 0.010

    def __init__(self, probe_noise_s: float = 2e-4) -> None:
        self._noise_s = probe_noise_s
        # Quartz: mostly within 50 ppm, and wandering by about 1 ppm in ten minutes as the room warms.
        self._clock = LinearClock(slope=0.0, slope_sd=2e-5, level_walk=1e-6, slope_walk=4e-8)
        self._outlier: float | None = None
        self._newest_s = -inf
        self.jumps = 0

    @property
    def ready(self) -> bool:
        """Whether there was a probe."""
        return self._newest_s != -inf

    def add(self, remote_time_s: float, offset_s: float) -> None:
        """Take a probe.

        Parameters
        ----------
        remote_time_s : float
            Time of the probe on the other clock.
        offset_s : float
            This clock less the other one.
        """
        back = remote_time_s < self._newest_s - 1.0
        self._newest_s = remote_time_s
        error = offset_s - self._clock.predict(remote_time_s)
        limit = max(self._JUMP_S, 6 * sqrt(self._clock.variance(remote_time_s) + self._noise_s**2))
        if back or abs(error) > limit:
            agrees = self._outlier is not None and abs(offset_s - self._outlier) < self._JUMP_S
            if back or agrees:
                self._clock.anchor(remote_time_s, offset_s, self._noise_s)
                self.jumps += 1
            self._outlier = None if back or agrees else offset_s
            return
        self._outlier = None
        self._clock.update(remote_time_s, offset_s, self._noise_s)

    def correct(self, stamps_s: npt.ArrayLike) -> Times:
        """Return stamps of the other clock as times of this one.

        Parameters
        ----------
        stamps_s : array of shape (n,), float64
            Times on the other clock, in seconds.

        Returns
        -------
        array of shape (n,), float64
            Times on this machine's clock, in seconds; unchanged before the first probe.
        """
        stamps = np.asarray(stamps_s, dtype=np.float64)
        line = self._clock.line
        return stamps + (line.level + line.slope * (stamps - line.at))


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch without a break: from sample `start` on, the line from index to time."""

    start: int
    line: Line


class SampleClock:
    """Sample index <-> LSL time, robust to jitter and right again at once after a gap.

    The stream is cut into segments at its breaks. Within one, a `LinearClock` follows the stamps; the rate it
    has learnt is carried over a break, only the level is set anew. One thread feeds it, any may read.

    Parameters
    ----------
    rate_hz : float
        Samples per second of LSL time as declared; the true rate may be off by 0.5 %.

    Attributes
    ----------
    jitter_s : float
        Running robust standard deviation of a stamp about the line.

    Notes
    -----
    Stamps are taken in blocks of 50 ms (64 samples at most), and the line stays as it is in between, so
    everything derived from it is the same however the samples were cut into chunks. A segment has one line,
    the newest: times far back in a long segment follow today's rate.
    """

    _BLOCK_S = 0.05
    _MEMORY = 40  # blocks that noise is averaged over
    _LEARN = 64  # blocks at the start that are fitted together
    _NOISE_FLOOR_S = 2e-5  # corrected stamps step by this much at a probe of the offset
    _KEPT = 256  # segments

    def __init__(self, rate_hz: float) -> None:
        self.period_s = 1.0 / rate_hz
        self._block = min(64, max(1, round(self._BLOCK_S * rate_hz)))
        seconds = sqrt(self.period_s)  # random walks below are per square root of a second
        self._clock = LinearClock(
            slope=self.period_s,
            slope_sd=3e-3 * self.period_s,
            level_walk=3e-5 * seconds,
            slope_walk=1e-6 * self.period_s * seconds,
        )
        self._segments: tuple[_Segment, ...] = ()
        self._errors: list[Times] = []
        self._filled = 0
        self._n_blocks = 0
        self._watch = ShiftWatch(max(10, ceil(0.5 * rate_hz / self._block)))
        self._learning = True
        self._learn: list[tuple[float, float]] = []
        self._prior = (self.period_s, 3e-3 * self.period_s)
        self._noise_s = 0.0
        self.jitter_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether a sample was seen, so that times can be told."""
        return bool(self._segments)

    @property
    def room(self) -> int:
        """Number of further samples for which the line stays as it is."""
        return self._block - self._filled

    def begin(self, index: int, time_s: float, sd_s: float | None = None) -> None:
        """Start a segment: sample `index` was taken at `time_s`, give or take `sd_s`.

        Without `sd_s`, the jitter seen so far is taken.
        """
        self._close_block(index)
        # A stamp says little of the level before the jitter is known; a sample is a fair guess.
        sd_s = (
            max(self.jitter_s, 0.5 * self.period_s if not self._n_blocks else 0.0) if sd_s is None else sd_s
        )
        if self._learning and len(self._learn) < self._LEARN // 3:
            # Too little was seen to filter from; what it says of the rate is all that is kept.
            if len(self._learn) > 2:
                self._prior = (self._clock.line.slope, min(self._prior[1], self._clock.slope_sd))
            self._learn = []
        else:
            self._learning = False
        self._watch.clear()
        self._clock.anchor(float(index), time_s, sd_s)
        self._segments = (*self._segments[1 - self._KEPT :], _Segment(index, self._clock.line))

    def errors(self, index: int, stamps_s: Times) -> Times:
        """Return how much later than expected the samples from `index` on are stamped, in seconds."""
        line = self._clock.line
        # Sample by sample, so that the last bit does not depend on where a chunk begins.
        return stamps_s - (line.level + line.slope * (np.arange(index, index + len(stamps_s)) - line.at))

    def update(self, index: int, stamps_s: Times) -> None:
        """Take the stamps of the samples from `index` on, which follow on the last ones.

        Parameters
        ----------
        index : int
            Sample index of the first stamp.
        stamps_s : array of shape (n,), float64
            LSL times.
        """
        at = 0
        while at < len(stamps_s):
            part = stamps_s[at : at + self.room]
            self._errors.append(self.errors(index + at, part))
            self._filled += len(part)
            at += len(part)
            if self._filled == self._block:
                self._close_block(index + at)

    def _close_block(self, stop: int) -> None:
        if not self._filled:
            return
        errors = np.concatenate(self._errors)
        center = stop - (self._filled + 1) / 2
        self._errors, self._filled = [], 0
        limit = max(5 * self.jitter_s, 0.6 * self.period_s) if self._n_blocks else inf
        errors = np.clip(errors, -limit, limit)
        mean = float(errors.mean())
        self._n_blocks += 1
        weight = max(1 / self._n_blocks, 1 / self._MEMORY)
        self.jitter_s = sqrt(
            self.jitter_s**2 + weight * (float(errors @ errors) / len(errors) - self.jitter_s**2)
        )
        self._follow(center, mean)
        last = self._segments[-1]
        self._segments = (*self._segments[:-1], replace(last, line=self._clock.line))

    def _follow(self, center: float, error: float) -> None:
        y = self._clock.predict(center) + error
        if self._learning:
            self._learn.append((center, y))
            self._learning = len(self._learn) < self._LEARN
            x, level = np.array(self._learn).T
            self._noise_s = max(self._clock.fit(x, level, *self._prior), self._NOISE_FLOOR_S)
            return
        # The noise of a block's mean is learnt from its innovations: stamps err together within a chunk, so
        # it is not the jitter over the root of n. A wild innovation counts as one of 5 standard deviations.
        noise_var = self._noise_s**2
        total_var = noise_var + self._clock.variance(center)
        surprise = min(error * error / total_var, 25.0)
        self._noise_s = max(self._noise_s * sqrt(1 + (surprise - 1) / self._MEMORY), self._NOISE_FLOOR_S)
        self._clock.update(center, y, self._noise_s)
        step, noise_s = self._watch.add(error)
        if abs(step) > 0.6 * self.period_s:
            # A loss too small to be told from jitter, or packets that are under way for longer than before.
            since = max(self._segments[-1].start + 1, ceil(center) - self._watch.n_after * self._block)
            self.begin(since, self._clock.predict(since) + step, noise_s)

    def widen(self, jitter_s: float) -> None:
        """Learn at once that stamps scatter by at least `jitter_s`."""
        self.jitter_s = max(self.jitter_s, jitter_s)

    @overload
    def index_at(self, time_s: float) -> float: ...
    @overload
    def index_at(self, time_s: Times) -> Times: ...
    def index_at(self, time_s: float | Times) -> float | Times:
        """Return the sample index, with its fraction, at an LSL time.

        A time inside a lost span falls on the lost indices; where the clock was set back and a time occurred
        twice, the later one is meant.

        Parameters
        ----------
        time_s : float or array of float64
            LSL time on this machine's clock, in seconds.

        Raises
        ------
        RuntimeError
            If no sample was seen yet.
        """
        times = np.asarray(time_s, dtype=np.float64)
        index = np.empty(times.shape)
        for n, (segment, stop) in enumerate(self._spans()):
            line = segment.line
            mine = times >= line.y(segment.start) if n else np.ones(times.shape, dtype=bool)
            found = np.minimum(line.at + (times - line.level) / line.slope, stop)
            index = np.where(mine, found, index)
        return index if isinstance(time_s, np.ndarray) else float(index)

    @overload
    def time_at(self, index: float) -> float: ...
    @overload
    def time_at(self, index: Times) -> Times: ...
    def time_at(self, index: float | Times) -> float | Times:
        """Return the LSL time of a sample index, which may have a fraction, in seconds.

        Raises
        ------
        RuntimeError
            If no sample was seen yet.
        """
        indices = np.asarray(index, dtype=np.float64)
        times = np.empty(indices.shape)
        for n, (segment, _) in enumerate(self._spans()):
            line = segment.line
            mine = indices >= segment.start if n else np.ones(indices.shape, dtype=bool)
            times = np.where(mine, line.level + line.slope * (indices - line.at), times)
        return times if isinstance(index, np.ndarray) else float(times)

    def _spans(self) -> Iterator[tuple[_Segment, float]]:
        segments = self._segments
        if not segments:
            raise RuntimeError("No sample was seen yet, so no time is known.")
        yield from zip(segments, [*(float(s.start) for s in segments[1:]), inf], strict=True)
