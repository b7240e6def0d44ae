"""NSD's masks and regions of interest: found by name, checked against the grid, their labels named."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.voxels import check_grid, is_a_path, read_mask
from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.types import FloatArray, IntArray

from .facts import GRIDS, LABELS, NsdFile, download, nsd_root

__all__ = ["Region", "find_mask", "label_names", "region_file", "region_files", "regions"]

_DEFAULT = "nsdgeneral"


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The labels of one atlas in a recording's voxels.

    Attributes
    ----------
    labels : array of shape (n_voxels,), int64
        -1 outside the cortex, 0 for cortex that has no name here.
    names : dict
        Name of every label above 0.
    """

    labels: IntArray
    names: dict[int, str]


def region_file(func_folder: Path, name: str) -> Path:
    """Return where a region or mask of that name lies: in ``roi/``, or beside it as ``brainmask`` does."""
    beside = func_folder / f"{name}.nii.gz"
    return beside if beside.is_file() else func_folder / "roi" / f"{name}.nii.gz"


def region_files(func_folder: Path) -> list[Path]:
    """Return the files of a subject's regions, without the halves ``lh.`` and ``rh.`` that some have beside them."""
    files = sorted((func_folder / "roi").glob("*.nii.gz"))
    return [path for path in files if not path.name.startswith(("lh.", "rh."))]


def find_mask(
    file: NsdFile,
    asked: str | None,
    grid: tuple[int, int, int],
    affine_mm: FloatArray | None,
    notes: list[str],
) -> tuple[npt.NDArray[np.bool_], FloatArray | None]:
    """Return the mask that is asked for, shape (x, y, z), bool, and the affine of its file.

    Parameters
    ----------
    file : NsdFile
        The betas or time series.
    asked : str or None
        ``all``, the path of a mask, a region (``nsdgeneral``, the default; ``streams``; ``brainmask``), or some labels
        of one by name or number (``prf-visualrois=V1v,V1d``).
    grid : tuple of int
        Voxels of `file`.
    affine_mm : array of shape (4, 4) or None
        Of `file`, if it has one.
    notes : list of str
        Is added to.

    Raises
    ------
    RecordingError
        If there is no such region or label, its file is missing or damaged, or it lies on another grid.
    """
    if asked == "all":
        return np.ones(grid, dtype=np.bool_), None
    name, _, wanted = (asked, "", "") if asked and is_a_path(asked) else (asked or _DEFAULT).partition("=")
    path = Path(name).expanduser() if is_a_path(name) else _region_path(file, name)
    if asked is None:
        notes.append(f"The voxels are those of {_DEFAULT}; another mask can be asked for, or 'all'.")
    values, image = read_mask(path)
    check_grid(image, grid, affine_mm, file.path, _whose_grid(image.shape))
    if not wanted:
        return values > 0, image.affine_mm
    names = label_names(nsd_root(path), path.name.split(".nii")[0])
    return np.isin(values, [_label(cell.strip(), names, path) for cell in wanted.split(",")]), image.affine_mm


def label_names(root: Path | None, atlas: str) -> dict[int, str]:
    """Return the names of an atlas's labels: from its ``.mgz.ctab`` if it is there, else as NSD published them.

    Raises
    ------
    RecordingError
        If the table is damaged.
    """
    for person in ("fsaverage", "subj01") if root else ():
        path = Path(root or "") / "nsddata/freesurfer" / person / "label" / f"{atlas}.mgz.ctab"
        if path.is_file():
            return _read_ctab(path)
    return LABELS.get(atlas, {})


def regions(func_folder: Path, voxels: IntArray) -> dict[str, Region]:
    """Return, for every atlas in a subject's folder, the label of each voxel.

    Parameters
    ----------
    func_folder : Path
        ``nsddata/ppdata/subj01/func1pt8mm``.
    voxels : array of shape (n_voxels, 3), int64
        Indices (x, y, z) from 0, as `VoxelRecording.voxels` has them.

    Raises
    ------
    RecordingError
        If a file is damaged, or too small for the voxels.
    """
    found = {}
    for path in region_files(func_folder):
        atlas = path.name.removesuffix(".nii.gz")
        values, image = read_mask(path)
        if len(voxels) and np.any(voxels.max(axis=0) >= image.shape):
            raise RecordingError(
                f"{path} has the grid {image.shape}, too small for the voxel {tuple(voxels.max(axis=0).tolist())}. It "
                "belongs to another person or space."
            )
        labels = np.nan_to_num(values[tuple(voxels.T)]).astype(np.int64)
        found[atlas] = Region(labels, label_names(nsd_root(func_folder), atlas))
    return found


def _region_path(file: NsdFile, name: str) -> Path:
    folder = file.func_folder
    if folder is None:
        raise RecordingError(
            f"{file.path} lies outside NSD's folders, so the mask {name!r} cannot be found beside it. Give the path "
            "of a mask, or 'all'."
        )
    path = region_file(folder, name)
    if not path.is_file():
        held = sorted(p.name.removesuffix(".nii.gz") for p in (folder / "roi").glob("*.nii.gz"))
        there = f" There are: {', '.join(held)}.{did_you_mean(name, held)}" if held else ""
        raise RecordingError(
            f"The mask {path} does not exist.{there} It is downloaded from {download(file.root, path)}; or give "
            "another mask, or 'all'."
        )
    return path


def _label(cell: str, names: dict[int, str], path: Path) -> int:
    if cell.lstrip("-").isdecimal():
        return int(cell)
    for label, name in names.items():
        if name.casefold() == cell.casefold():
            return label
    raise RecordingError(
        f"{path} has no label {cell!r}.{did_you_mean(cell, names.values())} Known are "
        f"{', '.join(f'{label} {name}' for label, name in names.items()) or 'numbers only'}."
    )


def _read_ctab(path: Path) -> dict[int, str]:
    names = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if len(cells := line.split()) >= 2 and int(cells[0]) > 0:
                names[int(cells[0])] = cells[1]
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} is no table of labels: {error}. Download it again.") from error
    return names


def _whose_grid(grid: tuple[int, ...]) -> str:
    """Say whose grid a mask has."""
    for prep, grids in GRIDS.items():
        for subject, known in grids.items():
            if grid == known:
                return f" That grid is subject {subject}'s in {prep}."
    return ""
