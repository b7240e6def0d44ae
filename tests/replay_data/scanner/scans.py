"""Recordings to scan, a clock that need not be waited for, and what nibabel makes of a scan's files."""

import threading
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from decode_stream.replay_data.formats.nifti_volumes import open_nifti
from decode_stream.replay_data.scanner.scanner import Scan, Scanner, ScanSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # nibabel calls its readers of DICOM experimental
    from nibabel.nicom import dicomwrappers

BEGAN = datetime(2026, 3, 1, 23, 59, 57, 250_000)
TR_S = 1.5
Array = npt.NDArray[Any]


def oblique_mm(signs: tuple[int, int, int] = (-1, 1, 1), angles_deg: Sequence[float] = (5, -8, 3)) -> Array:
    """Return an affine of three voxel sizes, turned about three axes."""
    affine_mm = np.eye(4)
    turn = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    affine_mm[:3, :3] = turn @ np.diag(signs) @ np.diag([3.1, 3.0, 3.75])
    affine_mm[:3, 3] = [-90.5, -110.25, -45.125]
    return affine_mm


def integers(shape: tuple[int, ...] = (6, 5, 4, 5), low: int = 0, high: int = 1500) -> Array:
    return np.random.default_rng(3).integers(low, high, shape).astype(np.int16)


def write_recording(
    path: Path,
    values: Array,
    affine_mm: Array | None = None,
    tr_s: float = TR_S,
    scale: tuple[float, float] | None = None,
) -> Path:
    image = nibabel.Nifti1Image(values, oblique_mm() if affine_mm is None else affine_mm)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr_s))
    if scale:
        image.header.set_slope_inter(*scale)
    image.to_filename(path)
    return path


class FakeClock:
    """A clock that jumps to what is waited for; `watch` is called with each time that it reaches."""

    def __init__(self, watch: Callable[[float], None] = lambda time_s: None) -> None:
        self.time_s = 0.0
        self.waited: list[float] = []
        self._watch = watch

    def now_s(self) -> float:
        return self.time_s

    def wait_until(self, time_s: float, stop: threading.Event) -> bool:
        if time_s > self.time_s:
            self._watch(time_s)
            self.time_s = time_s
            self.waited.append(time_s)
        return not stop.is_set()


def played(path: Path, out: Path, settings: ScanSettings, clock: FakeClock | None = None) -> Scan:
    """Play a recording from time 0 of a clock of its own."""
    scanner = Scanner(open_nifti(path), settings, out, clock or FakeClock())
    return scanner.run(0.0, BEGAN, threading.Event())


def volume_of(files: Sequence[Path]) -> tuple[Array, Array]:
    """Return one volume and its affine to LPS as nibabel reads it from DICOM: of slices, a mosaic or frames."""
    wrapped = [dicomwrappers.wrapper_from_file(file) for file in files]
    if len(wrapped) > 1:
        wrapped.sort(key=lambda wrapper: wrapper.slice_indicator)
    data = np.stack([wrapper.get_data() for wrapper in wrapped], axis=-1)
    data = data.reshape(*data.shape[:2], -1)
    return data, wrapped[0].affine


def in_order_of(
    affine_mm: Array, shape: tuple[int, int, int], data: Array, lps_mm: Array
) -> tuple[Array, float]:
    """Return data in the order of a recording's voxels, and how far the two grids lie apart, in voxels."""
    to_recording = np.linalg.inv(affine_mm) @ np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps_mm
    places = np.indices(data.shape).reshape(3, -1)
    lands = to_recording[:3, :3] @ places + to_recording[:3, 3:]
    nearest = np.rint(lands).astype(int)
    ordered = np.full(shape, np.nan)
    ordered[tuple(nearest)] = data.reshape(-1)
    return ordered, float(np.abs(lands - nearest).max())
