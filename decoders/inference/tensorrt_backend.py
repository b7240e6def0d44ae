"""Running a network by an engine of TensorRT: on buffers that are held, by graphs recorded once a batch size."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import GpuError

from .backend import TensorSpec
from .cuda_memory import Buffer, Gpu, no_cuda
from .tensorrt_engine import LIBRARIES, Library, LoadedEngine, load_engine, no_library

if TYPE_CHECKING:
    from decode_stream.decoders.onnx_model import OnnxModel

__all__ = ["TensorRTBackend", "missing"]

Array = npt.NDArray[Any]


def missing() -> str | None:
    """Return why no engine can be run here, the GPU aside; None where one can."""
    if (why := no_cuda()) is not None:
        return f"{why}; type: pip install cuda-bindings"
    reasons = [no_library(library) for library in LIBRARIES]
    return None if None in reasons else reasons[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Sized:
    """One batch size, ready to run.

    Attributes
    ----------
    context : IExecutionContext
        Of this size alone: a graph holds only as long as the context it was recorded from is not changed.
    arrays : dict of str to array
        Inputs and outputs by name, in page-locked memory.
    graph : object
        What is launched; None where the network cannot be recorded and is put on the stream anew each time.
    """

    context: Any
    arrays: dict[str, Array]
    graph: Any


class TensorRTBackend:
    """Runs a network by an engine, which is built first unless it is kept.

    A batch runs as the smallest size that was warmed up and holds it, filled up with its last row; one larger than all
    of them in parts. So nothing is allocated, and no shape changed, after this object was made.

    Parameters
    ----------
    model : OnnxModel
        Rows of a batch do not depend on each other.
    warm : sequence of int
        Batch sizes.

    Attributes
    ----------
    provider : str
    inputs, outputs : tuple of TensorSpec
    notes : tuple of str
        Library, version and GPU, and what was built and why.

    Raises
    ------
    UsageError
        If no library is installed, or engines cannot be kept.
    GpuError
        Here and of `run`: if the GPU or the library fails.
    """

    provider = "tensorrt-engine"

    def __init__(self, model: "OnnxModel", warm: Sequence[int]) -> None:
        notes: list[str] = []
        sizes = sorted(set(warm)) or [1]
        self._loaded = load_engine(model, most_batch=sizes[-1], library=_library(), report=notes.append)
        self.inputs, self.outputs = _specs(self._loaded)
        self._batched = {spec.name for spec in (*self.inputs, *self.outputs) if spec.shape[:1] == (None,)}
        self._sizes = self._runnable(sizes)
        self._lock = threading.Lock()
        self._gpu = Gpu()
        self._buffers: dict[str, Buffer] = {}
        key = self._loaded.key
        notes.append(f"{key.library} {key.version} on {key.gpu}")
        # The largest first: its buffers hold the others.
        self._sized = {n: self._prepared(n, notes) for n in reversed(self._sizes)}
        self.notes = tuple(notes)

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Return the outputs of these names; see `Backend.run`.

        Raises
        ------
        ValueError
            If an input is missing or not of the network's shape.
        """
        n = self._batch(inputs)
        given = {
            name: np.empty((n, *like.shape[1:]) if name in self._batched else like.shape, like.dtype)
            for name, like in ((name, self._sized[self._sizes[0]].arrays[name]) for name in outputs)
        }
        most = self._sizes[-1]
        with self._lock:
            for start in range(0, n, most):
                self._run_part(inputs, given, start, min(start + most, n))
        return [given[name] for name in outputs]

    def _run_part(
        self, inputs: Mapping[str, Array], given: Mapping[str, Array], start: int, end: int
    ) -> None:
        """Run some rows of a batch, no more than the largest size holds."""
        n = end - start
        sized = self._sized[next(size for size in self._sizes if size >= n)]
        for spec in self.inputs:
            here, x = sized.arrays[spec.name], inputs[spec.name]
            if spec.name in self._batched:
                here[:n] = x[start:end]
                # Not what a batch before left there: where numbers are scaled by the batch's largest, it would tell.
                here[n:] = x[end - 1]
            else:
                here[...] = x
        self._put(sized)
        self._gpu.wait()
        for name, y in given.items():
            if name in self._batched:
                y[start:end] = sized.arrays[name][:n]
            else:
                y[...] = sized.arrays[name]

    def _put(self, sized: _Sized) -> None:
        """Put a run on the stream, with what stands in the buffers."""
        if sized.graph is not None:
            self._gpu.launch(sized.graph)
            return
        for spec in self.inputs:
            self._gpu.copy_in(self._buffers[spec.name], sized.arrays[spec.name].nbytes)
        if not sized.context.execute_async_v3(self._gpu.stream):
            raise self._failed("could not run the network")
        for spec in self.outputs:
            self._gpu.copy_out(self._buffers[spec.name], sized.arrays[spec.name].nbytes)

    def _prepared(self, n: int, notes: list[str]) -> _Sized:
        """Return what runs batches of n, having run one."""
        context = self._context()
        arrays = dict[str, Array]()
        for spec, shape in zip((*self.inputs, *self.outputs), self._shapes(context, n), strict=True):
            n_bytes = math.prod(shape) * spec.dtype.itemsize
            if spec.name not in self._buffers:
                self._buffers[spec.name] = self._gpu.buffer(n_bytes)
            buffer = self._buffers[spec.name]
            arrays[spec.name] = buffer.host[:n_bytes].view(spec.dtype).reshape(shape)
            if not context.set_tensor_address(spec.name, buffer.device):
                raise self._failed(f"does not take the memory of {spec.name!r}")
        plain = _Sized(context, arrays, None)
        # The first run with new shapes does what cannot be recorded; the last is as all that follow.
        self._put(plain)
        self._gpu.wait()
        sized = self._recorded(plain, n, notes)
        self._put(sized)
        self._gpu.wait()
        return sized

    def _recorded(self, plain: _Sized, n: int, notes: list[str]) -> _Sized:
        """Return the same with a graph of its run; without one, and a note, where that cannot be."""
        tells = getattr(plain.context, "is_stream_capturable", None)  # of TensorRT for RTX alone
        try:
            if tells is not None and not tells(self._gpu.stream):
                raise self._failed("cannot have this network recorded")
            return replace(plain, graph=self._gpu.record(lambda: self._put(plain)))
        except GpuError as error:
            notes.append(f"a batch of {n} runs without a CUDA graph: {str(error).rstrip('.')}")
            return plain

    def _context(self) -> Any:
        """Return a new context of the engine."""
        engine = self._loaded.engine
        strategies = getattr(self._loaded.library, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:
            context = engine.create_execution_context()
        else:
            # TensorRT for RTX compiles the kernels of a shape when it is first run. Eager: here, where it is warmed
            # up; it would else do so aside, and what was recorded would go on without them.
            config = engine.create_runtime_config()
            config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            context = engine.create_execution_context(config)
        if context is None:
            raise self._failed("cannot run the engine; the GPU's memory may be full")
        return context

    def _shapes(self, context: Any, n: int) -> list[tuple[int, ...]]:
        """Tell a context that batches are of n; return the shape of each input and output."""
        for spec in self.inputs:
            shape = tuple(n if length is None else length for length in spec.shape)
            if not context.set_input_shape(spec.name, shape):
                raise self._failed(f"does not take {spec.name!r} of shape {shape}")
        if unknown := context.infer_shapes():
            raise self._failed(f"does not know the shape of {', '.join(unknown)}")
        shapes = [tuple(context.get_tensor_shape(spec.name)) for spec in (*self.inputs, *self.outputs)]
        for spec, shape in zip((*self.inputs, *self.outputs), shapes, strict=True):
            if -1 in shape or (spec.name in self._batched and shape[0] != n):
                raise self._failed(f"gives {spec.name!r} of shape {shape} for a batch of {n}")
        return shapes

    def _runnable(self, sizes: Sequence[int]) -> list[int]:
        """Return the batch sizes to prepare: one where the network has none."""
        if not any(spec.name in self._batched for spec in self.inputs):
            return [1]
        if whole := [spec.name for spec in self.outputs if spec.name not in self._batched]:
            raise GpuError(f"The output {whole[0]!r} has no batch, so that batches cannot be run in parts.")
        return list(sizes)

    def _batch(self, inputs: Mapping[str, Array]) -> int:
        """Return the size of a batch; inputs that the engine lacks have no effect on what it gives."""
        n = 1
        for spec in self.inputs:
            if spec.name in self._batched and spec.name in inputs:
                n = len(inputs[spec.name])
                break
        for spec in self.inputs:
            shape = tuple(n if length is None else length for length in spec.shape)
            if spec.name not in inputs or inputs[spec.name].shape != shape:
                found = inputs[spec.name].shape if spec.name in inputs else "missing"
                raise ValueError(f"The input {spec.name!r} is {found}; it should be of shape {shape}.")
        return n

    def _failed(self, what: str) -> GpuError:
        """Return the error of something that the library did not do, with what it said last."""
        said = f": {self._loaded.errors[-1].rstrip('.')}" if self._loaded.errors else ""
        return GpuError(f"{self._loaded.key.library} {what}{said}.")


def _library() -> Library:
    """Return the best library there is; the first where there is none, which loading it says."""
    return next((library for library in LIBRARIES if no_library(library) is None), next(iter(LIBRARIES)))


def _specs(loaded: LoadedEngine) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return what an engine takes and gives.

    Raises
    ------
    GpuError
        If that is nothing that NumPy has, or does not lie on the GPU.
    """
    trt, engine = loaded.library, loaded.engine
    inputs, outputs = list[TensorSpec](), list[TensorSpec]()
    for name in [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]:
        kind = engine.get_tensor_dtype(name)
        try:
            dtype = np.dtype(trt.nptype(kind))
        except TypeError as error:
            raise GpuError(f"{name!r} is of {kind}, which NumPy does not have; let it be float32.") from error
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise GpuError(f"{name!r} tells a shape, which an engine reads from the processor's memory.")
        shape = tuple(None if length == -1 else int(length) for length in engine.get_tensor_shape(name))
        taken = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if taken else outputs).append(TensorSpec(name, shape, dtype))
    return tuple(inputs), tuple(outputs)
