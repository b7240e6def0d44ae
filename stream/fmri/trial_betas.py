"""The betas of one run's trials: each decided once, refined while its response lasts, and final with the whole run."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

from .glm_spec import GlmSpec
from .hrf import RESPONSE_S
from .run_glm import RunGlm

__all__ = ["BetaState", "TrialBeta", "TrialBetas", "decision_volumes", "shows_something"]

BetaState = Literal["decided", "refined", "final", "withheld"]

#: Moments that lie closer together are the same: repetition times are written with few digits. Volumes.
_SAME_MOMENT = 1e-3
#: Markers that say that nothing is shown: with a column of their own they would take that of all the others.
_NOTHING_SHOWN = ("rest", "baseline", "fixation", "blank", "null", "iti", "n/a")


@dataclass(frozen=True, slots=True, eq=False)
class TrialBeta:
    """What the volumes so far say of one trial.

    Attributes
    ----------
    trial : int
        Its number.
    state : {"decided", "refined", "final", "withheld"}
        At its stated moment, once; anew with each volume while the response goes on; with the whole run; or not told
        at its moment.
    stop : int
        Volumes that it rests on, the lost ones counted.
    value, variance : array of shape (n_voxels,), float32
        Empty where it is withheld.
    reason : str
        Why it is withheld; else empty.
    """

    trial: int
    state: BetaState
    stop: int
    value: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]
    reason: str = ""


@dataclass(slots=True)
class _Course:
    """A trial on its way: when it is decided and refined no more, and its place in the model once it is in there."""

    onset: float
    lasting_s: float
    decided_at: int
    refined_until: int
    place: int = -1
    decided: bool = False


def shows_something(label: str) -> bool:
    """Return whether a marker stands for a stimulus, which the model has a column for; not ``rest`` and the like."""
    return label.strip().lower() not in _NOTHING_SHOWN


def decision_volumes(spec: GlmSpec, tr_s: float, onset: float = 0.0) -> int:
    """Return with how many volumes of the run a trial is decided whose onset is given in volumes.

    With the first that ends `decide_s` after the onset or later, and not before one has come behind the volume that
    lies nearest to the onset: only then is a trial known for certain.
    """
    return max(floor(onset + 0.5) + 1, ceil(onset + spec.decide_s / tr_s - _SAME_MOMENT))


class TrialBetas:
    """Volumes and trials of one run in, betas out, one volume after the other.

    What is decided does not depend on how volumes were handed over, nor on trials to come: the model that decides a
    trial has seen the volumes up to its moment, and knows the trials that began before the newest of them.

    Parameters
    ----------
    spec : GlmSpec
        The model.
    n_voxels : int
    tr_s : float
        Time from one volume to the next, seconds.
    planned_volumes : int
        Length of the run as planned; the drift basis is made for it. A longer run goes on.
    refines : bool
        Whether anybody asks for what is said after a decision.
    """

    def __init__(
        self, spec: GlmSpec, n_voxels: int, tr_s: float, planned_volumes: int, *, refines: bool = True
    ) -> None:
        self.spec = spec
        self._refines = refines
        self.planned_volumes = planned_volumes
        self._tr_s = tr_s
        self._glm = RunGlm(spec, n_voxels, tr_s, planned_volumes)
        # The model holds as many volumes as a response lasts; that of the onset and the newest are among them.
        self._held = ceil((spec.stimulus_s + RESPONSE_S) / tr_s) - 1
        self._waiting: dict[int, _Course] = {}
        self._open: dict[int, _Course] = {}
        self._all: dict[int, _Course] = {}

    @property
    def n_volumes(self) -> int:
        """Volumes so far, the lost ones counted."""
        return self._glm.n_volumes

    @property
    def n_lost(self) -> int:
        """Volumes of these that never came or held values that are not numbers."""
        return self._glm.n_lost

    def mean(self) -> FloatArray:
        """Return the mean of the volumes so far, of which betas are told in percent; see `RunGlm.mean`."""
        return self._glm.mean()

    def decided_at(self, onset: float) -> int:
        """Return with how many volumes a trial is decided; see `decision_volumes`."""
        return decision_volumes(self.spec, self._tr_s, onset)

    def add_trial(self, number: int, onset: float, duration_s: float | None = None) -> TrialBeta | None:
        """Take a trial.

        Parameters
        ----------
        number : int
            One that no trial had before.
        onset : float
            In volumes from the beginning of the run, whole or not; it may have passed.
        duration_s : float or None
            How long the stimulus lasts, where that is known.

        Returns
        -------
        TrialBeta or None
            The trial withheld, where its moment has passed already. It is refined and final all the same, unless its
            response is over: the volumes that hold it are then no longer kept.
        """
        at, lasting_s = self.decided_at(onset), self.spec.lasting_s(duration_s)
        support = ceil((lasting_s + self.spec.support_s) / self._tr_s)
        course = _Course(onset, lasting_s, at, max(at, ceil(onset) + support))
        if onset >= self.n_volumes - 1:
            self._waiting[number] = course
        elif self.n_volumes < min(course.refined_until, onset + self._held):
            self._enter(number, course)
        else:
            return self._withheld(number, "its marker came after its response")
        self._all[number] = course
        if at > self.n_volumes:
            return None
        course.decided = True
        return self._withheld(number, "its marker came after its moment")

    def add(self, volume: FloatArray, confounds: FloatArray, *, refine: bool = True) -> list[TrialBeta]:
        """Take the next volume, and return what is decided and refined with it.

        Parameters
        ----------
        volume : array of shape (n_voxels,)
        confounds : array of shape (n_confounds,)
            Of the model, in its order.
        refine : bool
            Refine trials whose response goes on. Those whose response ends here are refined anyway.
        """
        self._enter_begun()
        self._glm.add(volume, confounds)
        return self._told(refine)

    def skip(self, *, refine: bool = True) -> list[TrialBeta]:
        """Count a volume that never came or cannot be used; the moments of trials come all the same."""
        self._enter_begun()
        self._glm.skip()
        return self._told(refine)

    def finish(self) -> list[TrialBeta]:
        """Return the betas of all trials with the whole run; of those that begin behind its end there are none."""
        begun = [number for number, course in self._all.items() if course.place >= 0]
        return self._betas(begun, "final")

    def _enter_begun(self) -> None:
        """Let the model know the trials that began before the volume to come."""
        begun = [number for number, course in self._waiting.items() if course.onset < self.n_volumes]
        for number in begun:
            self._enter(number, self._waiting.pop(number))

    def _enter(self, number: int, course: _Course) -> None:
        course.place = self._glm.add_trial(course.onset, course.lasting_s)
        self._open[number] = course

    def _told(self, refine: bool) -> list[TrialBeta]:
        now = self.n_volumes
        # A moment may come before the second volume of a trial, which the model does not know yet.
        due = {**self._open, **self._waiting}
        decided = [number for number, c in due.items() if c.decided_at == now and not c.decided]
        for number in decided:
            self._all[number].decided = True
        told = self._betas(decided, "decided")
        if self._refines:
            again = [n for n, c in self._open.items() if c.decided and (refine or c.refined_until <= now)]
            refined = self._betas([n for n in again if n not in decided], "refined")
            told += [beta for beta in refined if beta.state == "refined"]
        for number in [number for number, c in self._open.items() if c.refined_until <= now]:
            del self._open[number]
        return told

    def _betas(self, numbers: Iterable[int], state: BetaState) -> list[TrialBeta]:
        numbers = sorted(numbers)
        places = {number: self._all[number].place for number in numbers}
        sound = [number for number, place in places.items() if place >= 0 and self._glm.told(place)]
        found = self._glm.betas([places[number] for number in sound]) if sound else None
        told = dict[int, TrialBeta]()
        if found is not None:
            for number, value, variance in zip(sound, found.value, found.variance, strict=True):
                beta, spread = value.astype(np.float32), variance.astype(np.float32)
                told[number] = TrialBeta(number, state, self.n_volumes, beta, spread)
        return [told.get(number) or self._withheld(number, "too few volumes") for number in numbers]

    def _withheld(self, number: int, reason: str) -> TrialBeta:
        nothing = np.empty(0, np.float32)
        return TrialBeta(number, "withheld", self.n_volumes, nothing, nothing, reason)
