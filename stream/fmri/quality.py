"""How good the volumes of a run are: how far the head moved, how much the signal jumped, how steady it is."""

from collections.abc import Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import MOTION, Channel, FloatArray

__all__ = ["RunQuality"]

#: Radius of the sphere on whose surface rotations count (Power et al. 2012).
_SPHERE_MM = 50.0


class RunQuality:
    """Figures of each volume as it comes, at a cost that does not grow with the run.

    One thread adds, any may read.

    Parameters
    ----------
    channels : sequence of Channel
        Of the stream: its voxels, and `MOTION` where it tells that.

    References
    ----------
    Power, Barnes, Snyder, Schlaggar, Petersen (2012). Spurious but systematic correlations in functional connectivity
    MRI networks arise from subject motion. NeuroImage 59(3), 2142-2154.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        places = {channel.name: place for place, channel in enumerate(channels)}
        self._voxels = np.array([p for p, c in enumerate(channels) if c.type == "voxel"], np.int64)
        self._motion_places = [places[name] for name in MOTION] if set(MOTION) <= set(places) else None
        self._mean = np.zeros(len(self._voxels))
        self._scatter = np.zeros(len(self._voxels))
        self._n = 0
        self._before: FloatArray | None = None
        self._moved_before: FloatArray | None = None
        self._motion: list[FloatArray] = []
        self._displacement_mm: list[float] = []
        self._dvars: list[float] = []
        self._tsnr = nan

    @property
    def n_volumes(self) -> int:
        """Volumes so far, places of lost ones included."""
        return len(self._dvars)

    @property
    def motion(self) -> npt.NDArray[np.float64] | None:
        """Shape (n_volumes, 6), in mm and rad; NaN for lost volumes. None where the stream does not tell it."""
        return None if self._motion_places is None else np.array(list(self._motion)).reshape(-1, len(MOTION))

    @property
    def displacement_mm(self) -> npt.NDArray[np.float64] | None:
        """Framewise displacement, shape (n_volumes,).

        The sum of the changes of the three translations and of the three rotations, as arcs on a sphere of 50 mm; NaN
        for the first volume, lost ones and those after them. None where the stream does not tell how the head moved.
        """
        return None if self._motion_places is None else np.array(list(self._displacement_mm))

    @property
    def dvars(self) -> npt.NDArray[np.float64]:
        """Root mean square over voxels of the change from the volume before, shape (n_volumes,).

        In percent of the mean signal so far; NaN for the first volume, lost ones and those after them, and where the
        signal has no level.
        """
        return np.array(list(self._dvars))

    @property
    def tsnr(self) -> float:
        """Median over voxels of the mean over time divided by the standard deviation; NaN before the second volume."""
        return self._tsnr

    def add(self, data: FloatArray) -> None:
        """Take volumes, shape (n_volumes, n_channels)."""
        for row in data:
            self._add(row)

    def skip(self, n_lost: int) -> None:
        """Take the places of volumes that never came."""
        self._before = self._moved_before = None
        for _ in range(n_lost):
            self._note(np.full(len(MOTION), nan), nan, nan)

    def _add(self, row: FloatArray) -> None:
        values = row[self._voxels].astype(np.float64)
        # A voxel that holds no number says nothing of this volume.
        values = np.where(np.isfinite(values), values, self._mean)
        self._n += 1
        off = values - self._mean
        self._mean += off / self._n
        self._scatter += off * (values - self._mean)
        moved, displacement_mm = np.full(len(MOTION), nan), nan
        if self._motion_places is not None:
            moved = row[self._motion_places].astype(np.float64)
            if self._moved_before is not None:
                change = np.abs(moved - self._moved_before)
                displacement_mm = float(change[:3].sum() + _SPHERE_MM * change[3:].sum())
            self._moved_before = moved
        level = float(self._mean.mean()) if len(self._mean) else 0.0
        dvars = nan
        if self._before is not None and level > 0:
            dvars = 100 * float(np.sqrt(np.mean((values - self._before) ** 2))) / level
        self._before = values
        self._tsnr = self._steadiness()
        self._note(moved, displacement_mm, dvars)

    def _note(self, moved: FloatArray, displacement_mm: float, dvars: float) -> None:
        self._motion.append(moved)
        self._displacement_mm.append(displacement_mm)
        self._dvars.append(dvars)

    def _steadiness(self) -> float:
        alive = self._scatter > 0
        if self._n < 2 or not alive.any():
            return nan
        spread = np.sqrt(self._scatter[alive] / (self._n - 1))
        return float(np.median(self._mean[alive] / spread))
