"""The simulated experiment in NSD's form: who saw which picture in which slot of which run, and its recordings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.nsd.design import NsdDesign, NsdTrials, design_trials
from decode_stream.replay_data.nsd.facts import CORE_RUNS, STIMULUS_S, TR_S, TRIAL_S
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import FloatArray, IntArray

from .simulate_fmri import FmriSubject
from .simulated_volumes import SimulatedVolumes, simulate_betas

__all__ = ["SimulatedNsd", "simulate_nsd_design"]

#: Slots of 4 s in a run; of these, blank at its begin, at its end, and somewhere in between in odd runs.
_SLOTS, _FIRST_BLANK, _LAST_BLANK, _OTHER_BLANK = 75, 3, 4, 5
_REPEATS, _SUBJECTS = 3, 8


def simulate_nsd_design(
    n_sessions: int = 40, *, n_runs: int = CORE_RUNS, n_slots: int = _SLOTS, seed: int = 0
) -> NsdDesign:
    """Return a design of NSD's form: each picture three times, a tenth of a person's pictures shared by all.

    At full size that is 12 runs a session with 63 and 62 trials in turn, 750 a session, 10,000 pictures a person and
    1000 shared ones of 73,000 in all. Fewer or shorter runs have as many pictures fewer.

    Parameters
    ----------
    n_sessions, n_runs : int
        Sessions, and runs in each.
    n_slots : int
        Slots of 4 s in a run, at least 20; 12 of them (13 in even runs) are blank.
    seed : int

    Raises
    ------
    ValueError
        If there are no sessions or runs, or the runs are too short.
    """
    if n_sessions < 1 or n_runs < 1 or n_slots < 20:
        raise ValueError(f"{n_sessions} sessions of {n_runs} runs of {n_slots} slots make no experiment.")
    rng = np.random.default_rng([seed, 4])
    pattern = np.zeros((n_sessions, n_runs, n_slots), dtype=np.bool_)
    for session in range(n_sessions):
        for run in range(n_runs):
            inside = np.arange(_FIRST_BLANK, n_slots - _LAST_BLANK)
            blank = rng.choice(inside[1:], _OTHER_BLANK + run % 2, replace=False)
            pattern[session, run, np.setdiff1d(inside, blank)] = True
    n_trials = int(pattern.sum())
    n_images = -(-n_trials // _REPEATS)
    n_shared = max(1, round(n_images / 10))
    n_own = n_images - n_shared
    ids = 1 + rng.permutation(n_shared + _SUBJECTS * n_own)
    shared = np.sort(ids[:n_shared])
    own = ids[n_shared:].reshape(_SUBJECTS, n_own)
    return NsdDesign(
        masterordering=_ordering(n_trials, n_images, rng),
        subjectim=np.concatenate([np.tile(shared, (_SUBJECTS, 1)), own], axis=1),
        sharedix=shared,
        stimpattern=pattern,
    )


def _ordering(n_trials: int, n_images: int, rng: np.random.Generator) -> IntArray:
    """Return the place of each trial's picture, from 1, in a shuffled order with none twice in a row."""
    places = np.repeat(np.arange(1, n_images + 1), _REPEATS)[:n_trials]
    order: IntArray = rng.permutation(places).astype(np.int64)
    while n_images > 1 and len(again := np.flatnonzero(np.diff(order) == 0)):
        other = rng.integers(n_trials, size=len(again))
        for i, j in zip(again.tolist(), other.tolist(), strict=True):
            order[i], order[j] = order[j], order[i]
    return order


@dataclass(frozen=True, eq=False)
class SimulatedNsd:
    """One person's part in a simulated NSD: betas by session, volumes by run.

    Attributes
    ----------
    subject : FmriSubject
    design : NsdDesign
    number : int
        Which of the design's subjects, from 1.
    embeddings : array of shape (n_pictures, n_dims)
        By the design's picture ids, from 0.
    seed : int
        Decides the noise.
    """

    subject: FmriSubject
    design: NsdDesign
    number: int
    embeddings: FloatArray
    seed: int = 0

    def __post_init__(self) -> None:
        if (n := int(self.design.subjectim.max())) > len(self.embeddings):
            raise ValueError(f"The design has {n} pictures, and there are {len(self.embeddings)} embeddings.")

    @property
    def trials(self) -> NsdTrials:
        """All trials of the person, in the order shown."""
        return design_trials(self.design, self.number)

    def shown(self, stimuli: StimulusTable) -> FloatArray:
        """Return the embedding of the picture in each row of a table with ids, shape (n, n_dims)."""
        assert stimuli.id is not None
        return np.asarray(self.embeddings[stimuli.id])

    def betas(self, session: int) -> npt.NDArray[np.float32]:
        """Return the betas of a session, percent signal change, shape (n_trials, n_voxels)."""
        return simulate_betas(self.subject, self.shown(self.trials.of(session).table), (self.seed, session))

    def run(self, session: int, run: int, *, artefacts: bool = True) -> SimulatedVolumes:
        """Return the volumes of a run, every 4/3 s, with one more than its slots take, as published."""
        trials, tr_s = self.trials.of(session, run), TR_S["func1pt8mm"]
        assert trials.slot is not None
        assert self.design.stimpattern is not None
        volumes_a_slot = round(TRIAL_S / tr_s)
        table = replace(
            trials.table,
            onset=volumes_a_slot * trials.slot,
            duration_s=np.full(len(trials.slot), STIMULUS_S),
        )
        return SimulatedVolumes(
            subject=self.subject,
            shown=self.shown(table),
            stimuli=table,
            n_samples=volumes_a_slot * self.design.stimpattern.shape[2] + 1,
            tr_s=tr_s,
            seed=(self.seed, session, run),
            name=f"simulated-session{session:02d}-run{run:02d}",
            artefacts=artefacts,
        )

    def runs(self, sessions: range, *, artefacts: bool = True) -> Iterator[SimulatedVolumes]:
        """Yield the runs of some sessions, one after the other."""
        assert self.design.stimpattern is not None
        for session in sessions:
            for run in range(1, self.design.stimpattern.shape[1] + 1):
                yield self.run(session, run, artefacts=artefacts)
