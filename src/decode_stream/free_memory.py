"""How much memory programs may still take."""

import os
from pathlib import Path

__all__ = ["free_bytes"]

_MEMINFO = Path("/proc/meminfo")


def free_bytes() -> int | None:
    """Return the memory that is free, bytes; all that there is, where the system tells no more; None on Windows."""
    try:
        told = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return 1024 * int(told["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
