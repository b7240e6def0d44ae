"""How soon the demo is up: from the start of the process to the window, the first sample and the first trial decoded.

``python -m benchmarks.startup --modality meg`` runs the command that a user types, several times, and gives medians.
Qt draws into memory where there is no screen. The disk is warm: the first run is not counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated

from cyclopts import App, Parameter

from decode_stream.stream.types import Modality

from .machine import machine

__all__ = ["main", "start_once"]

app = App(help="Measure how soon the demo is up.")


def start_once(modality: Modality, duration_s: float) -> dict[str, float | None]:
    """Play the demo once.

    Parameters
    ----------
    modality : {"eeg", "meg", "fmri"}
        Which demo.
    duration_s : float
        Seconds of signal to play; the first trial must lie within.

    Returns
    -------
    dict of str to (float or None)
        Seconds from the start of the process; None for what was not reached.

    Raises
    ------
    RuntimeError
        If the command failed.
    """
    environment = os.environ.copy()
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "summary.json"
        command = [sys.executable, "-m", "decode_stream", "--demo", "--modality", modality]
        command += ["--duration-s", f"{duration_s:g}", "--json", str(path)]
        started_s = time.time()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        summary = json.loads(path.read_text(encoding="utf-8"))
    # The program counts from its own first line; the interpreter's start comes before it.
    before_s = datetime.fromisoformat(summary["began"]).timestamp() - started_s
    return {name: None if t is None else t + before_s for name, t in summary["startup_s"].items()}


@app.default
def main(
    *,
    modality: Annotated[Modality, Parameter(negative=())] = "eeg",
    runs: int = 5,
    duration_s: float = 6.0,
) -> int:
    """Print the median over some runs of when what was reached.

    Parameters
    ----------
    modality
        Which demo.
    runs
        How many runs count; one more comes before them.
    duration_s
        Seconds of signal that each plays [s].
    """
    for name, value in machine().items():
        print(f"{name}: {value}", file=sys.stderr)
    start_once(modality, duration_s)
    measured = [start_once(modality, duration_s) for _ in range(runs)]
    report = {}
    for name in measured[0]:
        reached = [run[name] for run in measured]
        times_s = sorted(t for t in reached if t is not None)
        report[name] = {
            "median_s": round(median(times_s), 2) if len(times_s) == runs else None,
            "all_s": [round(t, 2) for t in times_s],
        }
    print(json.dumps({"modality": modality, "runs": runs, "startup": report}, indent=1))
    return 0


if __name__ == "__main__":
    app()
