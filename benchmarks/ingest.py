"""How old is a window's newest sample when it is handed on, in decode-stream and in its peers, side by side.

One outlet process serves every consumer of a case. Each consumer runs in a fresh process, one at a time and
in turn, so that a change of the machine's load meets all of them.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .cases import CASES, STEP_S, Case, Handed, Task
from .machine import load_1min, machine
from .ours import decode_stream, decode_stream_call_us, decode_stream_count
from .outlet import outlet
from .peers import (
    bare_pylsl,
    ezmsg_call_us,
    ezmsg_count,
    mne_on_new_samples,
    mne_on_timer,
    mne_without_pause,
)
from .report import print_case, print_windows, spread, summarise

Result = TypeVar("Result")

CONSUMERS: dict[str, Callable[[Task], Iterator[Handed]]] = {
    "decode-stream": decode_stream,
    "bare pylsl": bare_pylsl,
    "MNE-LSL, timer": mne_on_timer,
    "MNE-LSL, new samples": mne_on_new_samples,
    "MNE-LSL, no pause": mne_without_pause,
}
_PEERS = {"mne-lsl": "mne_lsl.stream", "ezmsg-sigproc": "ezmsg.sigproc"}
_WARM_UP_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = _parse(arguments)
    missing = [name for name, module in _PEERS.items() if not _installed(module)]
    if missing:
        print(
            f"The peers are not installed: {', '.join(missing)}. The comparison needs them in the same "
            'environment. Type: python -m pip install -e ".[bench]"',
            file=sys.stderr,
        )
        return 2
    report: dict[str, Any] = {"machine": machine(), "settings": vars(options) | {"json": None}, "cases": []}
    for key, value in report["machine"].items():
        print(f"{key}: {value}")
    with tempfile.TemporaryDirectory() as folder:
        _stay_on_this_machine(Path(folder))
        for case in options.cases:
            for filtered in options.filters:
                report["cases"].append(_run_case(case, filtered, options))
                print_case(report["cases"][-1])
    report["windows"] = _windows(options)
    print_windows(report["windows"])
    report["summary"] = summarise(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2, default=asdict) + "\n", encoding="utf-8")
    print(report["summary"])
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement (6)")
    parser.add_argument("--repeats", type=int, default=5, help="turns that each consumer takes (5)")
    parser.add_argument("--quick", action="store_true", help="2 turns of 3 s at 271 channels only")
    parser.add_argument("--channels", type=int, nargs="+", choices=[case.n_channels for case in CASES])
    names = list(CONSUMERS)
    parser.add_argument("--consumers", nargs="+", choices=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--filters", nargs="+", choices=["on", "off"], help="band-pass 1-40 Hz (both)")
    parser.add_argument("--buffer-s", type=int, help="seconds held in every case (10; 30 at 306 channels)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or options.seconds < 1:
        parser.error("--repeats and --seconds are at least 1.")
    if options.quick:
        options.seconds, options.repeats = min(options.seconds, 3.0), min(options.repeats, 2)
        options.channels = options.channels or [271]
    options.cases = [case for case in CASES if not options.channels or case.n_channels in options.channels]
    if options.buffer_s:
        options.cases = [replace(case, buffer_s=options.buffer_s) for case in options.cases]
    options.consumers = options.consumers or names
    options.filters = [word == "on" for word in options.filters or ("on", "off")]
    return options


def _installed(module: str) -> bool:
    # Looked for without being imported: the parent stays light, each peer runs in a process of its own.
    package, _, part = module.partition(".")
    found = find_spec(package)
    places = (found.submodule_search_locations or ()) if found is not None else ()
    return any((Path(place) / part).is_dir() for place in places)


def _stay_on_this_machine(folder: Path) -> None:
    """Keep the streams off the network; liblsl reads this file when it is loaded, in each child."""
    path = folder / "lsl_api.cfg"
    session = f"[lab]\nSessionID = {uuid.uuid4()}\n"
    path.write_text(f"[multicast]\nResolveScope = machine\n{session}[log]\nlevel = -3\n", encoding="utf-8")
    os.environ["LSLAPICFG"] = str(path)


def _run_case(case: Case, filtered: bool, options: argparse.Namespace) -> dict[str, Any]:
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in options.consumers}
    load_before = load_1min()
    with outlet(case) as (source_id, late_ms):
        task = Task(case, source_id, filtered)
        for _ in range(options.repeats):
            for name, own_turns in turns.items():
                own_turns.append(_in_own_process(partial(_measure, name, task, options.seconds)))
    return {
        "case": case.name,
        "n_channels": case.n_channels,
        "sfreq_hz": case.sfreq_hz,
        "buffer_s": case.buffer_s,
        "filtered": filtered,
        "load_before": load_before,
        "load_after": load_1min(),
        "outlet_late_ms": dict(zip(("p50", "p99"), late_ms, strict=True)),
        "consumers": {name: spread(own_turns) for name, own_turns in turns.items()},
    }


def _measure(name: str, task: Task, seconds: float) -> dict[str, float]:
    """Consume for some seconds and return the figures of one turn."""
    windows = CONSUMERS[name](task)
    began_s = next(windows).now_s
    while next(windows).now_s < began_s + _WARM_UP_S:
        continue
    handed = [next(windows)]
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    while handed[-1].now_s < handed[0].now_s + seconds:
        handed.append(next(windows))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    windows.close()  # type: ignore[attr-defined]  # every consumer is a generator
    age_ms = [1e3 * (window.now_s - window.newest_s) for window in handed]
    # A window whose newest sample was seen before is not a new one.
    newest_s = sorted({window.newest_s for window in handed})
    due = round((newest_s[-1] - newest_s[0]) / float(STEP_S)) + 1
    figures = {
        "age_p50_ms": float(np.percentile(age_ms, 50)),
        "age_p99_ms": float(np.percentile(age_ms, 99)),
        "windows_per_s": (len(newest_s) - 1) / (handed[-1].now_s - handed[0].now_s),
        "cpu_percent": 100 * cpu_s / wall_s,
        "lost": float(max(0, due - len(newest_s))),
        "load": load_1min(),
    }
    if not task.filtered:
        # Channel 0 then still carries the sample number, so that every window can be checked.
        whole = task.case.n_times - 1
        figures["broken"] = float(sum(window.last - window.first != whole for window in handed))
    return figures


def _windows(options: argparse.Namespace) -> dict[str, Any]:
    """Count the windows of 10 s and time the window calls, in ours and in ezmsg."""
    n_calls = 500 if options.quick else 2000
    case = CASES[-1]
    counts, calls_us = {}, {}
    for sfreq_hz in (250, 512):
        counts[str(sfreq_hz)] = {
            "decode-stream": _in_own_process(partial(decode_stream_count, sfreq_hz, 10)),
            "ezmsg": _in_own_process(partial(ezmsg_count, sfreq_hz, 10)),
        }
    calls = {
        "decode-stream, view": partial(decode_stream_call_us, case, n_calls, copy=False),
        "decode-stream, copied for the encoder": partial(decode_stream_call_us, case, n_calls, copy=True),
        "ezmsg": partial(ezmsg_call_us, case, n_calls),
    }
    for name, call in calls.items():
        turns = [np.percentile(_in_own_process(call), (50, 99)) for _ in range(options.repeats)]
        calls_us[name] = spread([{"p50_us": float(p50), "p99_us": float(p99)} for p50, p99 in turns])
    return {"in_10_s": counts, "call": calls_us, "call_case": case.name}


def _in_own_process(work: Callable[[], Result]) -> Result:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()


if __name__ == "__main__":
    sys.exit(main())
