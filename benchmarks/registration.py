"""How exactly and how fast the head is followed: a drawn head at NSD's size, moved by known amounts.

``python -m benchmarks.registration [--moves N] [--grid X Y Z] [--noise N]``. Each volume is the head moved by up to
2 mm and 2 degrees along and about every axis, read off a fine drawing by splines of the fifth order, with new noise.
The first is found from anywhere; each of the others from where the head was in the volume before, up to twice as far
away. The processor's time is told beside the clock's, which other work on the machine makes longer.
"""

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from benchmarks.machine import machine
from decode_stream.stream.fmri.motion import MotionCorrection

__all__ = ["Head", "errors", "main"]

#: NSD's functional grid, in voxels, its voxel and the time between its volumes.
_GRID, _VOXEL_MM, _TR_S = (81, 104, 83), 1.8, 1.333
_FARTHEST_MM, _FARTHEST_DEG = 2.0, 2.0
_LEVEL, _TEXTURE = 1000.0, 0.2
#: Part of the head that is decoded from.
_INNER, _EVERY = 0.9, 10


class Head:
    """A drawn head, of which volumes can be taken wherever it lies.

    Parameters
    ----------
    grid : tuple of int
        Voxels along x, y and z.
    voxel_mm : float
    seed : int
    affine_mm : array of shape (4, 4), optional
        From voxel indices to millimetres; by default upright about the middle.

    Attributes
    ----------
    affine_mm : array of shape (4, 4), float64
    voxels : array of shape (n, 3), int64
        Some of those well inside.
    """

    def __init__(
        self,
        grid: tuple[int, int, int],
        voxel_mm: float,
        seed: int = 0,
        affine_mm: npt.NDArray[np.float64] | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.grid = grid
        if affine_mm is None:
            affine_mm = np.diag([voxel_mm] * 3 + [1.0])
            affine_mm[:3, 3] = [-voxel_mm * (n - 1) / 2 for n in grid]
        self.affine_mm = affine_mm
        indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid), indexing="ij"), -1)
        half = np.array(grid) / 2
        # An ellipsoid with lobes of different brightness, as smooth as an image of finite resolution is.
        radius = np.sqrt((((indices - half + 0.5) / (0.8 * half)) ** 2).sum(-1))
        texture = ndimage.gaussian_filter(rng.standard_normal(grid), 2.0)
        drawn = _LEVEL / (1 + np.exp((radius - 1) / 0.03)) * (1 + _TEXTURE * texture / texture.std())
        self._drawn = ndimage.spline_filter(ndimage.gaussian_filter(drawn, 0.8), 5)
        self._indices = indices
        self.center_mm = affine_mm[:3, :3] @ ((np.array(grid) - 1) / 2) + affine_mm[:3, 3]
        self.voxels = np.argwhere(radius < _INNER)[::_EVERY]

    def volume(
        self, shift_mm: npt.ArrayLike, angles_deg: npt.ArrayLike, noise: float, seed: int
    ) -> npt.NDArray[np.float32]:
        """Return a volume of the head moved: turned about x, y and z through the grid's centre, then shifted."""
        turn = Rotation.from_euler("XYZ", angles_deg, degrees=True).as_matrix()
        a, at = self.affine_mm[:3, :3], self.affine_mm[:3, 3]
        # Where what is seen at each place was before the head moved.
        back = np.linalg.inv(a) @ turn.T @ a
        away = at - self.center_mm - np.asarray(shift_mm)
        shift = np.linalg.inv(a) @ (turn.T @ away + self.center_mm - at)
        places = np.moveaxis(self._indices @ back.T + shift, -1, 0)
        seen = ndimage.map_coordinates(self._drawn, places, order=5, prefilter=False, mode="nearest")
        noisy = seen + noise * np.random.default_rng(seed).standard_normal(self.grid)
        moved: npt.NDArray[np.float32] = noisy.astype(np.float32)
        return moved


def errors(
    motion: npt.NDArray[np.float64], shift_mm: npt.ArrayLike, angles_deg: npt.ArrayLike
) -> tuple[float, float]:
    """Return by how many mm and degrees a movement told is off: what is left of the true one when it is undone."""
    true = Rotation.from_euler("XYZ", angles_deg, degrees=True)
    told = Rotation.from_euler("XYZ", motion[3:])
    left_mm = told.apply(np.asarray(shift_mm)) + motion[:3]
    return float(np.abs(left_mm).max()), float(np.degrees((told * true).magnitude()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument("--grid", type=int, nargs=3, default=_GRID)
    parser.add_argument(
        "--noise", type=float, default=0.02 * _LEVEL, help="standard deviation; the head is 1000"
    )
    asked = parser.parse_args(arguments)
    head = Head(tuple(asked.grid), _VOXEL_MM)
    follow = MotionCorrection(head.volume([0] * 3, [0] * 3, asked.noise, 0), head.affine_mm, head.voxels)
    rng = np.random.default_rng(1)
    took_s, busy_s, mm, deg = list[float](), list[float](), list[float](), list[float]()
    for seed in range(1, asked.moves + 1):
        shift_mm = rng.uniform(-_FARTHEST_MM, _FARTHEST_MM, 3)
        angles_deg = rng.uniform(-_FARTHEST_DEG, _FARTHEST_DEG, 3)
        volume = head.volume(shift_mm, angles_deg, asked.noise, seed)
        began_s, busy_before_s = time.perf_counter(), time.process_time()
        motion = follow.correct(volume).motion
        took_s.append(time.perf_counter() - began_s)
        busy_s.append(time.process_time() - busy_before_s)
        off_mm, off_deg = errors(motion, shift_mm, angles_deg)
        mm.append(off_mm)
        deg.append(off_deg)
    told = {
        "machine": machine(),
        "grid": list(head.grid),
        "n_voxels": len(head.voxels),
        "n_moves": asked.moves,
        "first_ms": 1e3 * took_s[0],
        "p50_ms": 1e3 * float(np.percentile(took_s[1:], 50)),
        "p99_ms": 1e3 * float(np.percentile(took_s[1:], 99)),
        "busy_p50_ms": 1e3 * float(np.percentile(busy_s[1:], 50)),
        "busy_p99_ms": 1e3 * float(np.percentile(busy_s[1:], 99)),
        "half_tr_ms": 500 * _TR_S,
        "worst_mm": max(mm),
        "worst_deg": max(deg),
    }
    print(f"{asked.moves} movements of {' x '.join(map(str, head.grid))} voxels, {len(head.voxels)} read off")
    print(f"off by at most {told['worst_mm']:.4f} mm and {told['worst_deg']:.4f} degrees")
    print(
        f"{told['p50_ms']:.0f} ms a volume, p99 {told['p99_ms']:.0f} ms (half a TR: {told['half_tr_ms']:.0f} ms); the "
        f"first {told['first_ms']:.0f} ms; of the processor {told['busy_p50_ms']:.0f} ms, p99 "
        f"{told['busy_p99_ms']:.0f} ms"
    )
    print(json.dumps(told))


if __name__ == "__main__":
    main()
