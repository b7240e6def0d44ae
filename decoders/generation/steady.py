"""Steady pictures from a stream of beliefs: what to draw of them, and whether to draw at all.

Beliefs from windows of 100 ms come 40 times a second, and each errs anew. What is drawn is their mean since the
stimulus changed, so that a picture is still while the evidence says the same, and new as soon as it says something
else. Only what is drawn is averaged: what is recorded and scored are the beliefs as they came.
"""

from dataclasses import dataclass
from math import acos, exp, isfinite, pi, sin, sqrt
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import GeneratorError

from .condition import EmbeddingBelief, PictureModel
from .decoder_noise import DecoderNoise

__all__ = ["Steadied", "SteadyBelief", "slerp"]

Array: TypeAlias = npt.NDArray[np.float64]

#: Longest time constant of the mean.
_LONGEST_S = 2.0
#: Noise that may stay in the mean, relative to the signal: squared tangent of the angle between them.
_TOLERANCE = 0.02
#: Standard deviations by which a belief may be off before it counts against the mean.
_DEAD_BAND = 1.25
#: To what beliefs that are off have to add up, in standard deviations times window lengths: where no trial is told, and
#: within one, as changes are told of then. And what one of them adds at most.
_CHANGE, _CHANGE_WITHIN, _AT_MOST = 2.0, 4.0, 1.25
#: How much less beliefs count that knew less than a later one: the power of the ratio.
_REPLACES = 4
#: Less than this is not left open, in what a belief knows.
_LEAST_OPEN = 1e-3
#: How far a belief moves before it is drawn again: of the spread of pictures, and of an open share.
_MOVED = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Steadied:
    """What to make of a belief.

    Attributes
    ----------
    belief : EmbeddingBelief
        What is to be drawn.
    draw : bool
        Whether it has moved since it was last to be drawn: if not, the picture that was drawn then still holds.
    change : {"", "onset", "detected"}
        Whether what was before is forgotten: another trial has begun, or the beliefs are those of another stimulus.
    """

    belief: EmbeddingBelief
    draw: bool
    change: Literal["", "onset", "detected"]


@dataclass(frozen=True, slots=True, eq=False)
class _Mean:
    """A mean of beliefs: where on the sphere, how far out and how open, and what counts for these.

    `weight` is the time that counts for the direction, times length, and `time_s` that for the others; `known` is the
    most that one of its beliefs knew: what it settled relative to what it left open.
    """

    direction: Array
    length: float
    open_share: Array
    weight: float
    time_s: float
    known: float


class SteadyBelief:
    """The mean of the beliefs since the stimulus changed, and whether it is worth another picture.

    A belief's mean is taken apart into direction and length, both from the pictures' mean: the direction is averaged on
    the unit sphere (slerp), each by its length, as a belief that says little is near the pictures' mean in any
    direction. Length and open shares are averaged over time.

    The mean is a plain one at first and forgets with a time constant after a while. That is as long as the noise asks
    for: over T seconds the noise of windows of length L goes down to about 1 / (1 + T / L), and T is such that it is at
    most a fiftieth of the signal, or 2 s; where there is no noise T is 0, and beliefs go through as they are.

    A belief that knows more than all before it rests on their evidence as well, as within a trial, and largely replaces
    them: they count by the fourth power of what they knew relative to it.

    A new trial begins anew with its first belief. Where no trial is told, or what is seen changes within one, a change
    is detected: beliefs are expected to lie at a certain angle from the mean, by noise (see `DecoderNoise`). How far
    they are beyond, in standard deviations less a dead band, adds up (Page, Biometrika 1954: CUSUM); the mean of those
    that added up takes the other's place when it is enough. No single belief is, and within a trial it takes twice as
    much.

    The same beliefs at the same times give the same, and no belief of later is used.

    Parameters
    ----------
    pictures : PictureModel
        The generator's.
    window_s : float
        Length of the windows that beliefs are decoded from: windows that are nearer than this share noise.
    """

    def __init__(self, pictures: PictureModel, window_s: float = 0.1) -> None:
        if not window_s > 0:
            raise ValueError(f"A window has a length above 0, not {window_s} s.")
        self._center = pictures.mean.astype(np.float64)
        self._scale = sqrt(float(np.trace(pictures.covariance)))
        self._window_s = window_s
        self._noise = DecoderNoise(window_s)
        self._mean: _Mean | None = None
        self._other: _Mean | None = None
        self._against = 0.0
        self._newest: tuple[float, Array] = (-np.inf, np.zeros_like(self._center))
        self._trial: int | None = None
        self._drawn: EmbeddingBelief | None = None

    @property
    def noise_share(self) -> float:
        """Measured share of noise in a belief's direction; 1 until enough was seen to tell."""
        return self._noise.share

    def add(self, belief: EmbeddingBelief, time_s: float, trial: int | None = None) -> Steadied:
        """Return what to draw now that a belief has come.

        Parameters
        ----------
        belief : EmbeddingBelief
            Of one picture.
        time_s : float
            End of its window, in seconds of the recording; later than that of the belief before.
        trial : int or None
            Number of the trial it belongs to. Of trials that overlap give those of one alone: each change of the number
            begins anew. None is no news: it goes on with what is there.

        Raises
        ------
        GeneratorError
            If the belief has numbers that are not finite; what is there stays as it is.
        ValueError
            If the belief is not of one picture of this dimension, or not later than the one before.
        """
        sample = self._sample(belief)
        step_s = time_s - self._newest[0]
        if not (step_s > 0 and isfinite(time_s)):
            raise ValueError(f"Beliefs come in order of time; {time_s} s comes after {self._newest[0]} s.")
        change: Literal["", "onset", "detected"] = ""
        if self._mean is None or (trial is not None and trial != self._trial):
            self._begin(sample)
            change = "onset"
        else:
            self._measure(sample, step_s, time_s)
            enough = _CHANGE if trial is None else _CHANGE_WITHIN
            change = "detected" if self._changed(sample, step_s, enough) else ""
            if not change:
                self._mean = self._joined(self._mean, sample, step_s)
        self._trial = self._trial if trial is None else trial
        self._newest = (time_s, sample.direction if sample.length > 0 else np.zeros_like(sample.direction))
        return self._told(change)

    def _sample(self, belief: EmbeddingBelief) -> _Mean:
        """Return a belief as the mean of itself alone, which counts as long as a quarter of its window."""
        if belief.mean.shape != (1, len(self._center)) or belief.open_share.shape != (1, 2):
            raise ValueError(
                f"A belief of one picture has a mean of shape (1, {len(self._center)}) and open shares of shape (1, 2);"
                f" got {belief.mean.shape} and {belief.open_share.shape}."
            )
        away = belief.mean[0].astype(np.float64) - self._center
        length, open_share = float(np.linalg.norm(away)), belief.open_share[0].astype(np.float64)
        if not (np.isfinite(length) and np.isfinite(open_share).all()):
            raise GeneratorError("What was decoded has numbers that are not finite: nothing is drawn of it.")
        # The pictures' mean lies in no direction: any will do, as it counts nothing.
        direction = away / length if length > 0 else np.eye(1, len(away))[0]
        first_s = self._window_s / 4
        left_open = min(max(float(open_share.mean()), _LEAST_OPEN), 1.0)
        return _Mean(direction, length, open_share, length * first_s, first_s, 1 / left_open - 1)

    def _begin(self, sample: _Mean) -> None:
        self._mean, self._other, self._against = sample, None, 0.0

    def _measure(self, sample: _Mean, step_s: float, time_s: float) -> None:
        before = self._newest[1]
        if sample.length > 0 and before.any():
            self._noise.add(before, sample.direction, step_s, time_s)

    def _changed(self, sample: _Mean, step_s: float, enough: float) -> bool:
        """Weigh a belief against the mean, and return whether another mean has taken its place."""
        assert self._mean is not None
        if not self._noise.known or sample.length == 0 or self._mean.weight == 0:
            return False
        share = self._noise.share
        if share >= 1:
            return False
        left, shared = _left_and_shared(self._mean.time_s / self._window_s, step_s / self._window_s)
        left *= share
        expected = (1 - share + share * shared) / sqrt(1 - share + left)
        spread = self._noise.spread(left / (1 - share + left))
        off = (expected - float(self._mean.direction @ sample.direction)) / spread
        added = (off - _DEAD_BAND) * min(step_s / self._window_s, 1.0)
        self._against = max(0.0, self._against + min(added, _AT_MOST))
        if self._against == 0:
            self._other = None
            return False
        self._other = sample if self._other is None else self._joined(self._other, sample, step_s)
        if self._against < enough:
            return False
        self._begin(self._other)
        return True

    def _joined(self, mean: _Mean, sample: _Mean, step_s: float) -> _Mean:
        """Return the mean with one more belief, which stands for the time since the last, but no more than it saw."""
        lasts_s = self._lasts_s()
        if lasts_s <= 0:
            return sample
        kept, fresh_s = exp(-step_s / lasts_s), -lasts_s * np.expm1(-min(step_s, self._window_s) / lasts_s)
        if sample.known > mean.known:
            kept *= (mean.known / sample.known) ** _REPLACES
        weight, time_s = kept * mean.weight + sample.length * fresh_s, kept * mean.time_s + fresh_s
        by_weight = sample.length * fresh_s / weight if weight > 0 else 0.0
        by_time = fresh_s / time_s
        return _Mean(
            slerp(mean.direction, sample.direction, by_weight),
            mean.length + by_time * (sample.length - mean.length),
            mean.open_share + by_time * (sample.open_share - mean.open_share),
            weight,
            time_s,
            max(mean.known, sample.known),
        )

    def _lasts_s(self) -> float:
        """Return the time constant that the noise asks for."""
        share = self._noise.share
        if share >= 1:
            return _LONGEST_S
        windows = share / (1 - share) / _TOLERANCE
        return min(max(self._window_s * (windows - 1), 0.0), _LONGEST_S)

    def _told(self, change: Literal["", "onset", "detected"]) -> Steadied:
        assert self._mean is not None
        mean = (self._center + self._mean.length * self._mean.direction).astype(np.float32)
        belief = EmbeddingBelief(mean[None], self._mean.open_share.astype(np.float32)[None])
        draw = self._drawn is None or self._moved(belief, self._drawn)
        if draw:
            self._drawn = belief
        return Steadied(belief, draw, change)

    def _moved(self, belief: EmbeddingBelief, drawn: EmbeddingBelief) -> bool:
        distance = float(np.linalg.norm(belief.mean.astype(np.float64) - drawn.mean)) / self._scale
        opened = float(np.abs(belief.open_share - drawn.open_share).max())
        return max(distance, opened) > _MOVED


def _left_and_shared(n_windows: float, step: float) -> tuple[float, float]:
    """Return which part of a belief's noise is in the mean before it, and which part of it is the belief's own.

    Parameters
    ----------
    n_windows, step : float
        How long the mean is, and how much later the belief than its newest one, in lengths of a window.
    """
    left = 1 - n_windows / 3 if n_windows < 1 else (1 - 1 / (3 * n_windows)) / n_windows
    overlap = min(n_windows, max(0.0, 1 - step))
    return left, overlap / n_windows * (1 - (overlap + step) / 2) if overlap > 0 else 0.0


def slerp(start: Array, end: Array, part: float) -> Array:
    """Return the unit vector on the great circle from one to another (Shoemake, SIGGRAPH 1985).

    Parameters
    ----------
    start, end : array of shape (dimension,), float64
        Unit vectors. Between opposite ones no way is the shortest: `start` holds until `part` is 1.
    part : float
        0 is the start, 1 the end.
    """
    if part <= 0 or part >= 1:
        return start if part <= 0 else end
    angle = acos(min(max(float(start @ end), -1.0), 1.0))
    if pi - angle < 1e-6:
        return start
    if angle < 1e-6:
        mixed = start + part * (end - start)
    else:
        mixed = (sin((1 - part) * angle) * start + sin(part * angle) * end) / sin(angle)
    unit: Array = mixed / np.linalg.norm(mixed)
    return unit
