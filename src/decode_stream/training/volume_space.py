"""The grid of the volumes that a decoder is trained on, and one of them to bring live ones to."""

from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.volume_space import VolumeSpace
from decode_stream.replay_data.formats.nifti_volumes import open_nifti, stored_volumes
from decode_stream.replay_data.formats.voxels import VoxelRecording
from decode_stream.replay_data.stored import StoredRecording
from decode_stream.stream.fmri.beta_recording import BetaRecording
from decode_stream.stream.recording import Recording

__all__ = ["volume_space"]

#: The reference is the mean of so many first volumes: less noisy than one, and the head has hardly moved.
_MEAN_OF = 10


def volume_space(
    path: Path, recording: Recording
) -> tuple[VolumeSpace | None, npt.NDArray[np.float32] | None]:
    """Return the grid of a recording's voxels and a whole volume in it, each where something tells it.

    Parameters
    ----------
    path : Path
        Where the recording was opened; of one that was converted, what it was converted from counts.

    Raises
    ------
    RecordingError
        If images are damaged.
    """
    if isinstance(recording, BetaRecording):
        recording = recording.volumes
    if isinstance(recording, StoredRecording) and recording.source:
        path = Path(recording.source)
    if path.is_file() and path.name.endswith((".nii", ".nii.gz")):
        image = open_nifti(path)
        volumes = [np.asarray(v, np.float32) for v in islice(stored_volumes(image), _MEAN_OF)]
        mean = np.mean(volumes, axis=0) * image.slope + image.inter
        affine_mm = image.affine_mm if image.placed else None
        return VolumeSpace.of(image.shape, affine_mm), np.asarray(mean, np.float32)
    if isinstance(recording, VoxelRecording):
        return VolumeSpace.of(recording.grid, recording.affine_mm), None
    return None, None
