"""Memory and work of a GPU through CUDA's runtime: buffers, one stream, and graphs of what it does.

`cuda.bindings.runtime` is all this takes; a session needs no PyTorch for it. Its functions return an error first and
what they give after it.
"""

import ctypes
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import GpuError

__all__ = ["Buffer", "Gpu", "GpuIdentity", "identify_gpu", "load_cuda", "no_cuda"]

_MODULE = "cuda.bindings.runtime"

#: What to do about errors that a person can do something about.
_ADVICE = {
    "cudaErrorMemoryAllocation": "Its memory is full: close what else uses it",
    "cudaErrorInsufficientDriver": "Install a newer NVIDIA driver",
    "cudaErrorNoDevice": "Look whether CUDA_VISIBLE_DEVICES hides it",
    "cudaErrorNoKernelImageForDevice": "This library does not support this GPU",
}


@dataclass(frozen=True, slots=True)
class GpuIdentity:
    """What an engine that was built on one GPU may depend on.

    Attributes
    ----------
    name : str
        Such as NVIDIA H200.
    compute_capability : str
        Major and minor number, such as 9.0.
    driver : str
        The newest version of CUDA that the driver can serve.
    """

    name: str
    compute_capability: str
    driver: str


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Memory on the GPU, and memory of the same size here that it is filled from and read into.

    Attributes
    ----------
    device : int
        Address on the GPU.
    host : array of shape (n_bytes,), uint8
        Page-locked, as copies that the processor does not wait for must be.
    """

    device: int
    host: npt.NDArray[np.uint8]


@dataclass(slots=True)
class _Held:
    """What is to be given back: addresses on the GPU and here, and graphs that can be launched."""

    stream: Any
    device: list[int] = field(default_factory=list)
    host: list[int] = field(default_factory=list)
    graphs: list[Any] = field(default_factory=list)


def no_cuda() -> str | None:
    """Return why CUDA's runtime cannot be called from here; None where it can."""
    try:
        import_module(_MODULE)
    except (ImportError, OSError) as error:
        return f"{_MODULE} does not load ({error})"
    return None


def load_cuda() -> ModuleType:
    """Return CUDA's runtime.

    Raises
    ------
    GpuError
        If it is not installed.
    """
    if (why := no_cuda()) is not None:
        raise GpuError(f"{why}. Install it with pip install cuda-bindings.")
    return import_module(_MODULE)


def identify_gpu(cuda: ModuleType) -> GpuIdentity:
    """Return which GPU is used: the first of those that CUDA shows.

    Raises
    ------
    GpuError
        If there is none.
    """
    properties = _done(cuda, cuda.cudaGetDeviceProperties(0), "be asked for its name")
    driver = _done(cuda, cuda.cudaDriverGetVersion(), "be asked for its driver")
    name = bytes(properties.name).split(b"\0")[0].decode(errors="replace")
    return GpuIdentity(
        name, f"{properties.major}.{properties.minor}", f"{driver // 1000}.{driver % 1000 // 10}"
    )


class Gpu:
    """One stream of work on the first GPU that CUDA shows, and the memory that is worked on.

    All is given back when this object goes, or by `close`. It is not for several threads at once.

    Attributes
    ----------
    stream : int
        The stream's handle, for libraries that put work on it.

    Raises
    ------
    GpuError
        Here and of every method: if CUDA reports an error. One of work that was put on the stream may come of any
        method that is called after it.
    """

    def __init__(self) -> None:
        self._cuda = load_cuda()
        stream = self._call("open a stream", "cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)
        self._held = _Held(stream)
        self.stream = int(stream)
        self._release = weakref.finalize(self, _release, self._cuda, self._held)

    def buffer(self, n_bytes: int) -> Buffer:
        """Return new memory, on the GPU and here, of zeros here."""
        megabytes = f"{n_bytes / 1e6:.1f} MB"
        device = self._call(f"give {megabytes} of memory", "cudaMalloc", n_bytes)
        self._held.device.append(device)
        host = self._call(f"page-lock {megabytes} of memory", "cudaMallocHost", n_bytes)
        self._held.host.append(host)
        array = np.ctypeslib.as_array((ctypes.c_uint8 * n_bytes).from_address(int(host)))
        array[:] = 0
        return Buffer(int(device), array)

    def copy_in(self, buffer: Buffer, n_bytes: int) -> None:
        """Put on the stream: copy the first bytes of a buffer to the GPU."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(buffer.device, buffer.host.ctypes.data, n_bytes, kind)

    def copy_out(self, buffer: Buffer, n_bytes: int) -> None:
        """Put on the stream: copy the first bytes of a buffer from the GPU; they are here after `wait`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(buffer.host.ctypes.data, buffer.device, n_bytes, kind)

    def wait(self) -> None:
        """Wait until all that was put on the stream is done."""
        self._call("finish its work", "cudaStreamSynchronize", self._held.stream)

    def record(self, work: Callable[[], None]) -> Any:
        """Return a graph of what `work` puts on the stream, which is not done meanwhile.

        Sizes and addresses are recorded as they are; `launch` does them again with what then stands there.
        """
        # Of this thread alone: what others do on the GPU meanwhile would otherwise end the recording.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("begin to record its work", "cudaStreamBeginCapture", self._held.stream, mode)
        try:
            work()
        except BaseException:
            _, graph = self._cuda.cudaStreamEndCapture(self._held.stream)
            if graph is not None:
                self._cuda.cudaGraphDestroy(graph)
            self._cuda.cudaGetLastError()
            raise
        try:
            graph = self._call("record its work", "cudaStreamEndCapture", self._held.stream)
            try:
                ready = self._call("prepare what it recorded", "cudaGraphInstantiate", graph, 0)
            finally:
                self._cuda.cudaGraphDestroy(graph)
        except GpuError:
            # A library that asks for the last error would take that of the recording for its own.
            self._cuda.cudaGetLastError()
            raise
        self._held.graphs.append(ready)
        return ready

    def launch(self, graph: Any) -> None:
        """Put on the stream: all that was recorded, in one call."""
        self._call("begin what it recorded", "cudaGraphLaunch", graph, self._held.stream)

    def close(self) -> None:
        """Give back all memory; buffers must not be used any more."""
        self._release()

    def _copy(self, to: int, source: int, n_bytes: int, kind: Any) -> None:
        self._call("copy", "cudaMemcpyAsync", to, source, n_bytes, kind, self._held.stream)

    def _call(self, what: str, name: str, *arguments: Any) -> Any:
        return _done(self._cuda, getattr(self._cuda, name)(*arguments), what)


def _done(cuda: ModuleType, answer: tuple[Any, ...], what: str) -> Any:
    """Return what a function of CUDA gave.

    Raises
    ------
    GpuError
        If it gave an error, which is put into a sentence.
    """
    error, *given = answer
    if error == cuda.cudaError_t.cudaSuccess:
        return given[0] if given else None
    name, text = (tell(error)[1].decode() for tell in (cuda.cudaGetErrorName, cuda.cudaGetErrorString))
    advice = f" {_ADVICE[name]}." if name in _ADVICE else ""
    raise GpuError(f"The GPU could not {what}: {text} ({name}).{advice}")


def _release(cuda: ModuleType, held: _Held) -> None:
    """Give back all; errors are not looked at, since of a GPU that is lost nothing can be had back."""
    cuda.cudaStreamSynchronize(held.stream)
    for graph in held.graphs:
        cuda.cudaGraphExecDestroy(graph)
    for address in held.device:
        cuda.cudaFree(address)
    for address in held.host:
        cuda.cudaFreeHost(address)
    cuda.cudaStreamDestroy(held.stream)
