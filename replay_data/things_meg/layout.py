"""THINGS-MEG as it is published: CTF runs in BIDS folders (OpenNeuro ds004212), and preprocessed trials (figshare).

::

    sub-BIGMEG1/ses-01/meg/sub-BIGMEG1_ses-01_task-main_run-01_meg.ds      12 sessions of 10 runs, 1200 Hz
                           sub-BIGMEG1_ses-01_task-main_run-01_events.tsv  onset sample and picture
    sourcedata/sample_attributes_P1.csv                                    27048 trials: session, run, picture, type
    derivatives/preprocessed/preprocessed_P1-epo.fif, -epo-1.fif, ...      27048 trials of 271 sensors, 281 samples

Hebart et al. (2023), eLife 12:e82580.
"""

import re
from pathlib import Path

from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

from .epochs import open_epochs, part_number, parts_in, subject_of
from .folders import folder_words, inspect_folder, recordings_in
from .runs import open_run, run_at

__all__ = ["inspect", "read", "recognise"]

_TABLE = re.compile(r"sub-BIGMEG\d+_ses-\d+_task-main_run-\d+_events\.tsv|sample_attributes_P\d+\.csv")


def recognise(path: Path) -> str:
    """Return what of THINGS-MEG a path is, as `Layout.recognise` does."""
    if run := run_at(path):
        return run.words if path.is_dir() else ""
    if path.is_dir():
        return folder_words(path)
    if _TABLE.fullmatch(path.name):
        return "THINGS-MEG, a table beside its recordings"
    subject = subject_of(path)
    if subject is None:
        return ""
    number = part_number(path)
    return f"THINGS-MEG, preprocessed trials, subject {subject}" + (f", part {number}" if number else "")


def read(path: Path, options: ReadOptions) -> Recording:
    """Open a run or a person's preprocessed trials.

    Raises
    ------
    RecordingError
        If it is cut off or a part is missing, its tables are of another person or run, or it is a folder or a table,
        not a recording: the ones to give are then named.
    """
    if run := run_at(path):
        return open_run(run, options)[0]
    subject = subject_of(path)
    if subject is not None:
        return open_epochs(path, subject, options)[0]
    if path.is_dir():
        held = recordings_in(path)
        named = ", ".join(str(entry.relative_to(path)) for entry in held[:3])
        more = f", ... ({len(held)} in all)" if len(held) > 3 else ""
        raise RecordingError(
            f"{path} is a folder of recordings, {recognise(path)}. "
            + (
                f"Give one of them: {named}{more}."
                if held
                else "It holds none yet; see decode-stream inspect."
            )
        )
    raise RecordingError(
        f"{path} is a table that belongs to recordings. Give a run, NAME_meg.ds, or preprocessed_P*-epo.fif: it "
        "is found from there."
    )


def inspect(path: Path) -> Inspection:
    """Return what a run, a person's trials or a folder of THINGS-MEG holds and lacks.

    Raises
    ------
    RecordingError
        If a recording cannot be read.
    """
    words = recognise(path)
    if run := run_at(path):
        recording, findings = open_run(run, ReadOptions())
        return Inspection(words, describe(recording), findings)
    subject = subject_of(path)
    if subject is not None:
        trials, findings = open_epochs(path, subject, ReadOptions())
        parts = parts_in(path.parent, subject)
        size = sum(part.stat().st_size for part in parts.values())
        facts = (("stored as", f"float32 in {len(parts)} parts, {size / 1e9:.2f} GB"), *describe(trials))
        return Inspection(words, facts, findings)
    if path.is_dir():
        return inspect_folder(path, words)
    return Inspection(words, (), (Finding("note", "It is no recording, and is found from the recordings."),))
