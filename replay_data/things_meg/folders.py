"""What of THINGS-MEG lies in a folder, what is missing, and which download holds it."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from decode_stream.replay_data.formats.ctf_samples import check_whole
from decode_stream.replay_data.layout import Finding, Inspection
from decode_stream.stream.errors import RecordingError

from .epochs import DOWNLOAD as TRIALS_DOWNLOAD
from .epochs import part_number, parts_in, subject_of, whole_chain
from .runs import DOWNLOAD, Run, attributes_of, check_place, run_at
from .tables import N_TRIALS

__all__ = ["folder_words", "inspect_folder", "recordings_in"]

_N_SUBJECTS, _N_SESSIONS, _N_RUNS = 4, 12, 10
_SUBJECT, _SESSION = re.compile(r"sub-BIGMEG(\d+)"), re.compile(r"ses-(\d+)")
#: Where preprocessed trials lie below a folder.
_TRIALS_AT = ("", "preprocessed/", "derivatives/preprocessed/")


def folder_words(path: Path) -> str:
    """Return what a folder of THINGS-MEG is, in words, or an empty string."""
    if match := _SUBJECT.fullmatch(path.name):
        return f"THINGS-MEG, raw data, subject {int(match[1])}"
    below = path.parent if path.name == "meg" else path
    session, subject = _SESSION.fullmatch(below.name), _SUBJECT.fullmatch(below.parent.name)
    if session and subject:
        return f"THINGS-MEG, raw data, subject {int(subject[1])}, session {int(session[1])}"
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError:  # said where the folder is asked for, not where it is a neighbour
        return ""
    if any(map(_SUBJECT.fullmatch, names)):
        return "THINGS-MEG, the dataset's folder"
    if path.suffix == "" and any(run_at(path / name) for name in names):
        return "THINGS-MEG, a folder of runs"
    if any(subject_of(path / name) for name in names):
        return "THINGS-MEG, preprocessed trials"
    inside = (path / "derivatives" / "preprocessed", path / "preprocessed")
    if any(subject_of(entry) for folder in inside if folder.is_dir() for entry in folder.iterdir()):
        return "THINGS-MEG, derivatives"
    return ""


def recordings_in(path: Path) -> list[Path]:
    """Return the recordings in a folder and below it: runs, and the first parts of preprocessed trials.

    Raises
    ------
    OSError
        If a folder of the layout may not be looked into: it is not empty.
    """
    # No deeper than where the layout has them: the insides of .ds folders are many.
    of_subjects = [session for subject in _inside(path, _SUBJECT) for session in _inside(subject, _SESSION)]
    sessions = [path, *_inside(path, _SESSION), *of_subjects]
    folders = [path, *(folder for session in sessions if (folder := session / "meg").is_dir())]
    runs = {entry for folder in folders for entry in folder.iterdir() if run_at(entry)}
    return sorted(runs) + [entry for entry in _trials_in(path) if not part_number(entry)]


def _inside(path: Path, names: re.Pattern[str]) -> list[Path]:
    return [entry for entry in path.iterdir() if names.fullmatch(entry.name) and entry.is_dir()]


def _trials_in(path: Path) -> list[Path]:
    """Return all parts of preprocessed trials in a folder and where the layout has them below it, sorted."""
    folders = [folder for level in _TRIALS_AT if (folder := path / level).is_dir()]
    return sorted(entry for folder in folders for entry in folder.iterdir() if subject_of(entry))


def inspect_folder(path: Path, words: str) -> Inspection:
    """Return what a folder of THINGS-MEG holds and lacks. Sizes are checked, signals are not read."""
    held = recordings_in(path)
    runs = [run for run in map(run_at, held) if run is not None]
    trials = [entry for entry in held if run_at(entry) is None]
    later = {subject_of(entry) or 0 for entry in _trials_in(path) if part_number(entry)}
    findings: list[Finding] = []
    by_subject: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_subject[run.subject].append(run)
        findings += _check_run(run)
    for subject, of_subject in sorted(by_subject.items()):
        findings += _missing_runs(subject, of_subject, words)
        if attributes_of(of_subject[0].path, subject) is None:
            text = f"sample_attributes_P{subject}.csv is missing: {DOWNLOAD}, sourcedata/."
            findings.append(Finding("missing", text))
    facts = [("runs", f"{len(runs)}, of subject {_numbers(sorted(by_subject))}" if runs else "none")]
    sizes = []
    for entry in trials:
        subject = subject_of(entry) or 0
        sizes.append(f"subject {subject}: {len(parts_in(entry.parent, subject))} parts")
        findings += _check_trials(entry, subject)
    for subject in sorted(later - {subject_of(entry) for entry in trials}):
        text = f"preprocessed_P{subject}-epo.fif, the first part, is missing: {TRIALS_DOWNLOAD}."
        findings.append(Finding("wrong", text))
    facts.append(("preprocessed trials", ", ".join(sizes) or "none"))
    if words.endswith("dataset's folder"):
        absent = sorted(set(range(1, _N_SUBJECTS + 1)) - set(by_subject))
        if absent:
            findings.append(
                Finding("missing", f"Subjects without runs: {_numbers(absent)}. {DOWNLOAD}, sub-BIGMEG*.")
            )
        if not trials:
            findings.append(Finding("missing", f"No preprocessed trials: {TRIALS_DOWNLOAD}."))
    if not held:
        findings.append(Finding("wrong", f"There is no recording in it. Download it: {DOWNLOAD}."))
    elif all(finding.level != "wrong" for finding in findings):
        findings.append(Finding("ok", f"{len(held)} recordings are whole, by their headers."))
    return Inspection(words, tuple(facts), tuple(findings))


def _check_run(run: Run) -> list[Finding]:
    findings = []
    try:
        check_place(run)
        check_whole(run.path)
    except RecordingError as error:
        findings.append(Finding("wrong", str(error)))
    if not run.events.is_file():
        findings.append(
            Finding("missing", f"{run.events.name} is missing: {DOWNLOAD}, in {run.path.parent.name}/.")
        )
    return findings


def _missing_runs(subject: int, runs: list[Run], words: str) -> list[Finding]:
    by_session: dict[int, set[int]] = defaultdict(set)
    for run in runs:
        by_session[run.session].add(run.run)
    findings = []
    absent = sorted(set(range(1, _N_SESSIONS + 1)) - set(by_session))
    if absent and "session" not in words:
        text = f"Subject {subject} lacks sessions {_numbers(absent)}: {DOWNLOAD}, sub-BIGMEG{subject}/ses-*/."
        findings.append(Finding("missing", text))
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for session, held in sorted(by_session.items()):
        alike[tuple(sorted(set(range(1, _N_RUNS + 1)) - held))].append(session)
    for runs_absent, sessions in alike.items():
        if runs_absent:
            which = (
                f"session {sessions[0]} lacks"
                if len(sessions) == 1
                else f"sessions {_numbers(sessions)} lack"
            )
            folder = f"ses-{sessions[0]:02}" if len(sessions) == 1 else "ses-*"
            text = (
                f"Subject {subject}, {which} runs {_numbers(runs_absent)}: {DOWNLOAD}, "
                f"sub-BIGMEG{subject}/{folder}/meg/."
            )
            findings.append(Finding("missing", text))
    return findings


def _check_trials(path: Path, subject: int) -> list[Finding]:
    try:
        n = sum(part.shape[0] for part in whole_chain(path.parent, subject))
    except RecordingError as error:
        return [Finding("wrong", str(error))]
    if n == N_TRIALS:
        return []
    return [Finding("note", f"{path.name} and its parts hold {n} trials; the published ones {N_TRIALS}.")]


def _numbers(numbers: Iterable[int]) -> str:
    """Return whole numbers for people: 1, 3-5."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
