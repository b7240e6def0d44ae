"""What a simulated person's scanner gives: volumes as they are taken, and betas as they are estimated afterwards."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap

from .simulate_fmri import FmriSubject, response_course

__all__ = ["SimulatedVolumes", "simulate_betas"]

#: The head moves once in so many seconds, and keeps this share of each movement.
_MOVES_EVERY_S, _KEPT = 90.0, 0.2
_N_DRIFTS = 4


@dataclass(frozen=True, eq=False)
class SimulatedVolumes:
    """One run of volumes, as a `Recording`, made when it is first read.

    Attributes
    ----------
    subject : FmriSubject
    shown : array of shape (n_trials, n_dims)
        Embedding of the picture in each row of `stimuli`.
    stimuli : StimulusTable
        Onsets are volumes; where fractions are told, the answers come as much later.
    n_samples : int
        Volumes.
    tr_s : float
        Time between them, seconds.
    seed : tuple of int
        Same seed and subject, same volumes.
    artefacts : bool
        Whether there are drifts and movements: without them there are answers and Gaussian noise.
    labels : tuple of (int, str)
        Volume and label of every marker, where pictures go by names; the ids of `stimuli` if not given.
    """

    subject: FmriSubject
    shown: FloatArray
    stimuli: StimulusTable
    n_samples: int
    tr_s: float
    seed: tuple[int, ...]
    name: str = "simulated"
    artefacts: bool = True
    labels: tuple[tuple[int, str], ...] = ()
    epoch: Epoch | None = None
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ("Simulated.",)

    def __post_init__(self) -> None:
        onset = self.stimuli.onset
        if len(self.shown) != len(onset) or self.n_samples < 1:
            raise ValueError(f"{len(onset)} onsets need as many embeddings; there are {len(self.shown)}.")
        if len(onset) and not 0 <= onset.min() <= onset.max() < self.n_samples:
            raise ValueError(f"Onsets lie in the {self.n_samples} volumes.")

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One channel a voxel."""
        return self.subject.channels

    @property
    def sfreq_hz(self) -> float:
        """Volumes per second."""
        return 1 / self.tr_s

    @property
    def markers(self) -> tuple[tuple[int, str], ...]:
        """Volume and name or id of every picture."""
        return self.labels or self.stimuli.markers()

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the volumes [start, stop), shape (stop - start, n_voxels), float32, whole numbers."""
        return _volumes(self)[max(0, start) : max(0, stop)]


# Runs are read one after the other, or one again and again; a session of them would fill the memory.
@lru_cache(maxsize=2)
def _volumes(run: SimulatedVolumes) -> npt.NDArray[np.float32]:
    subject = run.subject
    rng = np.random.default_rng([*run.seed, 1])
    percent = _noise(run, rng)
    fractions = np.zeros(len(run.shown)) if run.stimuli.fraction is None else run.stimuli.fraction
    for onset, fraction, answer in zip(run.stimuli.onset, fractions, subject.answers(run.shown), strict=True):
        course = response_course(run.tr_s, fraction=float(fraction)).astype(np.float32)
        n = min(len(course), run.n_samples - int(onset))
        percent[onset : onset + n] += course[:n, None] * answer
    if run.artefacts:
        percent += _artefacts(run, np.random.default_rng([*run.seed, 2]))
    percent /= 100
    percent += 1
    percent *= subject.level
    volumes = np.rint(percent, out=percent)
    volumes.flags.writeable = False
    return volumes


def _noise(run: SimulatedVolumes, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return noise in percent, shape (n_volumes, n_voxels): of each voxel, and of common sources, both AR(1)."""
    subject, n = run.subject, run.n_samples
    own = _ar(rng.standard_normal((n, subject.n_voxels), np.float32), subject.ar)
    own *= subject.own_noise
    common = _ar(rng.standard_normal((n, subject.shared_noise.shape[1]), np.float32), subject.ar)
    own += common @ subject.shared_noise.T
    return own


def _ar(white: npt.NDArray[np.float32], ar: float) -> npt.NDArray[np.float32]:
    """Return a stationary AR(1) process of unit variance down the columns of white noise."""
    white[1:] *= np.float32(np.sqrt(1 - ar**2))
    # Not SciPy's filter: to import it takes longer than all else that a replay needs to begin.
    process, fading = white.astype(np.float64), float(np.float32(ar))
    for before, now in pairwise(process):
        now += fading * before
    return process.astype(np.float32)


def _artefacts(run: SimulatedVolumes, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return drifts and movements in percent, shape (n_volumes, n_voxels)."""
    subject, n = run.subject, run.n_samples
    slow = np.cos(np.pi * np.outer(np.arange(n) + 0.5, np.arange(1, _N_DRIFTS + 1)) / n)
    sizes = subject.drift / np.arange(1, _N_DRIFTS + 1)
    # Half of a drift is the scanner's, the same everywhere.
    each = rng.standard_normal((_N_DRIFTS, subject.n_voxels)) + rng.standard_normal((_N_DRIFTS, 1))
    drifts = slow @ (sizes[:, None] * each / np.sqrt(2))
    moves = rng.exponential(1.0, n) * rng.choice([-1.0, 1.0], n) * (rng.random(n) < run.tr_s / _MOVES_EVERY_S)
    place = moves + _KEPT * np.cumsum(moves)
    artefacts: npt.NDArray[np.float32] = (drifts + np.outer(place, subject.movement)).astype(np.float32)
    return artefacts


def simulate_betas(subject: FmriSubject, shown: FloatArray, seed: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return the betas of trials, percent signal change, shape (n_trials, n_voxels).

    Their noise is that of volumes, smaller as each rests on several, and independent from trial to trial.

    Parameters
    ----------
    shown : array of shape (n_trials, n_dims)
        Embedding of each trial's picture.
    seed : tuple of int
        Same seed and subject, same betas.
    """
    rng = np.random.default_rng([*seed, 3])
    betas = subject.answers(shown)
    noise = rng.standard_normal(betas.shape, np.float32) * subject.own_noise
    noise += (
        rng.standard_normal((len(betas), subject.shared_noise.shape[1]), np.float32) @ subject.shared_noise.T
    )
    betas += np.float32(subject.beta_noise) * noise
    return betas
