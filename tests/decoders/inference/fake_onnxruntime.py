"""Stands in for ONNX Runtime on a machine with a GPU: its rules for devices and CUDA graphs, its kernels on the CPU.

It has what `onnxruntime_backend` uses, under ONNX Runtime's names. Memory of the device can be reached only through the
calls that copy. As with `enable_cuda_graph`: the first run under a graph's number records the addresses of its buffers,
and every later one computes on these, whatever is bound; a run with no number counts as number 0; -1 records nothing.
Every thread has graphs of its own.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime as real

__all__ = ["FakeRuntime"]

#: Options of the providers as ONNX Runtime 1.31 has them, those that are set here.
_KNOWN = {
    "CUDAExecutionProvider": {"device_id", "enable_cuda_graph", "use_tf32", "cudnn_conv_algo_search"},
    "TensorrtExecutionProvider": {"device_id"},
    "CPUExecutionProvider": set[str](),
}


class FakeRuntime:
    """The module.

    Parameters
    ----------
    loads : sequence of str
        Providers whose libraries load.
    records : bool
        Whether networks can be recorded as CUDA graphs.
    fails_at : int
        The run that the device fails at, from 1 on, and all after it; 0 for none.

    Attributes
    ----------
    n_runs : int
    n_values : int
        Values that were made: memory that was taken.
    n_recorded : int
        Graphs.
    graphs : list of int
        Number of the graph of each run.
    batches : list of int
    opened : list
        Providers and options of each session.
    """

    SessionOptions, RunOptions = real.SessionOptions, real.RunOptions

    def __init__(
        self,
        loads: Sequence[str] = ("CUDAExecutionProvider", "TensorrtExecutionProvider"),
        *,
        records: bool = True,
        fails_at: int = 0,
    ) -> None:
        self.loads, self.records, self.fails_at = loads, records, fails_at
        self.n_runs = self.n_values = self.n_recorded = 0
        self.graphs = list[int]()
        self.batches = list[int]()
        self.opened = list[list[Any]]()
        runtime = self

        class InferenceSession(_Session):
            def __init__(
                self, graph: bytes, options: Any, providers: Sequence[Any], enable_fallback: int
            ) -> None:
                super().__init__(runtime, graph, options, providers)

        class OrtValue(_Value):
            @classmethod
            def ortvalue_from_numpy(
                cls, x: np.ndarray, device_type: str = "cpu", device_id: int = 0
            ) -> "_Value":
                runtime.n_values += 1
                return cls(x, device_type)

        self.InferenceSession, self.OrtValue = InferenceSession, OrtValue


class _Value:
    """An OrtValue: on the CPU the array's own memory, on a device a copy."""

    def __init__(self, x: np.ndarray, device: str) -> None:
        assert isinstance(x, np.ndarray)
        assert x.flags.c_contiguous
        assert device in ("cpu", "cuda")
        self.device = device
        self.memory = x if device == "cpu" else x.copy()

    def update_inplace(self, x: np.ndarray) -> None:
        assert isinstance(x, np.ndarray), "data must be a numpy.ndarray or an OrtValue."
        assert x.dtype == self.memory.dtype
        assert x.nbytes == self.memory.nbytes, "The input size must match"
        self.memory[...] = np.ascontiguousarray(x).reshape(self.memory.shape)

    def numpy(self) -> np.ndarray:
        return self.memory.copy()


class _Binding:
    def __init__(self, session: "_Session") -> None:
        self.session = session
        self.inputs = dict[str, _Value]()
        self.outputs = dict[str, _Value]()

    def bind_ortvalue_input(self, name: str, value: _Value) -> None:
        self.inputs[name] = value

    def bind_ortvalue_output(self, name: str, value: _Value) -> None:
        self.outputs[name] = value

    def synchronize_outputs(self) -> None:
        self.session.is_synchronized = True


class _Session:
    def __init__(self, runtime: FakeRuntime, graph: bytes, options: Any, providers: Sequence[Any]) -> None:
        named = [(one, {}) if isinstance(one, str) else one for one in providers]
        for name, given in named:
            assert set(given) <= _KNOWN[name], f"Unknown provider option: {set(given) - _KNOWN[name]}"
            assert all(isinstance(value, str) for value in given.values())
        runtime.opened.append(named)
        self.runtime = runtime
        self.first = next(
            name for name, _ in named if name in runtime.loads or name == "CPUExecutionProvider"
        )
        self.has_graphs = dict(named)[self.first].get("enable_cuda_graph") == "1"
        if self.has_graphs and not runtime.records:
            raise RuntimeError(
                "This session cannot use the graph capture feature as requested by the user as all the graph nodes "
                "have not been partitioned to the CUDAExecutionProvider"
            )
        self.real = real.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.recorded = dict[tuple[int, int], tuple[dict[str, _Value], dict[str, _Value]]]()
        self.busy = threading.Lock()
        self.is_synchronized = False

    def get_providers(self) -> list[str]:
        return list(dict.fromkeys([self.first, "CPUExecutionProvider"]))

    def get_inputs(self) -> list[Any]:
        return list(self.real.get_inputs())

    def get_outputs(self) -> list[Any]:
        return list(self.real.get_outputs())

    def io_binding(self) -> _Binding:
        return _Binding(self)

    def run(
        self, names: Sequence[str], inputs: dict[str, np.ndarray], options: Any = None
    ) -> list[np.ndarray]:
        number = _number(options)
        assert not (self.has_graphs and number >= 0), (
            "a graph needs addresses that stay: bind inputs and outputs"
        )
        with self._at_work(number, len(next(iter(inputs.values())))):
            return list(self.real.run(list(names), inputs))

    def run_with_iobinding(self, binding: _Binding, options: Any = None) -> None:
        assert binding.session is self, "IOBinding must be used with the session that created it."
        number, bound = _number(options), (binding.inputs, binding.outputs)
        if self.has_graphs and number >= 0:
            key = threading.get_ident(), number
            self.runtime.n_recorded += key not in self.recorded
            bound = self.recorded.setdefault(key, bound)
        inputs, outputs = bound
        with self._at_work(number, len(next(iter(inputs.values())).memory)):
            given = self.real.run(list(outputs), {name: value.memory for name, value in inputs.items()})
            for value, x in zip(outputs.values(), given, strict=True):
                assert value.memory.shape == x.shape
                value.memory[...] = x

    @contextmanager
    def _at_work(self, number: int, batch: int) -> Iterator[None]:
        runtime = self.runtime
        runtime.n_runs += 1
        runtime.graphs.append(number)
        runtime.batches.append(batch)
        if runtime.fails_at and runtime.n_runs >= runtime.fails_at and self.first != "CPUExecutionProvider":
            raise RuntimeError("CUDA failure 719: unspecified launch failure")
        assert self.busy.acquire(blocking=False), "two threads run one session of a device"
        try:
            yield
        finally:
            self.busy.release()


def _number(options: Any) -> int:
    """Return the number of a run's graph; ONNX Runtime takes 0 where none is given."""
    if options is None:
        return 0
    try:
        return int(options.get_run_config_entry("gpu_graph_id"))
    except RuntimeError:
        return 0
