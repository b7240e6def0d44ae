"""What of NSD lies in a folder, what is missing, and which download holds it."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from decode_stream.replay_data.formats.nifti_volumes import open_nifti
from decode_stream.replay_data.formats.voxels import VoxelRecording, read_mask
from decode_stream.replay_data.layout import Finding, Inspection, describe
from decode_stream.stream.errors import RecordingError

from .betas import hdf5_shape
from .design import DESIGN, RESPONSES, STIM_INFO, design_trials, read_design, response_trials
from .facts import CORE_RUNS, GRIDS, SUBJECTS, NsdFile, core_run, download, nsd_file, nsd_root
from .pictures import PICTURES
from .regions import label_names, region_files

__all__ = ["folder_words", "inspect_file", "inspect_folder", "recordings_in"]

_TOPS = ("nsddata", "nsddata_betas", "nsddata_timeseries", "nsddata_stimuli")
#: By preference, where the same betas lie there in several forms.
_FORMS = (".hdf5", ".gz", ".nii")


def folder_words(path: Path) -> str:
    """Return what a folder of NSD is, in words, or an empty string."""
    root = nsd_root(path)
    if root is None:
        return "NSD, a folder of recordings" if any(map(nsd_file, path.iterdir())) else ""
    inside = path.absolute().relative_to(root).as_posix()
    if inside == ".":
        return "NSD, the dataset's folder"
    # What has been computed elsewhere and put in such a folder is left to the readers of its own form.
    return f"NSD, {inside}" if path.name in _TOPS or recordings_in(path) else ""


def recordings_in(path: Path) -> list[Path]:
    """Return the recordings in a folder and below it, sorted; of several forms of the same betas the handiest."""
    found: dict[tuple[Path, str], Path] = {}
    for inside in sorted(_files_below(path)):
        if nsd_file(inside) is None or not inside.is_file():
            continue
        key = (inside.parent, inside.name.split(".")[0])
        if key not in found or _FORMS.index(inside.suffix) < _FORMS.index(found[key].suffix):
            found[key] = inside
    return sorted(found.values())


def _files_below(path: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it. A folder that may not be looked into is an error, and not empty."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(path, onerror=refuse):
        yield from (Path(folder) / name for name in names)


def inspect_file(path: Path, words: str, recording: VoxelRecording | None = None) -> Inspection:
    """Return what one file of NSD holds.

    Raises
    ------
    RecordingError
        If it cannot be read.
    """
    if recording is None:
        return Inspection(words, tuple(_part_facts(path)), (Finding("note", "It is no recording."),))
    facts = [("grid", f"{recording.grid}"), ("stored as", _stored_as(path)), *describe(recording)]
    findings = [Finding("note", note) for note in recording.notes]
    values = recording.read(0, 1)
    if n_unknown := int(np.count_nonzero(~np.isfinite(values))):
        findings.append(Finding("note", f"{n_unknown} voxels are not finite in the first volume."))
    if n_empty := int(np.count_nonzero(values == 0)):
        findings.append(
            Finding("note", f"{n_empty} voxels are 0 in the first volume: they may hold no data.")
        )
    return Inspection(words, tuple(facts), tuple(findings))


def inspect_folder(path: Path, words: str) -> Inspection:
    """Return what of NSD lies in a folder and below it, and what it lacks."""
    root = nsd_root(path)
    facts: list[tuple[str, str]] = []
    findings: list[Finding] = []
    groups: dict[tuple[int | None, str | None, str | None], list[NsdFile]] = defaultdict(list)
    for inside in recordings_in(path):
        if (file := nsd_file(inside)) is not None:
            groups[file.subject, file.prep, file.version if file.kind == "betas" else None].append(file)
    for (subject, prep, version), files in groups.items():
        label = f"subject {subject or '?'}, {prep or '?'}, {version or 'time series'}"
        facts.append((label, _count(files)))
        findings += _group_findings(label, files)
    if not groups:
        top = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session01.hdf5"
        findings.append(Finding("missing", f"There are no betas and no time series: {download(root, top)}."))
    versions = sorted({version for _, _, version in groups if version})
    if len(versions) > 1:
        findings.append(
            Finding(
                "note", f"There are betas of {len(versions)} kinds, {', '.join(versions)}: do not mix them."
            )
        )
    if root is None:
        findings.append(Finding("note", "It lies outside NSD's folders: masks and design cannot be found."))
    else:
        findings += _root_findings(root, {subject for subject, _, _ in groups if subject})
        findings += _mask_findings(root, groups)
    return Inspection(words, tuple(facts), tuple(findings))


def _count(files: list[NsdFile]) -> str:
    sessions = sorted({file.session for file in files})
    recorded = SUBJECTS[files[0].subject].sessions if files[0].subject in SUBJECTS else None
    text = f"{len(sessions)} sessions" + (f" of {recorded}" if recorded else "")
    return text if files[0].kind == "betas" else f"{len(files)} runs in {text}"


def _group_findings(label: str, files: list[NsdFile]) -> list[Finding]:
    """Check every file of one kind: whole, on one grid, and no session left out in between."""
    findings = []
    grids: dict[tuple[int, ...], NsdFile] = {}
    for file in files:
        try:
            grids.setdefault(_grid(file.path), file)
        except RecordingError as error:
            findings.append(Finding("wrong", str(error)))
    if len(grids) > 1:
        held = " and ".join(f"{grid} in {file.path.name}" for grid, file in grids.items())
        findings.append(
            Finding("wrong", f"{label}: the files lie on different grids, {held}. They were mixed up.")
        )
    known = GRIDS.get(files[0].prep or "", {}).get(files[0].subject or 0)
    if known and grids and known not in grids:
        whose = [subject for subject, grid in GRIDS[files[0].prep or ""].items() if grid in grids]
        said = f"the grid of subject {whose[0]}" if whose else f"not the published one, {known}"
        findings.append(
            Finding("wrong" if whose else "note", f"{label}: the grid {next(iter(grids))} is {said}.")
        )
    sessions = {file.session for file in files}
    recorded = SUBJECTS[files[0].subject].sessions if files[0].subject in SUBJECTS else max(sessions)
    if lacking := sorted(set(range(1, recorded + 1)) - sessions):
        name = files[0].path.name.replace(f"session{files[0].session:02d}", f"session{lacking[0]:02d}")
        where = download(nsd_root(files[0].path), files[0].path.absolute().with_name(name))
        late = (
            " The last three were released in August 2023." if set(lacking) & {recorded - 2, recorded} else ""
        )
        findings.append(
            Finding("missing", f"{label}: sessions not here: {_listed(lacking)}, such as {where}.{late}")
        )
    for session in sorted(sessions) if files[0].kind == "timeseries" else ():
        runs = {core_run(file.subject or 0, session, file.run) for file in files if file.session == session}
        if absent := sorted(set(range(1, CORE_RUNS + 1)) - runs):
            findings.append(
                Finding("missing", f"{label}: runs of session {session} not here: {_listed(absent)}.")
            )
    if beyond := sorted(session for session in sessions if session > recorded):
        findings.append(
            Finding("wrong", f"{label}: sessions never recorded of this subject: {_listed(beyond)}.")
        )
    return findings


def _root_findings(root: Path, subjects: set[int]) -> list[Finding]:
    findings = []
    for part, use in (
        (DESIGN, "what was shown in which trial"),
        (STIM_INFO, "which picture of COCO each one is"),
        (PICTURES, "the pictures (40 GB)"),
    ):
        if (root / part).is_file():
            try:
                findings.append(
                    Finding("ok", f"{part.name}: {'; '.join(f for _, f in _part_facts(root / part))}.")
                )
            except RecordingError as error:
                findings.append(Finding("wrong", str(error)))
        else:
            findings.append(Finding("missing", f"{part.name}, {use}: {download(root, part)}."))
    for subject in sorted(subjects):
        answers = RESPONSES.format(subject)
        if not (root / answers).is_file():
            findings.append(
                Finding("missing", f"responses.tsv of subject {subject}: {download(root, answers)}.")
            )
        elif (root / DESIGN).is_file():
            findings += _answers_findings(root, subject)
    return findings


def _answers_findings(root: Path, subject: int) -> list[Finding]:
    """Check that a subject's answers were given to the pictures that the design has."""
    try:
        shown = design_trials(read_design(root / DESIGN), subject).table.id
        answered = response_trials(root / RESPONSES.format(subject)).table.id
    except RecordingError as error:
        return [Finding("wrong", str(error))]
    if shown is None or answered is None or not np.array_equal(answered, shown[: len(answered)]):
        text = f"responses.tsv of subject {subject} names other pictures than {DESIGN.name}: is it another subject's?"
        return [Finding("wrong", text)]
    return [
        Finding("ok", f"responses.tsv of subject {subject}: {len(answered)} trials, as the design has them.")
    ]


def _mask_findings(
    root: Path, groups: dict[tuple[int | None, str | None, str | None], list[NsdFile]]
) -> list[Finding]:
    """Check the regions of every subject and preparation, and the design of every run."""
    findings = []
    for folder in sorted({file.func_folder for files in groups.values() for file in files} - {None}, key=str):
        if folder is None:
            continue
        masks = region_files(folder)
        names = [mask.name.removesuffix(".nii.gz") for mask in masks]
        if "nsdgeneral" not in names:
            findings.append(
                Finding(
                    "missing", f"nsdgeneral.nii.gz: {download(root, folder / 'roi' / 'nsdgeneral.nii.gz')}."
                )
            )
        for mask, name in zip(masks, names, strict=True):
            try:
                values, _ = read_mask(mask)
            except RecordingError as error:
                findings.append(Finding("wrong", str(error)))
                continue
            labels = ", ".join(label_names(root, name).values())
            named = f" ({labels})" if labels else ""
            n = int(np.count_nonzero(values > 0))
            findings.append(Finding("ok", f"{name} of {folder.parent.name}: {n} voxels{named}."))
    for files in groups.values():
        series = [
            f for f in files if f.kind == "timeseries" and f.subject and core_run(f.subject, f.session, f.run)
        ]
        designs = [
            f.path.parent.parent / "design" / f.path.name.replace("timeseries", "design") for f in series
        ]
        lacking = [d.with_name(f"{d.name.split('.')[0]}.tsv") for d in designs]
        lacking = [design for design in lacking if not design.is_file()]
        if lacking:
            where = download(root, lacking[0].absolute())
            findings.append(Finding("missing", f"The design of {len(lacking)} runs, such as {where}."))
    return findings


def _part_facts(path: Path) -> list[tuple[str, str]]:
    if path.name == DESIGN.name:
        design = read_design(path)
        trials = design_trials(design, 1)
        return [
            ("trials", f"{len(trials.table)} of subject 1"),
            ("shared", f"{len(design.sharedix)} shared pictures"),
        ]
    if path.name == PICTURES.name:
        import h5py

        try:
            with h5py.File(path) as file:
                shape = file["imgBrick"].shape
        except (OSError, KeyError) as error:
            raise RecordingError(f"{path} is damaged or cut off: {error}. Download it again.") from error
        return [("pictures", f"{shape[0]} of {shape[1]} x {shape[2]} pixels")]
    if path.name != STIM_INFO.name:
        return []
    with path.open("rb") as file:
        return [("rows", f"{sum(1 for _ in file) - 1} pictures")]


def _grid(path: Path) -> tuple[int, ...]:
    return hdf5_shape(path)[0][:0:-1] if path.suffix == ".hdf5" else open_nifti(path).shape


def _stored_as(path: Path) -> str:
    if path.suffix == ".hdf5":
        shape, dtype, chunks = hdf5_shape(path)
        return f"{dtype}, {shape} (trials, z, y, x), chunks {chunks}"
    image = open_nifti(path)
    return f"{image.dtype}, {(*image.shape, image.n_volumes)} (x, y, z, time)"


def _listed(numbers: list[int]) -> str:
    """Write whole numbers with their ranges: ``2-4, 7``."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in zip(starts, ends, strict=True))
