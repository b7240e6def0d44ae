"""Rigid registration of each volume to a reference, and the voxels as they would lie without the movement."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Corrected", "MotionCorrection"]

#: Slices, rows and columns that a volume needs so that a movement can be told along each axis.
_LEAST_EXTENT = 6
#: What lies above this part of the brightest percent's signal counts as the head.
_HEAD = 0.2
#: The head does not move faster from volume to volume than one look can follow; where a run begins it may lie anywhere,
#: so that first the blurred volumes are laid over each other. Each look: blur in voxels, first step in mm.
_NEXT = ((0.8, 1.0),)
_FIRST = ((4.0, 4.0), (2.0, 2.0), *_NEXT, *_NEXT)
#: Places at which a volume is compared with the reference. They are drawn within their voxels, always the same, so that
#: places between voxels are not preferred for being smooth.
_N_PLACES, _SEED = 20_000, 1
_LEAST_STEP_MM, _MOST_STEPS = 1e-3, 60
#: No head gets farther away in its coil: what was found is another thing.
_FARTHEST_MM, _FARTHEST_RAD = 60.0, 0.7
_THREADS = 2
_MIRROR = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Corrected:
    """A volume, brought to the reference.

    Attributes
    ----------
    values : array of shape (n_voxels,), float32
        The chosen voxels, where they lie in the reference.
    motion : array of shape (6,), float64
        In the order of `decode_stream.stream.types.MOTION`, millimetres and radians: what brings the volume to the
        reference, as MCFLIRT tells it, but about the centre of the reference's grid:
        x_reference = Rx Ry Rz (x_volume - centre) + centre + trans, with x in millimetres to the right, anterior and
        superior, and rotations counterclockwise as seen from an axis's tip.
    """

    values: npt.NDArray[np.float32]
    motion: npt.NDArray[np.float64]


class MotionCorrection:
    """Follows the head through a run.

    Six parameters make the mean square of the differences between a volume and the reference least, over a fixed
    choice of voxels of the head, by gradient descent with steps that shrink (SimpleITK). It begins where the head was
    in the volume before. The chosen voxels are then read off the volume by cubic splines. The same volumes give the
    same bits, since one thread adds the differences up.

    Parameters
    ----------
    reference : array of shape (x, y, z)
        The volume that all others are brought to.
    affine_mm : array of shape (4, 4)
        From the reference's voxel indices to millimetres to the right, anterior and superior.
    voxels : array of shape (n_voxels, 3), int64
        Indices of the voxels that are wanted, in the reference's grid.

    Raises
    ------
    UsageError
        If the reference has too few slices to tell a movement, or holds no head.
    """

    def __init__(self, reference: FloatArray, affine_mm: FloatArray, voxels: IntArray) -> None:
        self._check(reference, affine_mm)
        self._reference = np.nan_to_num(reference).astype(np.float32)
        self._affine_mm = np.asarray(affine_mm, np.float64)
        self._center_mm = _placed((np.array(reference.shape) - 1) / 2, self._affine_mm)
        self._voxels_mm = _placed(voxels, self._affine_mm)
        self._head = _head(self._reference)
        self._level = float(self._reference[self._head].mean(dtype=np.float64))
        self._at: list[float] | None = None
        # Takes a quarter of a second, so only what registers imports it.
        import SimpleITK

        SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # type: ignore[no-untyped-call]
        # The smoothing of small volumes gains nothing from more, and the decoder needs its own.
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(_THREADS)  # type: ignore[no-untyped-call]
        self._itk: Any = SimpleITK
        self._scales = self._curvatures()
        self._fixed = {blur: self._prepared(blur) for blur, _ in _FIRST}

    @staticmethod
    def _check(reference: FloatArray, affine_mm: FloatArray) -> None:
        if reference.ndim != 3 or min(reference.shape) < _LEAST_EXTENT:
            shape = " x ".join(str(n) for n in reference.shape)
            raise UsageError(
                f"A volume of {shape} voxels is too thin to tell how the head moved: along every axis "
                f"{_LEAST_EXTENT} are needed."
            )
        if not np.isfinite(affine_mm).all() or abs(np.linalg.det(affine_mm[:3, :3])) < 1e-6:
            raise UsageError("The affine of the reference is not one of a volume: its axes fall together.")
        if not _head(np.nan_to_num(reference)).any():
            raise UsageError("The reference volume holds no signal. Give another one with --reference.")

    @property
    def motion(self) -> npt.NDArray[np.float64] | None:
        """The movement of the last volume, as `Corrected` has it; None before the first."""
        return None if self._at is None else self._told(self._at)

    def state(self) -> npt.NDArray[np.float64]:
        """Return where the head is now, shape (6,), to the bit as `resume` needs it; NaN before the first volume."""
        return np.full(6, np.nan) if self._at is None else np.array(self._at)

    def resume(self, state: FloatArray) -> None:
        """Go on from a `state` of an earlier session."""
        self._at = None if np.isnan(state).any() else [float(value) for value in state]

    def correct(self, volume: FloatArray, affine_mm: FloatArray | None = None) -> Corrected:
        """Bring a volume to the reference.

        Parameters
        ----------
        volume : array of shape (x, y, z)
            Values that are not finite count as 0. Where the head has left the volume, its edge is taken.
        affine_mm : array of shape (4, 4), optional
            Of the volume, where it does not lie as the reference does.

        Returns
        -------
        Corrected
            Of a volume in which nothing can be found again, with the movement of the one before.
        """
        affine_mm = self._affine_mm if affine_mm is None else np.asarray(affine_mm, np.float64)
        volume = np.nan_to_num(volume).astype(np.float32)
        self._at = self._found(volume, affine_mm)
        rotation, shift_mm = _matrix(self._at)
        places_mm = (self._voxels_mm - self._center_mm) @ rotation.T + self._center_mm + shift_mm
        back = np.linalg.inv(affine_mm)
        return Corrected(
            _cubic(volume, places_mm @ back[:3, :3].T + back[:3, 3]),
            self._told(self._at),
        )

    def _told(self, at: list[float]) -> npt.NDArray[np.float64]:
        """Return the way back of what the registration found: where each place of the reference lies in the volume."""
        rotation, shift_mm = _matrix(at)
        r = rotation.T
        angles = np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(r[0, 2]), np.arctan2(-r[0, 1], r[0, 0])
        return np.array([*(-r @ shift_mm), *angles])

    def _found(self, volume: FloatArray, affine_mm: FloatArray) -> list[float]:
        before = at = self._at or [0.0] * 6
        # A scanner's gain may have changed since the reference; differences are to be those of place.
        level = float(volume[_head(volume)].mean(dtype=np.float64)) if volume.any() else 0.0
        if level <= 0:
            return at
        moving = self._image(volume * np.float32(self._level / level), affine_mm)
        for blur, step_mm in _FIRST if self._at is None else _NEXT:
            try:
                at = self._looked(moving, at, blur, step_mm)
            except RuntimeError:  # the two do not overlap
                return before
        lost = max(map(abs, at[3:])) > _FARTHEST_MM or max(map(abs, at[:3])) > _FARTHEST_RAD
        return before if lost else at

    def _looked(self, moving: Any, at: list[float], blur: float, step_mm: float) -> list[float]:
        itk = self._itk
        fixed, head = self._fixed[blur]
        method = itk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetMetricAsMeanSquares()
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(min(1.0, _N_PLACES / self._reference.size), _SEED)
        method.SetMetricFixedMask(head)
        # Slopes where they are needed alone, not of whole volumes.
        method.MetricUseMovingImageGradientFilterOff()
        method.MetricUseFixedImageGradientFilterOff()
        method.SetInterpolator(itk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(step_mm, _LEAST_STEP_MM, _MOST_STEPS, 0.6, 1e-8)
        method.SetOptimizerScales(self._scales)
        transform = itk.Euler3DTransform()
        transform.SetCenter((_MIRROR @ self._center_mm).tolist())
        transform.SetParameters(at)
        method.SetInitialTransform(transform, True)
        found = method.Execute(fixed, self._blur(moving, blur))
        return [float(value) for value in found.GetParameters()]

    def _curvatures(self) -> list[float]:
        """Return how steeply the differences grow with a rotation about each axis and a shift along it.

        That is the diagonal of the Hessian in the approximation of Gauss and Newton, about 1 for a shift: a step along
        what is left of the gradient when it is divided by these goes as far as it should along all six.
        """
        x_mm = _placed(np.argwhere(self._head), self._affine_mm) - self._center_mm
        slopes = np.stack([np.gradient(self._reference, axis=axis)[self._head] for axis in range(3)], -1)
        slopes = slopes @ np.linalg.inv(self._affine_mm[:3, :3])
        shifts = (slopes**2).mean(0)
        return [
            float(v)
            for v in (*(np.cross(x_mm, slopes) ** 2).mean(0) / shifts.mean(), *shifts / shifts.mean())
        ]

    def _prepared(self, blur: float) -> tuple[Any, Any]:
        """Return the reference, blurred, and the head in it as a mask."""
        image = self._image(self._reference, self._affine_mm)
        head = self._image(self._head.astype(np.uint8), self._affine_mm)
        return self._blur(image, blur), self._itk.BinaryDilate(head, [1] * 3)

    def _blur(self, image: Any, blur: float) -> Any:
        return self._itk.SmoothingRecursiveGaussian(image, [blur * size for size in image.GetSpacing()])

    def _image(self, values: npt.NDArray[Any], affine_mm: FloatArray) -> Any:
        """Return a volume as the library has it: axes z, y, x, and millimetres to the left, posterior and superior."""
        image = self._itk.GetImageFromArray(np.ascontiguousarray(values.T))
        spacing_mm = np.linalg.norm(affine_mm[:3, :3], axis=0)
        # Headers are rounded, and the library takes right angles only: the nearest ones.
        left, _, right = np.linalg.svd(affine_mm[:3, :3] / spacing_mm)
        image.SetSpacing(spacing_mm.tolist())
        image.SetDirection((_MIRROR @ left @ right).ravel().tolist())
        image.SetOrigin((_MIRROR @ affine_mm[:3, 3]).tolist())
        return image


def _placed(indices: npt.NDArray[Any], affine_mm: FloatArray) -> npt.NDArray[np.float64]:
    """Return indices, shape (..., 3), in millimetres."""
    return np.asarray(indices @ affine_mm[:3, :3].T + affine_mm[:3, 3], np.float64)


def _head(volume: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which voxels are the head's, by their brightness."""
    return np.asarray(volume > _HEAD * np.percentile(volume, 99))


def _matrix(at: list[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return rotation and shift in our axes of the library's parameters: R = Rz Rx Ry in its own."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(at[:3]), np.cos(at[:3])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return _MIRROR @ about_z @ about_x @ about_y @ _MIRROR, _MIRROR @ np.array(at[3:])


def _cubic(volume: FloatArray, places: FloatArray) -> npt.NDArray[np.float32]:
    """Return a volume at places between its voxels by cubic splines.

    Parameters
    ----------
    volume : array of shape (x, y, z), float32
    places : array of shape (n, 3)
        In voxel indices.
    """
    from scipy import ndimage

    return np.asarray(
        ndimage.map_coordinates(
            ndimage.spline_filter(volume, 3, np.float64, "nearest"),
            places.T,
            order=3,
            prefilter=False,
            mode="nearest",
        ),
        np.float32,
    )
