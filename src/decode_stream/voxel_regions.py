"""The regions of a recording's voxels, where its dataset tells them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from decode_stream.decoders.regions import Atlas, Regions
from decode_stream.replay_data.nsd.facts import LABELS, NsdFile, nsd_file
from decode_stream.replay_data.nsd.folders import recordings_in
from decode_stream.replay_data.nsd.regions import regions
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.replay_data.stored import StoredRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

__all__ = ["recording_regions", "subject_regions", "voxel_indices"]


def voxel_indices(names: Sequence[str]) -> IntArray:
    """Return the indices (x, y, z) of voxels by their channels' names, shape (n, 3), int64.

    Raises
    ------
    RecordingError
        If a channel is no voxel by its name.
    """
    try:
        indices = np.array([[int(cell) for cell in name.split(",")] for name in names], dtype=np.int64)
        if indices.ndim == 2 and indices.shape[1] == 3 and indices.min() >= 0:
            return indices
    except ValueError:
        pass
    wrong = next((name for name in names if name.count(",") != 2), names[0] if names else "none")
    raise RecordingError(
        f"The channel {wrong!r} is no voxel: voxels are named by their indices, as in 12,40,33. Regions and maps need "
        "recordings of NIfTI or of NSD, and bundles that were trained on them."
    )


def recording_regions(path: Path, recording: Recording, names: Sequence[str]) -> Regions | None:
    """Return the regions of some of a recording's voxels, or None where nothing tells any.

    Parameters
    ----------
    path : Path
        Where the recording was opened; of one that was converted, what it was converted from counts as well.
    names : sequence of str
        Channels, in the order of the voxels.

    Raises
    ------
    RecordingError
        If an atlas is damaged, or of another grid.
    """
    if isinstance(recording, SimulatedVolumes):
        places = {channel.name: i for i, channel in enumerate(recording.channels)}
        return subject_regions(recording.subject).of(np.array([places[name] for name in names]))
    file = _nsd(path)
    if file is None and isinstance(recording, StoredRecording) and recording.source:
        file = nsd_file(Path(recording.source))
    if file is None or file.func_folder is None or not file.func_folder.is_dir():
        return None
    found = regions(file.func_folder, voxel_indices(names))
    atlases = {
        name: Atlas.of(region.labels, region.names)
        for name, region in found.items()
        if (region.labels > 0).any()
    }
    return Regions(atlases) if atlases else None


def subject_regions(subject: FmriSubject) -> Regions:
    """Return the regions of a simulated person's voxels, by NSD's names."""
    labels = {"streams": subject.streams, "prf-visualrois": subject.visual}
    return Regions({name: Atlas.of(values, LABELS[name]) for name, values in labels.items()})


def _nsd(path: Path) -> NsdFile | None:
    if path.is_dir():
        held = recordings_in(path)
        return nsd_file(held[0]) if len(held) == 1 else None
    return nsd_file(path)
