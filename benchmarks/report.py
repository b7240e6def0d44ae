"""Tables and the summary line of the ingest benchmark."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["print_case", "print_windows", "spread", "summarise"]

OURS = "decode-stream"
#: The goal at 271 channels with filtering: age in ms, how many times younger, which part of the CPU.
_P50_MS, _P99_MS, _YOUNGER, _CPU_PART = 1.0, 5.0, 5.0, 0.25
#: Heading and digits of each figure in the table.
_COLUMNS = {
    "age_p50_ms": ("age p50 ms", 2),
    "age_p99_ms": ("age p99 ms", 2),
    "windows_per_s": ("windows/s", 1),
    "cpu_percent": ("CPU %", 1),
    "lost": ("lost", 0),
    "broken": ("broken", 0),
}


def spread(turns: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Return median, range and the single values of each figure over the turns of one consumer."""
    figures = {}
    for name in turns[0]:
        values = [turn[name] for turn in turns]
        figures[name] = {
            "median": float(np.median(values)),
            "low": min(values),
            "high": max(values),
            "turns": values,
        }
    return figures


def _cell(figure: Mapping[str, float], digits: int = 2) -> str:
    return f"{figure['median']:.{digits}f} [{figure['low']:.{digits}f}-{figure['high']:.{digits}f}]"


def print_case(result: Mapping[str, Any]) -> None:
    """Print one case as a table: median and range over the turns."""
    band = "band-pass 1-40 Hz" if result["filtered"] else "no filter"
    late = result["outlet_late_ms"]
    before, after = result["load_before"], result["load_after"]
    print(f"\n{result['case']}, {band}; load {before:.2f} before, {after:.2f} after")
    print(f"The outlet itself pushed {late['p50']:.2f} ms late (p99 {late['p99']:.2f})")
    columns = [column for column in _COLUMNS if column in next(iter(result["consumers"].values()))]
    print(f"{'':22}" + "".join(f"{_COLUMNS[column][0]:>22}" for column in columns))
    for name, figures in result["consumers"].items():
        cells = [_cell(figures[column], _COLUMNS[column][1]) for column in columns]
        print(f"{name:22}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def print_windows(windows: Mapping[str, Any]) -> None:
    """Print the counts of windows and the cost of a window call."""
    print("\nWindows of 100 ms every 25 ms in 10 s (397 is right)")
    for sfreq_hz, counts in windows["in_10_s"].items():
        print(f"{sfreq_hz + ' Hz':22}" + ", ".join(f"{name} {count}" for name, count in counts.items()))
    print(f"\nStore one hop and hand on its window, {windows['call_case']}, microseconds")
    for name, figures in windows["call"].items():
        print(f"{name:40} p50 {_cell(figures['p50_us'], 1):24} p99 {_cell(figures['p99_us'], 1)}")
    print()


def summarise(report: Mapping[str, Any]) -> str:
    """Return the whole run in one line, judged against the goal where its case was run."""
    counts = report["windows"]["in_10_s"]
    counted = " and ".join("/".join(str(n) for n in pair.values()) for pair in counts.values())
    calls = report["windows"]["call"]
    call = "/".join(f"{calls[name]['p50_us']['median']:.0f}" for name in ("decode-stream, view", "ezmsg"))
    rest = f"windows in 10 s at 250 and 512 Hz {counted}, window call {call} us (decode-stream/ezmsg)."
    cases = [result for result in report["cases"] if result["n_channels"] == 271 and result["filtered"]]
    if not cases or OURS not in cases[0]["consumers"]:
        return f"Summary: {rest}"
    return f"Summary: 271 ch @ 1200 Hz filtered: {_verdict(cases[0]['consumers'])}; {rest}"


def _verdict(consumers: Mapping[str, Any]) -> str:
    medians = {name: {k: figure["median"] for k, figure in of.items()} for name, of in consumers.items()}
    ours = medians[OURS]
    met = ours["age_p50_ms"] <= _P50_MS and ours["age_p99_ms"] <= _P99_MS
    parts = [_figures(OURS, ours)]
    for name, theirs in medians.items():
        if not name.startswith("MNE-LSL"):
            continue
        younger = theirs["age_p50_ms"] / ours["age_p50_ms"]
        cpu_part = ours["cpu_percent"] / theirs["cpu_percent"]
        met = met and younger >= _YOUNGER and cpu_part <= _CPU_PART
        parts.append(f"{_figures(name, theirs)}: {younger:.1f} times younger, {cpu_part:.2f} of its CPU")
    return f"goal {'met' if met else 'missed'}: " + "; ".join(parts)


def _figures(name: str, medians: Mapping[str, float]) -> str:
    age = f"{medians['age_p50_ms']:.2f} ms (p99 {medians['age_p99_ms']:.2f})"
    return f"{name} {age} at {medians['cpu_percent']:.0f} % CPU"
