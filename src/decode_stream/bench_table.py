"""What was measured, as a table and for JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .bench_stages import Stage
from .bench_timing import Times

__all__ = ["Row", "print_rows", "rows_summary"]


@dataclass(frozen=True, slots=True)
class Row:
    """A stage by one that runs it, or why that does not.

    Attributes
    ----------
    by : str
        What runs it.
    times : Times or None
    why : str
        Where there are no times.
    """

    stage: Stage
    by: str
    times: Times | None
    why: str = ""

    @property
    def per_s(self) -> float | None:
        """Hops, windows, trials or pictures a second at the median; None where it was not measured."""
        return None if self.times is None else 1e3 * self.stage.n / self.times.p50_ms


def print_rows(rows: Sequence[Row]) -> None:
    """Print what was measured, and below it once what was not, with the reason."""
    table = Table("stage", "at once", "by", box=None, pad_edge=False)
    for name in ("p50 ms", "p95 ms", "p99 ms", "a second"):
        table.add_column(name, justify="right")
    for row in rows:
        if (times := row.times) is not None:
            numbers = (f"{ms:.3f}" for ms in (times.p50_ms, times.p95_ms, times.p99_ms))
            table.add_row(row.stage.name, _at_once(row.stage), row.by, *numbers, f"{row.per_s:.0f}")
    console = Console()
    console.print(table)
    without: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.times is None:
            stages = without.setdefault((row.by, row.why), [])
            if row.stage.name not in stages:
                stages.append(row.stage.name)
    for (by, why), stages in without.items():
        console.print(
            escape(f"{by}: {'; '.join(stages)}: not measured: {why}"), highlight=False, soft_wrap=True
        )


def _at_once(stage: Stage) -> str:
    return f"{stage.n} {stage.unit}{'s' if stage.n > 1 else ''}"


def rows_summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what was measured, for JSON."""
    return [
        {
            "stage": row.stage.name,
            "unit": row.stage.unit,
            "at_once": row.stage.n,
            "by": row.by,
            "n": 0 if row.times is None else row.times.n,
            "p50_ms": None if row.times is None else row.times.p50_ms,
            "p95_ms": None if row.times is None else row.times.p95_ms,
            "p99_ms": None if row.times is None else row.times.p99_ms,
            "per_s": row.per_s,
            "left_out": row.why or None,
        }
        for row in rows
    ]
