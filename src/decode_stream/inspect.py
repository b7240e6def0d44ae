"""Says what files and folders are: the work of ``decode-stream inspect``."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from decode_stream.decoders.bundle_files import is_bundle
from decode_stream.replay_data.layout import Inspection
from decode_stream.replay_data.open import inspect

from .inspect_bundle import inspect_bundle
from .summary import check_writable, write_json

__all__ = ["inspect_path"]

_MARKS = {"ok": "[green]ok[/]", "note": "note", "missing": "[yellow]missing[/]", "wrong": "[red]wrong[/]"}


def inspect_path(path: Path, json: Path | None) -> int:
    """Print what a path is, what it holds and what it lacks.

    Returns
    -------
    int
        Exit code: 0 if nothing is wrong, else 1.

    Raises
    ------
    RecordingError
        If there is nothing at the path, or nothing that is known.
    BundleError
        If it is a damaged bundle.
    """
    if json is not None:
        check_writable(json)
    inspection = inspect_bundle(path) if is_bundle(path.expanduser()) else inspect(path)
    if json is not None:
        write_json(
            {
                "path": str(path),
                "layout": inspection.layout,
                "sound": inspection.sound,
                "facts": dict(inspection.facts),
                "findings": [{"level": f.level, "text": f.text} for f in inspection.findings],
            },
            json,
        )
    _print(inspection, Console())
    return 0 if inspection.sound else 1


def _print(inspection: Inspection, console: Console) -> None:
    console.print(f"[bold]{escape(inspection.layout)}[/]", soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    for name, value in inspection.facts:
        facts.add_row(name, escape(value))
    console.print(facts)
    findings = Table.grid(padding=(0, 2))
    for finding in inspection.findings:
        findings.add_row(_MARKS[finding.level], escape(finding.text))
    if inspection.findings:
        console.print(findings)
