"""What a view draws of a run of fMRI: its trials, how steady the head was, and what the newest beta looks like."""

from dataclasses import dataclass, field
from math import nan

import numpy as np
import numpy.typing as npt

__all__ = ["TRIAL_STATES", "ScanView", "TrialLine", "TwoWay"]

#: Every state a trial can be in, in the order of a trial's life. One that is withheld at its moment is not decided any
#: more, but its beta may be told later: then it is refined or final, and counts in no accuracy of the decisions.
TRIAL_STATES = ("seen", "rising", "decided", "refined", "final", "withheld")


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One trial on the time line of its run.

    Attributes
    ----------
    number : int
        Counted from 0.
    name : str
        What was shown: its name in the gallery, or what its marker said.
    onset_s : float
        After the first volume, in recording time. Seconds.
    state : str
        One of `TRIAL_STATES`.
    probability : float
        Of the best match, in [0, 1]; NaN before there is one.
    best : str
        The best match; empty before there is one.
    right : bool or None
        Whether the best match is what was shown; None before there is one, or where the gallery lacks what was shown.
    reason : str
        Why the trial is withheld, or was at its moment; else empty.
    """

    number: int
    name: str
    onset_s: float
    state: str
    probability: float = nan
    best: str = ""
    right: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TwoWay:
    """The trace of two-way identification over decided trials.

    Of each trial it counts the share of the other entries of the gallery that the true one beats; chance is 0.5.

    Attributes
    ----------
    n : int
        Number of decided trials.
    mean : array of shape (n_points,), float
        Running mean over trials.
    trials : array of shape (n_points,), int
        Number of decided trials at each point.
    low, high : array of shape (n_points,), float
        95 % interval at each point.
    interval : str
        How the interval was made, in words.
    """

    n: int = 0
    mean: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    trials: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    low: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    high: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    interval: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ScanView:
    """A run of fMRI at one moment.

    Attributes
    ----------
    n_volumes : int
        Volumes of the run so far, places of lost ones included.
    planned_volumes : int
        Of the whole run; 0 where nothing tells.
    tr_s : float
        From volume to volume, in recording time. Seconds.
    now_s : float
        End of the newest volume after the beginning of the first, in recording time. Seconds.
    trials : tuple of TrialLine
        The last 80, newest onset last.
    two_way : TwoWay
        Of the decided trials.
    compared : tuple of (str, float, int)
        Accuracy of the same trials as they were decided and as they stand since, with their number:
        ``(("decided", 0.5, 12), ("refined", 0.6, 12))``; empty where betas are not refined.
    motion : array of shape (n_volumes, 6), float, or None
        Three translations in mm, three rotations in rad; NaN for lost volumes. None where nothing tells.
    displacement_mm : array of shape (n_volumes,), float, or None
        Framewise displacement (Power et al. 2012, NeuroImage 59:2142; a sphere of 50 mm). None where nothing tells.
    dvars : array of shape (n_volumes,), float, or None
        Root mean square over voxels of the change from volume to volume, in percent of the mean signal. None where
        nothing tells.
    tsnr : float
        Median over voxels of temporal signal-to-noise; NaN where nothing tells.
    lost : tuple of int
        Places of the volumes that never came.
    volume_ms : tuple of (float, float) or None
        Time from a volume in hand to its belief, the last and the 99th percentile. None before the first.
    regions : tuple of (str, float)
        Name and mean z of the newest decided beta over each region's voxels.
    regions_of : str
        Which trial `regions` speak of, in words; or empty.
    """

    n_volumes: int
    planned_volumes: int
    tr_s: float
    now_s: float
    trials: tuple[TrialLine, ...] = ()
    two_way: TwoWay = field(default_factory=TwoWay)
    compared: tuple[tuple[str, float, int], ...] = ()
    motion: npt.NDArray[np.float64] | None = None
    displacement_mm: npt.NDArray[np.float64] | None = None
    dvars: npt.NDArray[np.float64] | None = None
    tsnr: float = nan
    lost: tuple[int, ...] = ()
    volume_ms: tuple[float, float] | None = None
    regions: tuple[tuple[str, float], ...] = ()
    regions_of: str = ""

    @property
    def n_lost(self) -> int:
        """Volumes that never came."""
        return len(self.lost)
