"""A stand-in for `cuda.bindings.runtime`: its functions, over memory of this process.

What is put on a stream is done when the stream is waited for, not before, so that whoever reads too early reads what
was there. Memory is not zero when it is given. Names, arguments and what comes back are those of cuda-bindings 13.5,
which `test_stand_ins` compares.
"""

import ctypes
from collections.abc import Callable
from enum import IntEnum
from types import ModuleType, SimpleNamespace

NAME, DRIVER = "NVIDIA Stand-in 40 GB", 13020


class cudaError_t(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


OK = (cudaError_t.cudaSuccess,)
TEXTS = {
    cudaError_t.cudaErrorMemoryAllocation: b"out of memory",
    cudaError_t.cudaErrorIllegalAddress: b"an illegal memory access was encountered",
    cudaError_t.cudaErrorNoDevice: b"no CUDA-capable device is detected",
}


class Handle:
    """An opaque thing of CUDA's, which is a number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.work: list[Callable[[], None]] = []
        self.recorded: list[Callable[[], None]] | None = None
        self.spoilt = False

    def __int__(self) -> int:
        return self.number


class FakeCuda(ModuleType):
    """The functions that this project calls, and what a test looks at or breaks.

    Attributes
    ----------
    device, host : dict of int to array
        Memory that was given and not given back, by its address.
    fails : dict of str to cudaError_t
        What a function gives, by its name, from now on.
    room : int
        Bytes that the GPU has.
    broken : bool
        Whether work on a stream fails when it is done, after which all does.
    """

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode
    cudaStreamNonBlocking = 1

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.device: dict[int, ctypes.Array[ctypes.c_uint8]] = {}
        self.host: dict[int, ctypes.Array[ctypes.c_uint8]] = {}
        self.streams: dict[int, Handle] = {}
        self.graphs: set[Handle] = set()
        self.launches = 0
        self.fails: dict[str, cudaError_t] = {}
        self.room = 1 << 30
        self.broken = False
        self.last_error = cudaError_t.cudaSuccess
        self.name = NAME
        self._lost = False
        self._handles = 0

    def _error(self, name: str) -> cudaError_t:
        return cudaError_t.cudaErrorIllegalAddress if self._lost else self.fails.get(name, OK[0])

    def _handle(self) -> Handle:
        self._handles += 1
        return Handle(self._handles)

    def recording(self) -> Handle | None:
        """Return the stream that is being recorded, if one is."""
        return next((stream for stream in self.streams.values() if stream.recorded is not None), None)

    def put(self, stream: int, work: Callable[[], None]) -> None:
        """Put work on a stream."""
        on = self.streams[stream]
        (on.work if on.recorded is None else on.recorded).append(work)

    def holds(self) -> bool:
        """Return whether anything was not given back."""
        return any((self.device, self.host, self.streams, self.graphs))

    def owns(self, address: int, n_bytes: int) -> bool:
        """Return whether memory lies on the GPU."""
        return _inside(self.device, address, n_bytes)

    def cudaGetDeviceCount(self) -> tuple[object, ...]:
        error = self._error("cudaGetDeviceCount")
        return error, None if error else 1

    def cudaGetDeviceProperties(self, device: int) -> tuple[object, ...]:
        error = self._error("cudaGetDeviceProperties")
        assert device == 0
        found = SimpleNamespace(name=self.name.encode().ljust(256, b"\0"), major=9, minor=0)
        return error, None if error else found

    def cudaDriverGetVersion(self) -> tuple[object, ...]:
        return *OK, DRIVER

    def cudaGetErrorName(self, error: cudaError_t) -> tuple[object, ...]:
        return *OK, error.name.encode()

    def cudaGetErrorString(self, error: cudaError_t) -> tuple[object, ...]:
        return *OK, TEXTS.get(error, b"some error")

    def cudaGetLastError(self) -> tuple[object, ...]:
        last, self.last_error = self.last_error, OK[0]
        return (last,)

    def cudaMalloc(self, size: int) -> tuple[object, ...]:
        return self._allocate("cudaMalloc", self.device, size)

    def cudaMallocHost(self, size: int) -> tuple[object, ...]:
        return self._allocate("cudaMallocHost", self.host, size)

    def _allocate(
        self, name: str, held: dict[int, ctypes.Array[ctypes.c_uint8]], size: int
    ) -> tuple[object, ...]:
        error = self._error(name)
        if (stream := self.recording()) is not None:
            stream.spoilt, error = True, cudaError_t.cudaErrorStreamCaptureUnsupported
        elif held is self.device and sum(map(len, held.values())) + size > self.room:
            error = cudaError_t.cudaErrorMemoryAllocation
        if error:
            return error, None
        memory = (ctypes.c_uint8 * size)()
        ctypes.memset(memory, 0xFF, size)
        held[ctypes.addressof(memory)] = memory
        return *OK, ctypes.addressof(memory)

    def cudaFree(self, devPtr: int) -> tuple[object, ...]:
        return (OK[0] if self.device.pop(devPtr, None) is not None else cudaError_t.cudaErrorInvalidValue,)

    def cudaFreeHost(self, ptr: int) -> tuple[object, ...]:
        assert self._lost or not any(stream.work for stream in self.streams.values()), (
            "It is still read from."
        )
        return (OK[0] if self.host.pop(ptr, None) is not None else cudaError_t.cudaErrorInvalidValue,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[object, ...]:
        if error := self._error("cudaStreamCreateWithFlags"):
            return error, None
        assert flags == self.cudaStreamNonBlocking
        stream = self._handle()
        self.streams[int(stream)] = stream
        return *OK, stream

    def cudaStreamDestroy(self, stream: Handle) -> tuple[object, ...]:
        del self.streams[int(stream)]
        return OK

    def cudaMemcpyAsync(
        self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: Handle
    ) -> tuple[object, ...]:
        if error := self._error("cudaMemcpyAsync"):
            return (error,)
        into, out_of = (
            (self.device, self.host)
            if kind == cudaMemcpyKind.cudaMemcpyHostToDevice
            else (self.host, self.device)
        )
        if not (_inside(into, dst, count) and _inside(out_of, src, count)):
            return (cudaError_t.cudaErrorInvalidValue,)
        self.put(int(stream), lambda: ctypes.memmove(dst, src, count) and None)
        return OK

    def cudaStreamSynchronize(self, stream: Handle) -> tuple[object, ...]:
        if error := self._error("cudaStreamSynchronize"):
            return (error,)
        if stream.recorded is not None:
            stream.spoilt = True
            return (cudaError_t.cudaErrorStreamCaptureUnsupported,)
        self._lost = self._lost or (self.broken and bool(stream.work))
        work, stream.work = stream.work, []
        for one in [] if self._lost else work:
            one()
        return (self._error("cudaStreamSynchronize"),)

    def cudaStreamBeginCapture(self, stream: Handle, mode: cudaStreamCaptureMode) -> tuple[object, ...]:
        if error := self._error("cudaStreamBeginCapture"):
            return (error,)
        assert mode in cudaStreamCaptureMode
        assert stream.recorded is None
        stream.recorded, stream.spoilt = [], False
        return OK

    def cudaStreamEndCapture(self, stream: Handle) -> tuple[object, ...]:
        recorded, stream.recorded = stream.recorded, None
        assert recorded is not None
        error = self._error("cudaStreamEndCapture")
        if stream.spoilt:
            self.last_error = error = cudaError_t.cudaErrorStreamCaptureInvalidated
        if error:
            return error, None
        graph = self._handle()
        graph.work = recorded
        self.graphs.add(graph)
        return *OK, graph

    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> tuple[object, ...]:
        if error := self._error("cudaGraphInstantiate"):
            return error, None
        assert flags == 0
        ready = self._handle()
        ready.work = list(graph.work)
        self.graphs.add(ready)
        return *OK, ready

    def cudaGraphDestroy(self, graph: Handle) -> tuple[object, ...]:
        self.graphs.remove(graph)
        return OK

    def cudaGraphExecDestroy(self, graphExec: Handle) -> tuple[object, ...]:
        self.graphs.remove(graphExec)
        return OK

    def cudaGraphLaunch(self, graphExec: Handle, stream: Handle) -> tuple[object, ...]:
        if error := self._error("cudaGraphLaunch"):
            return (error,)
        assert graphExec in self.graphs
        self.launches += 1
        stream.work.extend(graphExec.work)
        return OK


def _inside(held: dict[int, "ctypes.Array[ctypes.c_uint8]"], address: int, n_bytes: int) -> bool:
    return any(at <= address and address + n_bytes <= at + len(memory) for at, memory in held.items())
