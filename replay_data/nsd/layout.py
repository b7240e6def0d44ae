"""Read the Natural Scenes Dataset: betas and prepared time series, with what was shown.

Betas are trials of one sample. Time series are the only part that a live session can be rehearsed with: betas are made
from the whole session, afterwards.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from decode_stream.replay_data.formats.nifti_volumes import NiftiImage, NiftiVoxels, open_nifti
from decode_stream.replay_data.formats.voxels import VoxelRecording, refuse_options, select_voxels
from decode_stream.replay_data.layout import Inspection, ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .betas import Hdf5Betas, NiftiBetas, hdf5_shape
from .design import DESIGN, STIM_INFO, NsdTrials, subject_trials
from .facts import N_PICTURES, STIMULUS_S, SUBJECTS, TR_S, TRIAL_S, NsdFile, core_run, download, nsd_file
from .folders import folder_words, inspect_file, inspect_folder, recordings_in
from .regions import find_mask

__all__ = ["inspect", "read", "recognise"]

#: Parts of the dataset that are no recordings, and what they are.
_PARTS = {
    "nsd_stimuli.hdf5": "NSD's pictures",
    "nsd_expdesign.mat": "NSD's experimental design",
    "nsd_stim_info_merged.csv": "NSD's table of pictures",
}
_SURFACE = re.compile(r"[lr]h\.betas_session\d\d\.(hdf5|mgh)")


def recognise(path: Path) -> str:
    """Return ``NSD betas (betas_fithrf), subject 1, session 1`` and the like, as `Layout.recognise` does."""
    if path.is_dir():
        return folder_words(path)
    file = nsd_file(path)
    return file.words if file else _part(path)


def read(path: Path, options: ReadOptions) -> VoxelRecording:
    """Open betas or time series of one session.

    Channels are the voxels of the mask in C order over (x, y, z), whatever the file; see `find_mask` for what can be
    asked for. Ids are NSD's, from 0.

    Raises
    ------
    RecordingError
        If the file is damaged or cut off, no mask fits it, it has other trials than the design says, or the folder
        holds several recordings, which are then named.
    """
    if path.is_dir():
        held = recordings_in(path)
        if len(held) != 1:
            names = ", ".join(str(inside.relative_to(path)) for inside in held[:5])
            raise RecordingError(
                f"{path} holds {len(held)} recordings: {names}{', ...' if len(held) > 5 else ''}. Give one of them."
                if held
                else f"{path} holds neither betas nor time series of NSD. Inspect it to see which download has them."
            )
        path = held[0]
    refuse_options(str(path), unit=options.unit, marker_column=options.marker_column)
    file = nsd_file(path)
    if file is None:
        raise RecordingError(
            f"{path} is {_part(path)}, not a recording of volumes. Give betas_sessionNN.hdf5 or "
            "timeseries_sessionNN_runNN.nii.gz of func1pt8mm or func1mm."
        )
    if file.subject is not None and file.session > SUBJECTS.get(file.subject, SUBJECTS[1]).sessions:
        raise RecordingError(
            f"{path} says session {file.session}, and subject {file.subject} had "
            f"{SUBJECTS.get(file.subject, SUBJECTS[1]).sessions}. Is it another subject's?"
        )
    return _read_betas(file, options) if file.kind == "betas" else _read_series(file, options)


def inspect(path: Path) -> Inspection:
    """Return what a file or a folder of NSD holds and lacks."""
    if path.is_dir():
        return inspect_folder(path, recognise(path))
    file = nsd_file(path)
    if file is None:
        return inspect_file(path, _part(path))
    return inspect_file(path, file.words, read(path, ReadOptions()))


def _part(path: Path) -> str:
    """Return what a file of NSD is that is no recording of volumes, or an empty string."""
    return "NSD betas on the surface" if _SURFACE.fullmatch(path.name) else _PARTS.get(path.name, "")


def _read_betas(file: NsdFile, options: ReadOptions) -> VoxelRecording:
    notes = ["Betas were estimated from the whole session, afterwards: no live session has them."]
    image: NiftiImage | None = None
    if file.path.suffix == ".hdf5":
        shape, _, _ = hdf5_shape(file.path)
        n_trials, grid = shape[0], (shape[3], shape[2], shape[1])
    else:
        image = open_nifti(file.path)
        if image.n_volumes is None:
            raise RecordingError(f"{file.path} holds one volume; betas hold one for each trial.")
        n_trials, grid = image.n_volumes, image.shape
    mask, mask_affine_mm = find_mask(file, options.mask, grid, image.affine_mm if image else None, notes)
    affine_mm = image.affine_mm if image else mask_affine_mm
    voxels, channels = select_voxels(mask, affine_mm, "%", str(file.path), options)
    sfreq_hz = 1 / TRIAL_S
    notes.append("The rate is nominal: trials began 4 s apart, and some were followed by blank ones.")
    stimuli = _betas_stimuli(file, n_trials, notes)
    epoch = Epoch(n_times=1, onset=0, in_order=True)
    return VoxelRecording(
        source=NiftiBetas(file.path, voxels) if image else Hdf5Betas(file.path, voxels),
        name=file.path.name,
        channels=channels,
        sfreq_hz=sfreq_hz,
        voxels=voxels,
        grid=grid,
        affine_mm=affine_mm,
        stimuli=stimuli,
        markers=stimuli.markers(),
        notes=tuple(notes),
        epoch=epoch,
        gaps=epoch_gaps(n_trials, epoch, sfreq_hz),
    )


def _betas_stimuli(file: NsdFile, n_trials: int, notes: list[str]) -> StimulusTable:
    onset = np.arange(n_trials, dtype=np.int64)
    session = np.full(n_trials, file.session, dtype=np.int64)
    trials = _trials(file, notes)
    if trials is None:
        return StimulusTable(onset, session=session)
    rows = trials.of(file.session).table
    if len(rows) != n_trials:
        raise RecordingError(
            f"{file.path} holds {n_trials} trials, and {trials.source} has {len(rows)} for session {file.session} of "
            f"subject {file.subject}. One of them is of another subject or damaged."
        )
    return replace(rows, onset=onset)


def _read_series(file: NsdFile, options: ReadOptions) -> VoxelRecording:
    notes: list[str] = []
    image = open_nifti(file.path)
    if image.n_volumes is None:
        raise RecordingError(f"{file.path} holds one volume; a time series holds several.")
    if file.prep is None:
        raise RecordingError(
            f"{file.path} lies in neither func1pt8mm nor func1mm, which tell its repetition time. Put it back there."
        )
    tr_s = TR_S[file.prep]
    if abs(image.tr_s - tr_s) > 0.01 * tr_s:
        notes.append(
            f"The repetition time is that of {file.prep}, {tr_s:.4g} s; the header says {image.tr_s:.4g} s."
        )
    mask, _ = find_mask(file, options.mask, image.shape, image.affine_mm, notes)
    voxels, channels = select_voxels(mask, image.affine_mm, "", str(file.path), options)
    stimuli = _series_stimuli(file, image.n_volumes, round(TRIAL_S / tr_s), notes)
    return VoxelRecording(
        source=NiftiVoxels(image, voxels),
        name=file.path.name,
        channels=channels,
        sfreq_hz=1 / tr_s,
        voxels=voxels,
        grid=image.shape,
        affine_mm=image.affine_mm,
        stimuli=stimuli,
        markers=stimuli.markers(),
        notes=tuple(notes),
    )


def _series_stimuli(file: NsdFile, n_volumes: int, volumes_per_slot: int, notes: list[str]) -> StimulusTable:
    """Return what was shown in a run: from its own design file, else from the slots of the experiment's design."""
    run = core_run(file.subject, file.session, file.run) if file.subject else file.run
    if run is None:
        notes.append("This is a run of rest: nothing was shown.")
        return StimulusTable()
    trials = _trials(file, notes)
    rows, slots = StimulusTable(), None
    if trials is not None:
        here = trials.of(file.session, run)
        rows, slots = here.table, here.slot
    design = file.path.parent.parent / "design" / f"design_session{file.session:02d}_run{file.run:02d}.tsv"
    if design.is_file():
        volumes = _read_run_design(design)
        onset = np.flatnonzero(volumes).astype(np.int64)
        ids = volumes[onset] - 1
        if rows.id is None or not np.array_equal(rows.id, ids):
            if trials is not None:
                notes.append(
                    f"{design.name} and {trials.source} name other pictures; the former is followed."
                )
            n = len(ids)
            rows = StimulusTable(onset, ids, session=np.full(n, file.session), run=np.full(n, run))
        rows = replace(rows, onset=onset)
    elif slots is not None:
        rows = replace(rows, onset=slots * volumes_per_slot)
    else:
        notes.append(
            f"Nothing says when pictures were shown. {design.name} does: {download(file.root, design.absolute())}."
        )
        return StimulusTable()
    rows = replace(rows, duration_s=np.full(len(rows), STIMULUS_S))
    inside = rows.onset < n_volumes
    if n_late := int(np.count_nonzero(~inside)):
        notes.append(
            f"{n_late} pictures would begin behind the last of the {n_volumes} volumes and are left out."
        )
    return rows.rows(inside)


def _trials(file: NsdFile, notes: list[str]) -> NsdTrials | None:
    """Return the trials of the file's subject, or say which download tells them."""
    if file.root is None or file.subject is None:
        notes.append("The file lies outside NSD's folders, so nothing says which subject's it is.")
        return None
    trials = subject_trials(file.root, file.subject)
    if trials is None:
        notes.append(f"Nothing says what was shown. {DESIGN.name} does: {download(None, DESIGN)}.")
    elif trials.table.image is None:
        notes.append(f"COCO's files of the pictures are in {STIM_INFO.name}: {download(None, STIM_INFO)}.")
    elif n_unnamed := int(np.count_nonzero(trials.table.image == "")):
        notes.append(
            f"{STIM_INFO.name} does not list the pictures of {n_unnamed} of {len(trials.table)} trials: it may be cut "
            f"off. Download it again: {download(None, STIM_INFO)}."
        )
    else:
        notes.append("The image column names COCO's files; NSD showed square crops of them.")
    return trials


def _read_run_design(path: Path) -> IntArray:
    """Return, for every volume, the picture that begins there, from 1, or 0."""
    try:
        cells = path.read_text(encoding="utf-8").split()
        volumes = np.array([int(float(cell)) for cell in cells], dtype=np.int64)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} is no column of whole numbers: {error}. Download it again.") from error
    if len(beyond := volumes[(volumes < 0) | (volumes > N_PICTURES)]):
        raise RecordingError(
            f"{path} names picture {beyond[0]}, and NSD's are 1 to {N_PICTURES}. It is damaged; download it again."
        )
    return volumes
