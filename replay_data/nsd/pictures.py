"""NSD's pictures, read one at a time."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError

from .facts import download

__all__ = ["PICTURES", "nsd_picture"]

PICTURES = Path("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")


def nsd_picture(path: Path, nsd_id: int) -> npt.NDArray[np.uint8]:
    """Return one picture of ``nsd_stimuli.hdf5``, shape (height, width, 3), uint8; nothing else is read.

    Parameters
    ----------
    path : Path
        The file, or the dataset's folder.
    nsd_id : int
        From 0.

    Raises
    ------
    RecordingError
        If the file is missing or damaged, or holds no such picture.
    """
    import h5py

    file_path = path / PICTURES if path.is_dir() else path
    if not file_path.is_file():
        raise RecordingError(
            f"{file_path} does not exist. It is downloaded from {download(None, PICTURES)} (40 GB)."
        )
    try:
        with h5py.File(file_path) as file:
            brick = file.get("imgBrick")
            if not isinstance(brick, h5py.Dataset) or brick.ndim != 4 or brick.dtype != np.uint8:
                raise RecordingError(
                    f"{file_path} has no 'imgBrick' of pictures (n, height, width, 3), uint8."
                )
            if not 0 <= nsd_id < len(brick):
                raise RecordingError(
                    f"{file_path} holds the pictures 0 to {len(brick) - 1}, and not {nsd_id}. Ids count from 0."
                )
            return np.asarray(brick[nsd_id])
    except OSError as error:
        raise RecordingError(f"{file_path} is damaged or cut off: {error}. Download it again.") from error
