"""What the commands tell: tables on the screen, JSON, and the notes beside them."""

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from decode_stream import __version__
from decode_stream.decoders.scoring.intervals import picture_spread
from decode_stream.evaluation.figure import check_figure
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.summary import check_writable, write_json

from .config import Mapped
from .maps import check_nifti

__all__ = ["check_outputs", "mean_interval", "print_table", "without_data", "write_told"]

#: Wide enough for every table, also where the output goes to a file.
_WIDTH = 118


def check_outputs(json: Path | None, figure: Path | None, config: object = None) -> None:
    """Refuse, before anything is computed, files that could not be written after it.

    Raises
    ------
    UsageError
        If a folder is not there, or an ending is not known.
    """
    if json is not None:
        check_writable(json)
    if figure is not None:
        check_figure(figure)
    if isinstance(config, Mapped) and config.nifti is not None:
        check_nifti(config.nifti)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, numbers to the right with three digits behind the point."""
    console = Console(width=_WIDTH)
    console.print(title, style="bold", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table, highlight=False)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if isfinite(value) else "-"
    return str(value)


def mean_interval(values: FloatArray, pictures: IntArray) -> tuple[float, float]:
    """Return the 95 % interval of a mean over trials, those of a picture together; NaN for a single picture."""
    if len(np.unique(pictures)) < 2:
        return nan, nan
    return picture_spread(values, pictures)


def without_data(values: FloatArray) -> tuple[str, ...]:
    """Say of how many voxels nothing is told, if there are any."""
    n = int(np.count_nonzero(~np.isfinite(values)))
    return (f"{n} of {len(values)} voxels hold no data in some session, and are left out.",) if n else ()


def write_told(told: Mapping[str, Any], notes: Sequence[str], json: Path | None) -> None:
    """Print the notes, and write what was told to a file if one was asked for.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    for note in notes:
        Console(width=_WIDTH).print(f"- {note}", highlight=False, markup=False)
    if json is not None:
        write_json({"version": __version__, **told, "notes": list(notes)}, json)
