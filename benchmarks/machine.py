"""Where the figures were taken."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["load_1min", "machine"]

_PACKAGES = ("decode-stream", "pylsl", "mne-lsl", "ezmsg-sigproc", "numpy", "scipy")


def machine() -> dict[str, str | int]:
    """Return the processor, its cores, the system, the load before the run, and the packages compared."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": f"{load_1min():.2f}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def load_1min() -> float:
    """Return the system's load average over the last minute; NaN where the system keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
