"""Running a network by ONNX Runtime: on the CPU, by CUDA or by its TensorRT provider."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from decode_stream.decoders.onnx_model import OnnxModel, load_model

from .backend import TensorSpec

__all__ = ["OnnxRuntimeBackend"]

_Result = TypeVar("_Result")

_CPU = "CPUExecutionProvider"
_NAMES = {"cpu": _CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_OPTIONS: dict[str, dict[str, str]] = {
    "cpu": {},
    # TF32 would round float32 to 10 bits: how exact a network is, is decided where it is exported. The exhaustive
    # search of convolutions would stop a session for every batch size that was not warmed up.
    "cuda": {"device_id": "0", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
    "tensorrt": {"device_id": "0"},
}

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}

#: ONNX Runtime records no graph of a run with this number.
_NO_GRAPH = -1


class _NotLoadedError(RuntimeError):
    """A provider's libraries do not load."""


class OnnxRuntimeBackend:
    """Runs one network by ONNX Runtime; see `Backend`.

    Batches of the sizes that were warmed up go through buffers that are bound once: on a GPU they lie in its memory,
    and CUDA replays what it has recorded of that size (a CUDA graph). Others are run as they come.

    Parameters
    ----------
    model : OnnxModel
    provider : {"cpu", "cuda", "tensorrt"}
    warm : sequence of int
        Batch sizes.

    Raises
    ------
    RuntimeError
        If the provider does not take the network. ONNX Runtime raises errors of its own, of any class.
    """

    def __init__(self, model: OnnxModel, provider: str, warm: Sequence[int]) -> None:
        self.provider = provider
        self.notes: tuple[str, ...] = ()
        self._lock = threading.Lock()
        # ONNX Runtime's TensorRT builds an engine anew, for seconds, whenever a batch is larger than any before: the
        # largest comes first, and larger ones are run in parts.
        self._most = max(warm, default=1) if provider == "tensorrt" else None
        sizes = tuple(dict.fromkeys(warm if self._most is None else (self._most, *warm)))
        # ONNX Runtime holds the graphs that it records, and much else of a device, for each thread that runs it:
        # whoever asks, one thread that was warmed up does the work.
        self._worker = None if provider == "cpu" else ThreadPoolExecutor(1, f"{provider} networks")
        if provider != "cuda":
            self._do(self._begin, model, sizes, False)
            return
        try:
            self._do(self._begin, model, sizes, True)
        except _NotLoadedError:
            raise
        except Exception as error:
            # A network that does in part run on the CPU, for one, cannot be recorded.
            self._do(self._begin, model, sizes, False)
            self.notes = (f"without CUDA graphs: {' '.join(str(error).split())[:200]}",)

    def _do(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Do something with the session, in the thread where it lives."""
        return work(*arguments) if self._worker is None else self._worker.submit(work, *arguments).result()

    def _begin(self, model: OnnxModel, sizes: Sequence[int], graphs: bool) -> None:
        """Open the model, and run batches of these sizes."""
        self._session, self._has_graphs = _opened(model, self.provider, graphs=graphs), graphs
        self.inputs = tuple(_spec(one) for one in self._session.get_inputs())
        self.outputs = tuple(_spec(one) for one in self._session.get_outputs())
        # Where the graph leaves more open than the batch, a size is warmed up by the first batch of it.
        self._bound: dict[int, _Bound | None] = dict.fromkeys(sizes)
        if all(spec.is_fixed for spec in self.inputs):
            for n in sizes:
                self._bound[n] = self._warmed({spec.name: spec.zeros(n) for spec in self.inputs})

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        """Return the outputs of these names; see `Backend`."""
        return self._do(self._run, inputs, outputs)

    def _run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        n = len(next(iter(inputs.values())))
        if self._most is not None and n > self._most:
            parts = [
                self._run({name: x[at : at + self._most] for name, x in inputs.items()}, outputs)
                for at in range(0, n, self._most)
            ]
            return [np.concatenate(part) for part in zip(*parts, strict=True)]
        # On the CPU a window never waits for another thread's: where the buffers are in use, it runs without them.
        if n in self._bound and self._lock.acquire(blocking=False):
            try:
                bound = self._bound[n] = self._bound[n] or self._warmed(inputs)
                if bound.fits(inputs):
                    return bound.run(inputs, outputs)
            finally:
                self._lock.release()
        return self._unbound(inputs, outputs)

    def _unbound(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        given: list[npt.NDArray[Any]] = self._session.run(
            list(outputs), dict(inputs), _run_options(_NO_GRAPH) if self._has_graphs else None
        )
        return given

    def _warmed(self, inputs: Mapping[str, npt.NDArray[Any]]) -> "_Bound":
        """Return buffers for batches of these shapes, with which the network has run."""
        # Shapes are those that come out: a graph may be wrong about its own.
        given = self._unbound(inputs, [spec.name for spec in self.outputs])
        outputs = {spec.name: x for spec, x in zip(self.outputs, given, strict=True)}
        n = len(next(iter(inputs.values())))
        bound = _Bound(
            self._session,
            {name: x.copy() for name, x in inputs.items()},
            outputs,
            _run_options(n) if self._has_graphs else None,
            on_cpu=self.provider == "cpu",
        )
        bound.run(inputs, [])
        return bound


class _Bound:
    """The buffers of one batch size, bound to the network once; run by one thread at a time.

    Parameters
    ----------
    inputs, outputs : dict of str to array
        Of the shapes and dtypes of the buffers; on the CPU they become the buffers.
    options : ort.RunOptions or None
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        inputs: dict[str, npt.NDArray[Any]],
        outputs: dict[str, npt.NDArray[Any]],
        options: ort.RunOptions | None,
        *,
        on_cpu: bool,
    ) -> None:
        self._session, self._options, self._on_cpu = session, options, on_cpu
        self._kinds = {name: (x.shape, x.dtype) for name, x in inputs.items()}
        self._arrays = inputs | outputs
        # On the CPU a value is the array's own memory, and on a GPU a copy of it.
        device = "cpu" if on_cpu else "cuda"
        self._values = {
            name: ort.OrtValue.ortvalue_from_numpy(x, device, 0) for name, x in self._arrays.items()
        }
        self._binding = session.io_binding()
        for name in inputs:
            self._binding.bind_ortvalue_input(name, self._values[name])
        for name in outputs:
            self._binding.bind_ortvalue_output(name, self._values[name])

    def fits(self, inputs: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Return whether inputs are what the buffers are for."""
        return {name: (x.shape, x.dtype) for name, x in inputs.items()} == self._kinds

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        """Return the outputs of these names; the arrays are the caller's."""
        for name, x in inputs.items():
            if self._on_cpu:
                np.copyto(self._arrays[name], x)
            else:
                self._values[name].update_inplace(x)
        self._session.run_with_iobinding(self._binding, self._options)
        if self._on_cpu:
            return [self._arrays[name].copy() for name in outputs]
        self._binding.synchronize_outputs()
        return [self._values[name].numpy() for name in outputs]


def _opened(model: OnnxModel, provider: str, *, graphs: bool) -> ort.InferenceSession:
    """Return what runs a model."""
    name = _NAMES[provider]
    options = _OPTIONS[provider] | ({"enable_cuda_graph": "1"} if graphs else {})
    session = load_model(model, _session_options(), [(name, options), _CPU] if options else [name])
    # ONNX Runtime takes the CPU without a word where a provider's libraries do not load.
    if session.get_providers()[0] != name:
        raise _NotLoadedError("ONNX Runtime could not load it")
    return session


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # One thread without spinning: with a 25 ms hop a window takes well under a millisecond, and threads that
    # spin between windows would take the core away from acquisition.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _run_options(graph: int) -> ort.RunOptions:
    """Return the options of runs that record and replay the CUDA graph of this number."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


def _spec(node: ort.NodeArg) -> TensorSpec:
    if node.type not in _DTYPES:
        raise RuntimeError(f"{node.name!r} is of the type {node.type}, which no network here takes or gives")
    shape = tuple(length if isinstance(length, int) else None for length in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))
