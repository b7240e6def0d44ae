"""Of recordings of NSD the part that a paper trains on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from decode_stream.config import NsdSplit
from decode_stream.decoders.manifest import Manifest
from decode_stream.replay_data.nsd.splits import (
    SPLITS,
    SplitRecording,
    leaves_out,
    split_recording,
    tested_pictures,
)
from decode_stream.replay_data.subject import subject_of
from decode_stream.stream.errors import UsageError
from decode_stream.stream.fmri.beta_recording import BetaRecording
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

__all__ = ["check_split", "training_parts", "undivided", "whole_recording"]


def training_parts(
    paths: Sequence[Path], recordings: Sequence[Recording], name: NsdSplit, subject: str | None
) -> tuple[list[Path], list[Recording]]:
    """Return the recordings that a split trains on, each without its other trials, and their paths.

    Other people's are without what the split tests on of the person whose decoder it is to be, too.

    Parameters
    ----------
    subject : str or None
        Whose decoder it is to be, as asked for; None where all recordings are of one person.

    Raises
    ------
    UsageError
        If the split trains on none of them.
    RecordingError
        If nothing tells whether a trial is one to train on.
    """
    tested = _tested(paths, recordings, name, subject)
    parts = [
        split_recording(recording, path, name, "train", without=tested)
        for recording, path in zip(recordings, paths, strict=True)
    ]
    kept = [(path, part) for path, part in zip(paths, parts, strict=True) if part is not None]
    if not kept:
        raise UsageError(
            f"--nsd-split {name} trains on none of these {len(paths)} recordings: {SPLITS[name].says}. Give others, or "
            "another split."
        )
    left = [recording.name for recording, part in zip(recordings, parts, strict=True) if part is None]
    if left:
        (path, first), *more = kept
        note = f"The split {name} uses none of {', '.join(left)}: {SPLITS[name].says}."
        kept = [(path, replace(first, notes=(*first.notes, note))), *more]
    return [path for path, _ in kept], [part for _, part in kept]


def _tested(
    paths: Sequence[Path], recordings: Sequence[Recording], name: NsdSplit, subject: str | None
) -> IntArray | None:
    """Return the ids of what a split tests on of the subject, where others may have been shown it in their training.

    Shared pictures are trained on by nobody; what are the last ones of one person may be earlier ones of another's.
    """
    if subject is None or not SPLITS[name].by_appearance:
        return None
    for path, recording in zip(paths, recordings, strict=True):
        if subject_of(path) == subject:
            return tested_pictures(recording, path, name)
    return None


def whole_recording(recording: Recording) -> Recording:
    """Return the recording that was opened: whole, where it is a part, and of volumes, where betas were made of it."""
    whole = undivided(recording)
    return whole.volumes if isinstance(whole, BetaRecording) else whole


def undivided(recording: Recording) -> Recording:
    """Return the recording that a part is of; any other as it is."""
    return recording.whole if isinstance(recording, SplitRecording) else recording


def check_split(begun: Manifest, name: NsdSplit | None, subject: str) -> None:
    """Refuse to begin with a bundle that may know the pictures that a split tests on.

    Parameters
    ----------
    subject : str
        Whose decoder it is to be; empty where nothing tells it.

    Raises
    ------
    UsageError
    """
    own, whose = begun.training.asked.get("nsd-split", ""), ", ".join(begun.training.subjects)
    if name is None or leaves_out(own, name, whose, subject):
        return
    told = f"with --nsd-split {own}" if own else "without --nsd-split"
    if own == name:
        raise UsageError(
            f"The bundle given to --init-from was trained {told} for {whose or 'nobody known'}, and may know "
            f"pictures that {name} tests on of {subject or 'this person'}: which these are depends on how many "
            f"sessions a person has. Train on the recordings of both with --subject {subject or 'NAME'}, or leave out "
            "--nsd-split here."
        )
    raise UsageError(
        f"The bundle given to --init-from was trained {told}, and may know pictures that {name} tests on. Train it "
        f"with --nsd-split {name} first, or leave out --nsd-split here."
    )
