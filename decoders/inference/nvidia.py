"""Whether there is a GPU of NVIDIA, and the libraries that are needed to run networks on it."""

import contextlib
import ctypes
import io
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["no_gpu", "no_library"]

_WINDOWS = sys.platform == "win32"


def no_gpu() -> str | None:
    """Return why no GPU of NVIDIA can be used here; None where one can.

    That a provider is built into ONNX Runtime says nothing of the machine.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if _WINDOWS else "libcuda.so.1")
    except OSError:
        return "no NVIDIA driver"
    count = ctypes.c_int(0)
    # A container may have the driver's library and no GPU, in which case cuInit fails.
    if (code := driver.cuInit(0)) or (code := driver.cuDeviceGetCount(ctypes.byref(count))):
        return f"the NVIDIA driver finds no GPU (error {code})"
    return None if count.value else "the NVIDIA driver finds no GPU"


def no_library(linux: Sequence[str], windows: Sequence[str]) -> str | None:
    """Return which libraries do not load, the first of them with what the loader says; None where all do.

    Parameters
    ----------
    linux, windows : sequence of str
        File names.
    """
    _preload()
    failures = [(name, why) for name in (windows if _WINDOWS else linux) if (why := _fails(name))]
    if not failures:
        return None
    names = ", ".join(name for name, _ in failures)
    return f"{names} {'does' if len(failures) == 1 else 'do'} not load: {failures[0][1]}"


@cache
def _preload() -> None:
    """Load the libraries of CUDA that pip has installed, which the system's loader does not find."""
    import onnxruntime

    # It prints what it does not find; what is missing is told by `no_library`.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        onnxruntime.preload_dlls()


def _fails(name: str) -> str | None:
    """Return what the loader says of a library that does not load."""
    places = [name]
    # TensorRT's libraries lie in a package of their own.
    if (spec := find_spec("tensorrt_libs")) is not None:
        places += [str(Path(folder) / name) for folder in spec.submodule_search_locations or ()]
    said = ""
    for place in places:
        try:
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            said = said or str(error)
        else:
            return None
    return said
