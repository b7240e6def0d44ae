"""Write THINGS-EEG2's published layout, file for file: simulated subjects, and subjects of one's own.

Every file is written in blocks and appears under its name only when it is whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.write_arrays import Turned, write_numpy_dict
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.units import unit_factor

from .images import METADATA, N_IMAGES
from .names import TRAINING
from .raw import TARGET
from .source import behaviour_of, trigger_codes

__all__ = ["raw_path", "source_path", "write_image_metadata", "write_raw", "write_source"]

_BLOCK_SAMPLES = 1 << 16


def source_path(root: Path, subject: int, session: int, part: int | None) -> Path:
    """Return the .vhdr of a part of a session's training, or of its test where `part` is None."""
    task = "test" if part is None else f"train_part-{part:02}"
    folder = root / "eeg_dataset" / "source_data" / f"sub-{subject:02}" / f"ses-{session:02}" / "eeg"
    return folder / f"sub-{subject:02}_ses-{session:02}_task-{task}_eeg.vhdr"


def raw_path(root: Path, subject: int, session: int, split: str) -> Path:
    """Return the raw file of a session's ``train`` or ``test``."""
    folder = root / "eeg_dataset" / "raw_data" / f"sub-{subject:02}" / f"ses-{session:02}"
    return folder / f"raw_eeg_{TRAINING[split]}.npy"


def write_source(
    recording: Recording,
    root: Path,
    *,
    subject: int,
    session: int,
    part: int | None,
    overwrite: bool = False,
) -> Path:
    """Write a part of a session as it was recorded: BrainVision with triggers, and the behavioural .mat.

    Parameters
    ----------
    recording : Recording
        Continuous EEG whose `stimuli` have ids, 1-based, and -1 for targets.
    root : Path
        Folder of the dataset.
    part : int or None
        1 to 5 for training, None for test.

    Returns
    -------
    Path
        The .vhdr.

    Raises
    ------
    RecordingError
        If it has no ids, its channels are not in volts, or it cannot be written. The .vhdr comes last, so no part
        looks whole that is not.
    """
    header = source_path(root, subject, session, part)
    onsets, ids = _shown(recording)
    data, markers = header.with_suffix(".eeg"), header.with_suffix(".vmrk")
    with written_whole(data, overwrite=overwrite) as place, place.open("wb") as file:
        for block in _volts(recording):
            file.write(np.ascontiguousarray(block * 1e6, dtype="<f4").data)
    codes = trigger_codes(ids, "test" if part is None else "train")
    lines = [
        f"Mk{i}=Stimulus,S{code:3},{at + 1},1,0"
        for i, (at, code) in enumerate(zip(onsets, codes, strict=True), 2)
    ]
    with written_whole(markers, overwrite=overwrite) as place:
        place.write_text(_MARKERS.format(data=data.name, lines="\n".join(lines)), encoding="utf-8")
    _write_behaviour(behaviour_of(header), ids, codes, "test" if part is None else "training", overwrite)
    names = "\n".join(f"Ch{i}={channel.name},,1,µV" for i, channel in enumerate(recording.channels, 1))
    text = _HEADER.format(
        data=data.name,
        markers=markers.name,
        n=len(recording.channels),
        interval_us=f"{1e6 / recording.sfreq_hz:.10g}",
        names=names,
    )
    with written_whole(header, overwrite=overwrite) as place:
        place.write_text(text, encoding="utf-8")
    return header


_MARKERS = """Brain Vision Data Exchange Marker File, Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data}

[Marker Infos]
; Mk<number>=<type>,<description>,<position in samples, from 1>,<length>,<channel, 0 for all>
Mk1=New Segment,,1,1,0
{lines}
"""
_HEADER = """Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data}
MarkerFile={markers}
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n}
SamplingInterval={interval_us}

[Binary Infos]
BinaryFormat=IEEE_FLOAT_32

[Channel Infos]
{names}
"""


def _write_behaviour(path: Path, ids: IntArray, codes: IntArray, kind: str, overwrite: bool) -> None:
    """Write the .mat: the pictures are the third field of a struct, one struct a picture, targets counted as 0."""
    import scipy.io

    numbers = np.where(ids >= 1, ids, 0).tolist()
    cells: dict[str, list[Any]] = {
        "img_type": [kind if number else "target" for number in numbers],
        "tot_img_number": numbers,
        "trigger_1": codes.tolist(),
    }
    images = np.empty((1, len(numbers)), dtype=[(name, object) for name in cells])
    for name, values in cells.items():
        images[name][0, :] = values
    with written_whole(path, overwrite=overwrite) as place:
        # numbered as published: readers take the third field by its place
        scipy.io.savemat(place, {"data": {"partition": kind, "n_images": len(numbers), "images": images}})


def write_raw(
    parts: Sequence[Recording],
    root: Path,
    *,
    subject: int,
    session: int,
    split: str,
    band_hz: tuple[float, float] = (0.01, 100.0),
    overwrite: bool = False,
) -> Path:
    """Write a session's ``train`` or ``test`` as one raw file: its parts, end to end, and a stim row.

    Parameters
    ----------
    parts : sequence of Recording
        As for `write_source`, in order and with the same channels.
    band_hz : tuple of float
        What the amplifier passed.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RecordingError
        If the parts do not go together or lack ids, or it cannot be written; nothing is left there then.
    """
    names = [channel.name for channel in parts[0].channels]
    for part in parts:
        if [channel.name for channel in part.channels] != names or part.sfreq_hz != parts[0].sfreq_hz:
            raise RecordingError(
                f"{part.name} has other channels or another rate than {parts[0].name}; join like with like."
            )
    n_samples = sum(part.n_samples for part in parts)
    path = raw_path(root, subject, session, split)
    sfreq_hz = parts[0].sfreq_hz
    values = {
        "raw_eeg_data": Turned((len(names) + 1, n_samples), np.dtype("<f8"), _with_stim(parts)),
        "ch_names": [*names, "stim"],
        "ch_types": ["eeg"] * len(names) + ["stim"],
        "sfreq": int(sfreq_hz) if sfreq_hz == int(sfreq_hz) else sfreq_hz,
        "highpass": band_hz[0],
        "lowpass": band_hz[1],
    }
    write_numpy_dict(path, values, overwrite=overwrite)
    return path


def _with_stim(parts: Sequence[Recording]) -> Iterator[FloatArray]:
    for part in parts:
        onsets, ids = _shown(part)
        stim = np.zeros(part.n_samples)
        stim[onsets] = np.where(ids >= 1, ids, TARGET)
        start = 0
        for block in _volts(part):
            yield np.column_stack([block, stim[start : start + len(block)]])
            start += len(block)


def _shown(recording: Recording) -> tuple[IntArray, IntArray]:
    ids, onsets = recording.stimuli.id, recording.stimuli.onset
    if ids is None or recording.epoch is not None:
        raise RecordingError(
            f"{recording.name} is no continuous recording with ids, which this layout is made from."
        )
    if len(onsets) and not 0 <= int(onsets.min()) <= int(onsets.max()) < recording.n_samples:
        raise RecordingError(f"{recording.name} has stimuli outside of its {recording.n_samples} samples.")
    order = np.argsort(onsets, kind="stable")
    return onsets[order], ids[order]


def _volts(recording: Recording) -> Iterator[FloatArray]:
    factors = [unit_factor(channel.unit, "V") for channel in recording.channels]
    if None in factors:
        names = [c.name for c, factor in zip(recording.channels, factors, strict=True) if factor is None]
        raise RecordingError(f"{recording.name} has channels that are not in volts: {', '.join(names[:10])}.")
    scale: npt.NDArray[np.float64] = np.array(factors, dtype=np.float64)
    for start in range(0, recording.n_samples, _BLOCK_SAMPLES):
        yield recording.read(start, min(start + _BLOCK_SAMPLES, recording.n_samples)) * scale


def write_image_metadata(
    root: Path,
    concepts: Mapping[str, Sequence[str]],
    files: Mapping[str, Sequence[str]],
    concepts_things: Mapping[str, Sequence[str]] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write ``image_set/image_metadata.npy``.

    Parameters
    ----------
    concepts, files : mapping of split to sequence of str
        Folder (``00001_aardvark``) and file of every picture of ``train`` and ``test``, in the order of the ids.
    concepts_things : mapping of split to sequence of str, optional
        The folders with the numbers of the whole THINGS database; those of `concepts`, if not given.
    """
    path = root / "image_set" / METADATA
    values: dict[str, list[str]] = {}
    for split in N_IMAGES:
        values[f"{split}_img_concepts"] = list(concepts[split])
        values[f"{split}_img_concepts_THINGS"] = list((concepts_things or concepts)[split])
        values[f"{split}_img_files"] = list(files[split])
    write_numpy_dict(path, values, overwrite=overwrite)
    return path
