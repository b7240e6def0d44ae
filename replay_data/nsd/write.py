"""Write NSD's published layout, file for file, from arrays: simulated subjects, and subjects of one's own.

All paths and forms are those that `layout`, beside this file, reads. Every file appears under its name only when it is
whole, and is written in blocks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.write_nifti import write_nifti
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray

from .facts import BETA_SCALE, TR_S, TRIAL_S
from .pictures import PICTURES

__all__ = [
    "write_betas",
    "write_pictures",
    "write_regions",
    "write_timeseries",
]

_BLOCK_VALUES = 2**22


def write_regions(
    root: Path,
    subject: int,
    regions: Mapping[str, IntArray],
    affine_mm: FloatArray,
    names: Mapping[str, Mapping[int, str]],
    prep: str = "func1pt8mm",
) -> None:
    """Write the brain mask and the regions of interest, with the names of their labels.

    Parameters
    ----------
    root : Path
        The dataset's folder to be.
    subject : int
        1 to 8.
    regions : mapping of str to array of shape (x, y, z)
        Whole numbers by name: ``brainmask``, ``nsdgeneral``, ``streams``, ``prf-visualrois``, ...; -1 outside cortex.
    affine_mm : array of shape (4, 4)
        From voxel indices to millimetres.
    names : mapping
        By region, the name of every label; written once for all subjects.
    prep : str
        ``func1pt8mm`` or ``func1mm``.

    Raises
    ------
    RecordingError
        If a file is there already or cannot be written.
    """
    folder = root / f"nsddata/ppdata/subj{subject:02d}" / prep
    for name, labels in regions.items():
        inside = f"{name}.nii.gz" if name == "brainmask" else f"roi/{name}.nii.gz"
        values = labels.astype(np.int16)
        with written_whole(folder / inside) as path:
            write_nifti(path, values.shape, np.dtype("<i2"), affine_mm, 0.0, iter([values]))
    for name, labels_of in names.items():
        table = root / f"nsddata/freesurfer/fsaverage/label/{name}.mgz.ctab"
        if not table.exists():
            with written_whole(table) as path:
                lines = ("0 Unknown", *(f"{label} {text}" for label, text in labels_of.items()))
                path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_betas(
    root: Path,
    subject: int,
    session: int,
    betas: FloatArray,
    mask: npt.NDArray[np.bool_],
    affine_mm: FloatArray,
    *,
    version: str = "betas_fithrf_GLMdenoise_RR",
    forms: Sequence[str] = ("hdf5", "nii.gz"),
    prep: str = "func1pt8mm",
) -> None:
    """Write the betas of one session, int16, 300 times percent signal change.

    In HDF5 the trials of one voxel lie together, as published; voxels outside the mask take no room.

    Parameters
    ----------
    root : Path
        The dataset's folder to be.
    subject, session : int
        1-based.
    betas : array of shape (n_trials, n_voxels), floating
        Percent signal change, in C order over (x, y, z) of the mask; may be mapped from disk.
    mask : array of shape (x, y, z), bool
    affine_mm : array of shape (4, 4)
        From voxel indices to millimetres.
    forms : sequence of {"hdf5", "nii.gz"}

    Raises
    ------
    RecordingError
        If a file is there already or cannot be written, or a beta is beyond what int16 holds, 109 %.
    """
    folder = root / f"nsddata_betas/ppdata/subj{subject:02d}" / prep / version
    path = folder / f"betas_session{session:02d}"
    if betas.shape[1] != np.count_nonzero(mask):
        raise ValueError(
            f"Betas of shape {betas.shape} do not fit a mask of {np.count_nonzero(mask)} voxels."
        )
    if "hdf5" in forms:
        with written_whole(path.with_suffix(".hdf5")) as part:
            _write_hdf5(part, betas, mask)
    if "nii.gz" in forms:
        shape = (*mask.shape, len(betas))
        with written_whole(path.with_suffix(".nii.gz")) as part:
            rows = (_scaled(betas[i : i + 1])[0] for i in range(len(betas)))
            write_nifti(part, shape, np.dtype("<i2"), affine_mm, TRIAL_S, _volumes(rows, mask))


def write_timeseries(
    root: Path,
    subject: int,
    session: int,
    run: int,
    recording: Recording,
    mask: npt.NDArray[np.bool_],
    affine_mm: FloatArray,
    prep: str = "func1pt8mm",
) -> None:
    """Write one run's volumes and the design file that says which picture begins in which volume.

    Parameters
    ----------
    root : Path
        The dataset's folder to be.
    subject, session : int
        1-based.
    run : int
        As the files count; see `decode_stream.replay_data.nsd.facts.file_run`.
    recording : Recording
        Its channels are the voxels of the mask in C order over (x, y, z), its values fit int16, its stimuli have ids
        from 0.
    mask, affine_mm, prep
        As in `write_betas`.

    Raises
    ------
    RecordingError
        If a file is there already or cannot be written, or a value is beyond what int16 holds.
    """
    folder = root / f"nsddata_timeseries/ppdata/subj{subject:02d}" / prep
    label = f"session{session:02d}_run{run:02d}"
    shape = (*mask.shape, recording.n_samples)
    # The design covers the slots of 4 s only; the published volumes go on for one more.
    design = np.zeros(recording.n_samples - recording.n_samples % round(TRIAL_S / TR_S[prep]), dtype=np.int64)
    if recording.stimuli.id is not None:
        design[recording.stimuli.onset] = recording.stimuli.id + 1
    with written_whole(folder / "design" / f"design_{label}.tsv") as path:
        path.write_text("".join(f"{cell}\n" for cell in design.tolist()), encoding="utf-8")
    with written_whole(folder / "timeseries" / f"timeseries_{label}.nii.gz") as path:
        rows = (_int16(recording.read(i, i + 1))[0] for i in range(recording.n_samples))
        write_nifti(path, shape, np.dtype("<i2"), affine_mm, TR_S[prep], _volumes(rows, mask))


def write_pictures(
    root: Path, pictures: Iterable[npt.NDArray[np.uint8]], n_pictures: int, size: int = 425
) -> None:
    """Write ``nsd_stimuli.hdf5``.

    Parameters
    ----------
    root : Path
        The dataset's folder to be.
    pictures : iterable of array of shape (size, size, 3), uint8
        By `nsdId`; one at a time is held.
    n_pictures : int
        How many there are.

    Raises
    ------
    RecordingError
        If the file is there already or cannot be written.
    """
    import h5py

    with written_whole(root / PICTURES) as path, h5py.File(path, "w") as file:
        shape = (n_pictures, size, size, 3)
        brick = file.create_dataset("imgBrick", shape, np.uint8, chunks=(1, *shape[1:]))
        n = 0
        for n, picture in enumerate(pictures, start=1):
            brick[n - 1] = picture
        if n != n_pictures:
            raise ValueError(f"There were {n} pictures where {n_pictures} were due.")


def _write_hdf5(path: Path, betas: FloatArray, mask: npt.NDArray[np.bool_]) -> None:
    import h5py

    n_trials, voxels = len(betas), np.argwhere(mask)
    step = max(1, _BLOCK_VALUES // n_trials)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset(
            "betas", (n_trials, *mask.shape[::-1]), "<i2", chunks=(n_trials, 1, 1, 1)
        )
        for start in range(0, len(voxels), step):
            block = np.ascontiguousarray(_scaled(betas[:, start : start + step]).T)
            for (x, y, z), series in zip(voxels[start : start + step].tolist(), block, strict=True):
                stored.id.write_direct_chunk((0, z, y, x), series.tobytes())


def _volumes(
    rows: Iterator[npt.NDArray[np.int16]], mask: npt.NDArray[np.bool_]
) -> Iterator[npt.NDArray[np.int16]]:
    """Yield whole volumes, zero outside the mask."""
    volume = np.zeros(mask.shape, dtype=np.int16)
    for row in rows:
        volume[mask] = row
        yield volume


def _scaled(betas: FloatArray) -> npt.NDArray[np.int16]:
    return _int16(np.asarray(betas, np.float64) * BETA_SCALE)


def _int16(values: FloatArray) -> npt.NDArray[np.int16]:
    rounded = np.rint(values)
    if not np.all(np.abs(rounded) <= np.iinfo(np.int16).max):
        raise RecordingError(
            f"The values reach {np.nanmax(np.abs(rounded)):g} or are not finite, and NSD's files hold whole numbers up "
            f"to {np.iinfo(np.int16).max}. Scale them, or leave those voxels out."
        )
    return rounded.astype(np.int16)
