"""Of recordings of NSD the part that a paper trains on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from decode_stream.config import NsdSplit
from decode_stream.decoders.manifest import Manifest
from decode_stream.replay_data.nsd.splits import SPLITS, SplitRecording, leaves_out, split_recording
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording

__all__ = ["check_split", "training_parts", "whole_recording"]


def training_parts(
    paths: Sequence[Path], recordings: Sequence[Recording], name: NsdSplit
) -> tuple[list[Path], list[Recording]]:
    """Return the recordings that a split trains on, each without its other trials, and their paths.

    Raises
    ------
    UsageError
        If the split trains on none of them.
    RecordingError
        If nothing tells whether a trial is one to train on.
    """
    parts = [
        split_recording(recording, path, name, "train")
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


def whole_recording(recording: Recording) -> Recording:
    """Return the recording that a part is of; any other as it is."""
    return recording.whole if isinstance(recording, SplitRecording) else recording


def check_split(begun: Manifest, name: NsdSplit | None) -> None:
    """Refuse to begin with a bundle that may know the pictures that a split tests on.

    Raises
    ------
    UsageError
    """
    own = begun.training.asked.get("nsd-split", "")
    if name is None or leaves_out(own, name):
        return
    told = f"with --nsd-split {own}" if own else "without --nsd-split"
    raise UsageError(
        f"The bundle given to --init-from was trained {told}, and may know pictures that {name} tests on. Train it "
        f"with --nsd-split {name} first, or leave out --nsd-split here."
    )
