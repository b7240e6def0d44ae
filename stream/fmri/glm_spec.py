"""How the betas of trials are made from the volumes of a run."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

__all__ = ["GlmSpec", "Noise"]

#: What the noise of one volume says of the next: nothing, or a part of it (first-order autoregression).
Noise = Literal["ols", "ar1"]
_HRFS = ("glover", "spm", "library")


@dataclass(frozen=True)
class GlmSpec:
    """The linear model of a run: what responses look like, what is taken out beside them, and when a beta is told.

    Attributes
    ----------
    hrf : str
        Haemodynamic response: ``glover`` or ``spm`` for all voxels, ``library`` for a shape of each voxel's own.
    stimulus_s : float
        How long a stimulus lasts that does not say so itself; 0 is an impulse.
    decide_s : float
        A trial is decided with the first volume that ends so long after its onset or later, and not before the one
        behind that which lies nearest to the onset.
    support_s : float
        A beta is refined until so long after its stimulus's end.
    high_pass_s : float or None
        Longest period that stays in: slower is taken out by cosines, fixed for the planned run. None for no cosines.
    noise : {'ols', 'ar1'}
        White noise, or first-order autoregressive noise with a coefficient for each voxel.
    confounds : tuple of str
        Names of the channels that hold the confounds of a volume.
    nuisance_penalty : float
        Ridge penalty on the cosines and the confounds, in columns of unit mean square; 0 for least squares. Early in
        a run these columns are many beside the volumes, and least squares gives them what is the trial's.
    least_df : int
        Volumes above the columns of the model before a beta is told at all.
    percent : bool
        Betas in percent of the voxel's mean over the volumes used; else in units of the signal.
    hrf_of_voxel : tuple of int
        Of ``library`` alone: the number of each voxel's shape.
    planned_volumes : int
        Length of a run where nothing else tells it; 0 where something must.
    own_durations : bool
        Whether a stimulus that says how long it lasts is taken at its word; else all last for `stimulus_s`.

    Raises
    ------
    ValueError
        If a value is outside its range, or shapes of voxels come with another response than ``library``.
    """

    hrf: str = "glover"
    stimulus_s: float = 3.0
    decide_s: float = 8.0
    support_s: float = 24.0
    high_pass_s: float | None = 128.0
    noise: Noise = "ar1"
    confounds: tuple[str, ...] = ()
    nuisance_penalty: float = 10.0
    least_df: int = 4
    percent: bool = True
    hrf_of_voxel: tuple[int, ...] = ()
    planned_volumes: int = 0
    own_durations: bool = False

    def __post_init__(self) -> None:
        if self.hrf not in _HRFS:
            raise ValueError(f"hrf is one of {', '.join(_HRFS)}, not {self.hrf!r}.")
        if self.noise not in get_args(Noise):
            raise ValueError(f"noise is one of {', '.join(get_args(Noise))}, not {self.noise!r}.")
        for name in ("stimulus_s", "decide_s", "support_s", "nuisance_penalty"):
            value = getattr(self, name)
            if not isfinite(value) or value < 0:
                raise ValueError(f"{name} is 0 or more, not {value}.")
        if self.decide_s == 0:
            raise ValueError("decide_s is more than 0: at its onset a trial has no response yet.")
        if self.high_pass_s is not None and not (isfinite(self.high_pass_s) and self.high_pass_s > 0):
            raise ValueError(f"high_pass_s is more than 0, or None for no high-pass, not {self.high_pass_s}.")
        if self.least_df < 1:
            raise ValueError(f"least_df is 1 or more, not {self.least_df}: without one there is no variance.")
        if self.planned_volumes < 0:
            raise ValueError(f"planned_volumes is 0 or more, not {self.planned_volumes}.")
        if len(set(self.confounds)) < len(self.confounds):
            raise ValueError(f"A confound is named twice: {', '.join(self.confounds)}.")
        if self.hrf_of_voxel and self.hrf != "library":
            raise ValueError(f"Shapes of single voxels are of the library, not of the response {self.hrf!r}.")
        if any(shape < 0 for shape in self.hrf_of_voxel):
            raise ValueError("The number of a voxel's shape is 0 or more.")

    def lasting_s(self, told_s: float | None) -> float:
        """Return how long a stimulus lasts in the model, in seconds.

        Parameters
        ----------
        told_s : float or None
            What is said of it.
        """
        return self.stimulus_s if told_s is None or not self.own_durations else told_s
