"""Betas of NSD, one value a voxel and trial: from HDF5 and from NIfTI, in the same order and unit."""

import tempfile
from errno import EACCES
from os import strerror
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.nifti_volumes import NiftiVoxels, no_room, open_nifti
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, IntArray

from .facts import BETA_SCALE

__all__ = ["Hdf5Betas", "NiftiBetas", "hdf5_shape"]

_BLOCK_TRIALS = 16


class NiftiBetas:
    """Betas in NIfTI; see `NiftiVoxels` for how they are read.

    Parameters
    ----------
    path : Path
        ``betas_session01.nii.gz``.
    voxels : array of shape (n_voxels, 3), int64
        Indices (x, y, z).
    """

    def __init__(self, path: Path, voxels: IntArray) -> None:
        image = open_nifti(path)
        self._source = NiftiVoxels(image, voxels)
        # Betas that somebody has turned into numbers with a point are percent already.
        self._scale = BETA_SCALE if image.dtype.kind in "iu" else 1.0
        self.n_volumes = self._source.n_volumes

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the trials [start, stop), shape (stop - start, n_voxels), float32, percent signal change."""
        return self._source.read(start, stop) / np.float32(self._scale)


class Hdf5Betas:
    """Betas in HDF5, ``betas`` (trials, z, y, x) as h5py has it.

    As published, all trials of one voxel lie together, so that one trial is spread over the whole file: then the
    chosen voxels are brought together first, in a temporary file. Files that hold trial after trial are read as such.

    Parameters
    ----------
    path : Path
        ``betas_session01.hdf5``.
    voxels : array of shape (n_voxels, 3), int64
        Indices (x, y, z).
    """

    def __init__(self, path: Path, voxels: IntArray) -> None:
        shape, dtype, chunks = hdf5_shape(path)
        self._path = path
        self._voxels = voxels
        self._scale = BETA_SCALE if dtype.kind in "iu" else 1.0
        self._dtype = dtype
        self._by_voxel = chunks is not None and chunks[1:] == (1, 1, 1)
        self._gathered: npt.NDArray[Any] | None = None
        self.n_volumes = shape[0]

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the trials [start, stop), shape (stop - start, n_voxels), float32, percent signal change.

        Raises
        ------
        RecordingError
            If the file is damaged there, or the temporary files have no room.
        """
        start, stop = max(0, start), min(stop, self.n_volumes)
        if self._by_voxel:
            if self._gathered is None:
                self._gathered = self._gather()
            raw = self._gathered[:, start : max(start, stop)].T
        else:
            raw = self._trials(start, stop)
        return raw.astype(np.float32, order="C") / np.float32(self._scale)

    def _trials(self, start: int, stop: int) -> npt.NDArray[Any]:
        x, y, z = self._voxels.T
        raw = np.empty((max(0, stop - start), len(self._voxels)), self._dtype)
        try:
            with _open(self._path) as file:
                for at in range(start, stop, _BLOCK_TRIALS):
                    block = file["betas"][at : min(at + _BLOCK_TRIALS, stop)]
                    raw[at - start : at - start + len(block)] = block[:, z, y, x]
        except OSError as error:
            raise _damaged(self._path, error) from error
        return raw

    def _gather(self) -> npt.NDArray[Any]:
        """Return the chosen voxels, shape (n_voxels, n_trials), mapped from a file that vanishes with the map."""
        with tempfile.TemporaryFile(prefix="decode-stream-") as gathered:
            try:
                with _open(self._path) as file:
                    betas = file["betas"]
                    for x, y, z in self._voxels.tolist():
                        _keep(gathered, betas[:, z, y, x].tobytes(), self._path)
            except OSError as error:
                raise _damaged(self._path, error) from error
            gathered.flush()
            return np.memmap(gathered, self._dtype, "r", 0, (len(self._voxels), self.n_volumes))


def hdf5_shape(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], tuple[int, ...] | None]:
    """Return shape (trials, z, y, x), type and chunks of betas in HDF5.

    Raises
    ------
    RecordingError
        If the file is damaged, cut off, or holds no betas.
    """
    import h5py

    try:
        with _open(path) as file:
            betas = file.get("betas")
            if not isinstance(betas, h5py.Dataset) or betas.ndim != 4 or min(betas.shape) < 1:
                raise RecordingError(
                    f"{path} has no dataset 'betas' (trials, z, y, x); it holds {', '.join(file) or 'nothing'}. "
                    "Betas of volumes are in func1pt8mm and func1mm."
                )
            if betas.dtype.kind not in "iuf":
                raise RecordingError(f"{path} holds {betas.dtype} values; betas are numbers.")
            return tuple(betas.shape), betas.dtype, betas.chunks
    except OSError as error:
        raise _damaged(path, error) from error


def _keep(file: IO[bytes], values: bytes, path: Path) -> None:
    try:
        file.write(values)
    except OSError as error:
        raise RecordingError(no_room(path, error)) from error


def _open(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r")


def _damaged(path: Path, error: OSError) -> RecordingError:
    if error.errno == EACCES:
        return RecordingError(f"{path} cannot be read: {strerror(EACCES)}.")
    return RecordingError(f"{path} is no HDF5 file, or is damaged or cut off: {error}. Download it again.")
