"""What NSD publishes: its numbers, the names of its files, and where each of them is downloaded from.

Numbers are those of the NSD data manual, "Technical notes" (cvnlab.slite.page), and of Allen et al. (2022), Nature
Neuroscience 25, 116-126.
"""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BETA_SCALE",
    "CORE_RUNS",
    "GRIDS",
    "LABELS",
    "N_PICTURES",
    "STIMULUS_S",
    "SUBJECTS",
    "TRIALS_PER_RUN",
    "TRIAL_S",
    "TR_S",
    "NsdFile",
    "SubjectCounts",
    "core_run",
    "download",
    "file_run",
    "nsd_file",
    "nsd_root",
]

#: Betas are stored as int16 and divided by this to be percent signal change.
BETA_SCALE = 300.0
#: Pictures of all subjects; files that count them from 1 end here.
N_PICTURES = 73_000
#: A trial lasts 4 s: 3 s of picture and 1 s without.
TRIAL_S = 4.0
STIMULUS_S = 3.0
CORE_RUNS = 12
#: Stimulus trials of the runs of a session, without the blank ones: 63 in odd runs and 62 in even ones.
TRIALS_PER_RUN = (63, 62) * 6
#: Repetition time of the prepared time series, by preparation; the scanner's own was 1.6 s.
TR_S = {"func1pt8mm": 4 / 3, "func1mm": 1.0}


@dataclass(frozen=True, slots=True)
class SubjectCounts:
    """What was recorded of one person; all counts include the sessions released in August 2023.

    Attributes
    ----------
    sessions : int
        Sessions of 750 trials.
    images : int
        Distinct pictures shown.
    shared : int
        Of the 1000 pictures shown to everybody, those that this person saw at least once.
    shared_trials : int
        Trials with one of these; MindEye2's ``new_test`` (Scotti et al. 2024) has as many.
    nsdgeneral : int
        Voxels of the region ``nsdgeneral`` at 1.8 mm.
    """

    sessions: int
    images: int
    shared: int
    shared_trials: int
    nsdgeneral: int

    @property
    def trials(self) -> int:
        """Trials of all sessions."""
        return 750 * self.sessions


#: By subject.
SUBJECTS = {
    1: SubjectCounts(40, 10_000, 1000, 3000, 15_724),
    2: SubjectCounts(40, 10_000, 1000, 3000, 14_278),
    3: SubjectCounts(32, 9_411, 930, 2371, 15_226),
    4: SubjectCounts(30, 9_209, 907, 2188, 13_153),
    5: SubjectCounts(40, 10_000, 1000, 3000, 13_039),
    6: SubjectCounts(32, 9_411, 930, 2371, 17_907),
    7: SubjectCounts(40, 10_000, 1000, 3000, 12_682),
    8: SubjectCounts(30, 9_209, 907, 2188, 14_386),
}

#: Voxels along x, y and z by preparation and subject.
GRIDS = {
    "func1pt8mm": {
        **{1: (81, 104, 83), 2: (82, 106, 84), 3: (81, 106, 82), 4: (85, 99, 80)},
        **{5: (79, 97, 78), 6: (85, 113, 83), 7: (78, 95, 81), 8: (80, 103, 78)},
    },
    "func1mm": {
        **{1: (145, 186, 148), 2: (146, 190, 150), 3: (145, 190, 146), 4: (152, 177, 143)},
        **{5: (141, 173, 139), 6: (152, 202, 148), 7: (139, 170, 145), 8: (143, 184, 139)},
    },
}

#: Names of the labels of regions, as in ``{region}.mgz.ctab``.
LABELS = {
    "nsdgeneral": {1: "nsdgeneral"},
    "streams": {
        **{1: "early", 2: "midventral", 3: "midlateral", 4: "midparietal"},
        **{5: "ventral", 6: "lateral", 7: "parietal"},
    },
    "prf-visualrois": {1: "V1v", 2: "V1d", 3: "V2v", 4: "V2d", 5: "V3v", 6: "V3d", 7: "hV4"},
    "prf-eccrois": {1: "ecc0pt5", 2: "ecc1", 3: "ecc2", 4: "ecc4", 5: "ecc4+"},
    "floc-faces": {1: "OFA", 2: "FFA-1", 3: "FFA-2", 4: "mTL-faces", 5: "aTL-faces"},
    "floc-bodies": {1: "EBA", 2: "FBA-1", 3: "FBA-2", 4: "mTL-bodies"},
    "floc-places": {1: "OPA", 2: "PPA", 3: "RSC"},
    "floc-words": {1: "OWFA", 2: "VWFA-1", 3: "VWFA-2", 4: "mfs-words", 5: "mTL-words"},
}

#: Sessions, by subject, that begin and end with a run of rest, so that they have 14 runs.
_REST_SESSIONS = {1: range(21, 39), 5: range(21, 39), 2: range(21, 31), 7: range(21, 31)}

_BETAS = re.compile(r"betas_session(?P<session>\d\d)\.(hdf5|nii\.gz|nii)")
_SERIES = re.compile(r"timeseries_session(?P<session>\d\d)_run(?P<run>\d\d)\.(nii\.gz|nii)")
_SUBJECT = re.compile(r"subj(\d\d)")
_VERSION = re.compile(r"betas_(assumehrf|fithrf|fithrf_GLMdenoise_RR)")
_TOPS = ("nsddata", "nsddata_betas", "nsddata_timeseries", "nsddata_stimuli")


@dataclass(frozen=True, slots=True)
class NsdFile:
    """A file of betas or of time series, as its path tells; what the path does not tell is None.

    Attributes
    ----------
    kind : {"betas", "timeseries"}
    root : Path or None
        Folder that holds ``nsddata``, ``nsddata_betas`` and ``nsddata_timeseries``.
    subject : int or None
        1 to 8.
    prep : str or None
        ``func1pt8mm`` or ``func1mm``.
    version : str or None
        Of betas: ``betas_assumehrf`` (b1), ``betas_fithrf`` (b2) or ``betas_fithrf_GLMdenoise_RR`` (b3).
    session, run : int
        1-based; `run` as the file counts, 0 for betas.
    """

    path: Path
    kind: str
    root: Path | None
    subject: int | None
    prep: str | None
    version: str | None
    session: int
    run: int

    @property
    def words(self) -> str:
        """What it is, for people."""
        kind = (
            f"betas{f' ({self.version})' if self.version else ''}" if self.kind == "betas" else "time series"
        )
        parts = [f"NSD {kind}"]
        if self.subject:
            parts.append(f"subject {self.subject}")
        parts.append(f"session {self.session}")
        if self.run:
            parts.append(f"run {self.run}")
        return ", ".join(parts)

    @property
    def func_folder(self) -> Path | None:
        """Folder of the subject's masks and regions, whether it is there or not."""
        if self.root is None or self.subject is None or self.prep is None:
            return None
        return self.root / "nsddata" / "ppdata" / f"subj{self.subject:02d}" / self.prep


def nsd_file(path: Path) -> NsdFile | None:
    """Return what a path of betas or time series tells by its names, or None if it is neither."""
    match, kind = _BETAS.fullmatch(path.name), "betas"
    if match is None:
        match, kind = _SERIES.fullmatch(path.name), "timeseries"
    if match is None:
        return None
    parts = path.absolute().parts[:-1]
    subjects = [int(found[1]) for part in parts if (found := _SUBJECT.fullmatch(part))]
    return NsdFile(
        path=path,
        kind=kind,
        root=nsd_root(path),
        subject=subjects[-1] if subjects else None,
        prep=next((part for part in parts[::-1] if part in TR_S), None),
        version=next((part for part in parts[::-1] if _VERSION.fullmatch(part)), None),
        session=int(match["session"]),
        run=int(match["run"]) if kind == "timeseries" else 0,
    )


def nsd_root(path: Path) -> Path | None:
    """Return the folder that holds ``nsddata`` and its like, at or above a path, or None."""
    path = path.absolute()
    if path.is_dir() and any((path / top).is_dir() for top in _TOPS):
        return path
    return next((folder.parent for folder in (path, *path.parents) if folder.name in _TOPS), None)


def download(root: Path | None, path: Path | str) -> str:
    """Return where a file of NSD is downloaded from.

    Parameters
    ----------
    root : Path or None
        The dataset's folder.
    path : Path or str
        Within it, or relative to it.
    """
    inside = Path(path)
    if root is not None and inside.is_relative_to(root):
        inside = inside.relative_to(root)
    # Of a file outside the dataset's folders, only the name is that of the download.
    return (
        f"s3://natural-scenes-dataset/{f'.../{inside.name}' if inside.is_absolute() else inside.as_posix()}"
    )


def core_run(subject: int, session: int, run: int) -> int | None:
    """Return which of the 12 runs with pictures a run of a file is, from 1, or None for a run of rest."""
    core = run - (session in _REST_SESSIONS.get(subject, ()))
    return core if 1 <= core <= CORE_RUNS else None


def file_run(subject: int, session: int, core: int) -> int:
    """Return how the files count a run with pictures, 1 to 12; the inverse of `core_run`."""
    return core + (session in _REST_SESSIONS.get(subject, ()))
