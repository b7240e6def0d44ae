"""Brings any recording into the form that is read lazily: the work of ``decode-stream convert``."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.stored import store

__all__ = ["convert_recording"]


def convert_recording(
    path: Path,
    out: Path | None,
    *,
    overwrite: bool,
    modality: str | None,
    mask: str | None,
    marker_column: str | None,
    unit: str | None,
    stream: str | None,
) -> int:
    """Write a recording in the converted form and say what was written; returns the exit code.

    Raises
    ------
    RecordingError
        If it cannot be read or written; nothing is left at `out` then.
    """
    console = Console(stderr=True)
    recording = open_recording(
        path, marker_column=marker_column, modality=modality, mask=mask, unit=unit, stream=stream
    )
    out = out or Path(f"{path.resolve().name.split('.')[0]}.recording")
    for note in recording.notes:
        console.print(f"{recording.name}: {note}", highlight=False, soft_wrap=True, markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("converting", total=recording.n_samples)
        store(
            recording,
            out,
            source=str(path),
            overwrite=overwrite,
            report=lambda n_samples: bar.update(task, completed=n_samples),
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    print(
        f"{out}: {recording.n_samples} samples of {len(recording.channels)} channels, {len(recording.stimuli)} "
        f"presentations, {size / 1e6:.1f} MB"
    )
    return 0
