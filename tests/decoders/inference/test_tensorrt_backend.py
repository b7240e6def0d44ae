"""Engines run networks as ONNX Runtime does, in batches of any size, and what fails on the way is told."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.inference import providers
from decode_stream.decoders.inference.backend import Backend
from decode_stream.decoders.inference.session import InferenceSession
from decode_stream.decoders.inference.tensorrt_backend import TensorRTBackend, missing
from decode_stream.stream.errors import GpuError, ProviderLost, UsageError

from .fake_cuda import FakeCuda, cudaError_t
from .fake_tensorrt import FakeTensorRT
from .networks import (
    DIM,
    N_CHANNELS,
    N_TIMES,
    deaf_to_latencies,
    encoder,
    expected,
    machine,
    scaled_by_its_batch,
    windows,
)

Machine = tuple[FakeTensorRT, FakeCuda]
NAMES = ["embedding", "strength"]


@pytest.fixture(params=["10", "11", "rtx"])
def each(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return machine(monkeypatch, tmp_path, request.param)


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return machine(monkeypatch, tmp_path, "10")


def agrees(backend: Backend, n: int, seed: int = 1) -> None:
    given = windows(n, seed)
    for y, truth in zip(backend.run(given, NAMES), expected(given), strict=True):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, truth, rtol=1e-5, atol=1e-5)


def test_any_batch_is_run_whatever_was_warmed_up(each: Machine) -> None:
    backend = TensorRTBackend(encoder(), [1, 2, 5])
    for seed, n in enumerate([1, 2, 3, 5, 6, 7, 11, 1, 64]):
        agrees(backend, n, seed)
    empty = backend.run(windows(0), NAMES)
    assert [y.shape for y in empty] == [(0, DIM), (0,)]
    assert [(spec.name, spec.shape) for spec in backend.inputs] == [
        ("window", (None, N_CHANNELS, N_TIMES)),
        ("latency_s", (None,)),
    ]
    assert [(spec.name, spec.shape) for spec in backend.outputs] == [
        ("embedding", (None, DIM)),
        ("strength", (None,)),
    ]
    assert each[0].built == [
        {"window": ((1, 3, 4), (1, 3, 4), (5, 3, 4)), "latency_s": ((1,), (1,), (5,))},
    ]


def test_a_run_is_one_launch_and_takes_no_memory(each: Machine) -> None:
    _, cuda = each
    backend = TensorRTBackend(encoder(), [1, 5])
    held, launched = (set(cuda.device), set(cuda.host), len(cuda.graphs)), cuda.launches
    cuda.fails = dict.fromkeys(
        ["cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaStreamBeginCapture"],
        cudaError_t.cudaErrorMemoryAllocation,
    )
    for n, launches in [(1, 1), (4, 1), (5, 1), (6, 2), (15, 3)]:
        agrees(backend, n)
        launched += launches
        assert cuda.launches == launched
    assert (set(cuda.device), set(cuda.host), len(cuda.graphs)) == held


def test_what_a_batch_before_left_has_no_part_in_the_next(ten: Machine) -> None:
    backend = TensorRTBackend(scaled_by_its_batch(), [4])
    backend.run({"x": np.full((4, 2), 1e6, np.float32)}, ["y"])
    (y,) = backend.run({"x": np.array([[1, 2], [3, 4]], np.float32)}, ["y"])
    np.testing.assert_allclose(y, [[0.25, 0.5], [0.75, 1]])


def test_what_is_returned_belongs_to_the_caller(ten: Machine) -> None:
    backend = TensorRTBackend(encoder(), [2])
    first, second = windows(2, 1), windows(2, 2)
    (kept,) = backend.run(first, ["embedding"])
    backend.run(second, ["embedding"])
    np.testing.assert_allclose(kept, expected(first)[0], rtol=1e-5, atol=1e-5)


def test_outputs_come_by_name_in_the_order_asked_for(ten: Machine) -> None:
    given = windows(3)
    strength, embedding = TensorRTBackend(encoder(), [4]).run(given, ["strength", "embedding"])
    assert strength.shape == (3,)
    assert embedding.shape == (3, DIM)


def test_it_is_told_what_runs_and_that_an_engine_was_built(each: Machine) -> None:
    trt, cuda = each
    label = "TensorRT for RTX" if trt.flavour == "rtx" else "TensorRT"
    built, runs = TensorRTBackend(encoder(), [1]).notes
    assert built.startswith(f"{label} {trt.__version__} builds an engine for {cuda.name}, batches of 1 to 1")
    assert TensorRTBackend(encoder(), [1]).notes == (runs,)
    assert runs == f"{label} {trt.__version__} on {cuda.name}"
    assert len(trt.built) == 1
    assert len(set(map(id, trt.loggers))) == 1  # it keeps the first for as long as it is loaded


def test_several_threads_may_run_at_once(ten: Machine) -> None:
    backend = TensorRTBackend(encoder(), [1, 3])
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(agrees, backend, 1 + seed % 5, seed) for seed in range(40)]:
            done.result()


def test_memory_goes_back_with_the_backend(ten: Machine) -> None:
    _, cuda = ten
    backend = TensorRTBackend(encoder(), [1, 5])
    assert len(cuda.device) == len(cuda.host) == 4
    del backend
    gc.collect()
    assert not cuda.holds()


@pytest.mark.parametrize("flavour", ["10", "rtx"])
def test_what_cannot_be_recorded_runs_without(
    flavour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt, cuda = machine(monkeypatch, tmp_path, flavour)
    trt.breaks.add("capture")
    backend = TensorRTBackend(encoder(), [1, 4])
    assert [note.partition(":")[0] for note in backend.notes[-2:]] == [
        "a batch of 4 runs without a CUDA graph",
        "a batch of 1 runs without a CUDA graph",
    ]
    assert cuda.last_error == cudaError_t.cudaSuccess
    for n in (1, 3, 9):
        agrees(backend, n)
    assert cuda.launches == 0


def test_a_run_that_the_library_refuses_is_told_in_its_words(ten: Machine) -> None:
    ten[0].breaks.add("capture")
    backend = TensorRTBackend(encoder(), [1])
    ten[0].breaks.add("execute")
    with pytest.raises(GpuError, match=r"^TensorRT could not run the network: Error Code 1: Cuda Runtime"):
        backend.run(windows(1), NAMES)


def test_an_error_of_work_that_was_begun_is_told(ten: Machine) -> None:
    backend = TensorRTBackend(encoder(), [1])
    ten[1].broken = True
    with pytest.raises(
        GpuError, match=r"could not finish its work: an illegal memory access .*IllegalAddress"
    ):
        backend.run(windows(1), NAMES)
    with pytest.raises(GpuError, match="could not begin what it recorded"):
        backend.run(windows(1), NAMES)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("context", r"cannot run the engine; the GPU's memory may be full: Error Code 2: OutOfMemory"),
        ("address", r"does not take the memory of 'window'"),
        ("execute", r"could not run the network: Error Code 1"),
    ],
)
def test_a_library_that_does_not_open_says_so(ten: Machine, what: str, says: str) -> None:
    ten[0].breaks.add(what)
    with pytest.raises(GpuError, match=says):
        TensorRTBackend(encoder(), [1])


def test_a_gpu_without_room_says_so_and_keeps_nothing(ten: Machine) -> None:
    _, cuda = ten
    cuda.room = 4 * N_CHANNELS * N_TIMES * 100
    with pytest.raises(GpuError, match=r"give .* of memory: out of memory .*close what else uses it"):
        TensorRTBackend(encoder(), [100])
    gc.collect()
    assert not cuda.holds()


def test_a_network_of_one_shape_runs(each: Machine) -> None:
    backend = TensorRTBackend(encoder(batch=2), [1, 5])
    agrees(backend, 2)
    with pytest.raises(ValueError, match=r"'window' is \(3, 3, 4\); it should be of shape \(2, 3, 4\)"):
        backend.run(windows(3), NAMES)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": np.zeros((2, 3, 5), np.float32)}, r"'window' is \(2, 3, 5\)"),
        ({"latency_s": np.zeros(3, np.float32)}, r"'latency_s' is \(3,\); it should be of shape \(2,\)"),
        ({"latency_s": None}, "'latency_s' is missing"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    ten: Machine, change: dict[str, np.ndarray | None], says: str
) -> None:
    given = {name: x for name, x in (windows(2) | change).items() if x is not None}
    with pytest.raises(ValueError, match=says):
        TensorRTBackend(encoder(), [2]).run(given, NAMES)


def test_a_machine_without_a_library_says_what_to_install(
    ten: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing() is None
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "pip install 'decode-stream[tensorrt]'" in str(missing())
    with pytest.raises(UsageError, match=r"needs a library.*pip install 'decode-stream\[tensorrt\]'"):
        TensorRTBackend(encoder(), [1])


def test_one_library_is_enough(each: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() is None
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    assert "pip install cuda-bindings" in str(missing())


def test_what_a_network_does_not_use_is_left_out_of_its_engine(
    each: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "no_gpu", lambda: None)
    session = InferenceSession(deaf_to_latencies(), "tensorrt-engine", warm=[1, 5])
    assert [spec.name for spec in session.inputs] == ["window"]
    given = windows(3)
    assert np.array_equal(session.run(given)[0], given["window"].reshape(3, -1))


def test_a_session_runs_on_an_engine_and_says_where_it_is_lost(
    ten: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "no_gpu", lambda: None)
    session = InferenceSession(encoder(), "auto", warm=[1, 5])
    assert (session.provider, session.fallbacks) == ("tensorrt-engine", ())
    given = windows(3)
    np.testing.assert_allclose(session.run(given)[0], expected(given)[0], rtol=1e-5, atol=1e-5)
    ten[1].broken = True
    with pytest.raises(ProviderLost, match="TensorRT engine failed: The GPU could not finish its work"):
        session.run(given)
