"""ONNX Runtime as a back-end: the same bits on the CPU, and its rules for devices kept."""

import threading
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnxruntime as real
import pytest

from decode_stream.decoders import onnx_model
from decode_stream.decoders.inference import onnxruntime_backend
from decode_stream.decoders.inference.onnxruntime_backend import OnnxRuntimeBackend
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.demos.demo import demo_generator
from tests.decoders.inference.failing import batches, network
from tests.decoders.inference.fake_onnxruntime import FakeRuntime

BOTH = ("y", "p")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*args: Any, **settings: Any) -> FakeRuntime:
        fake = FakeRuntime(*args, **settings)
        monkeypatch.setattr(onnxruntime_backend, "ort", fake)
        monkeypatch.setattr(onnx_model, "ort", fake)
        return fake

    return make


def plainly(model: OnnxModel, inputs: dict[str, np.ndarray], outputs: tuple[str, ...] = BOTH) -> list[Any]:
    options = real.SessionOptions()
    options.intra_op_num_threads = 1
    session = real.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
    return list(session.run(list(outputs), inputs))


def same(ours: list[Any], theirs: list[Any]) -> bool:
    return all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(ours, theirs, strict=True)
    )


# On the CPU


def test_every_bit_on_the_cpu_is_that_of_a_plain_run() -> None:
    model = network()
    backend = OnnxRuntimeBackend(model, "cpu", (1, 2, 5))
    for inputs in batches([1, 2, 5, 3, 1, 64, 5, 1]):
        assert same(backend.run(inputs, BOTH), plainly(model, inputs))
    (inputs,) = batches([2])
    assert same(backend.run(inputs, ["p"]), plainly(model, inputs, ("p",)))
    assert same(backend.run(inputs, ["p", "y"]), plainly(model, inputs, ("p", "y")))


def test_every_bit_of_the_shipped_generator_is_that_of_a_plain_run() -> None:
    path = demo_generator()
    assert path is not None
    with ZipFile(path) as archive:
        model = OnnxModel(archive.read("network.onnx"))
    backend = OnnxRuntimeBackend(model, "cpu", (1,))
    rng = np.random.default_rng(0)
    inputs = {
        spec.name: rng.standard_normal(spec.zeros(1).shape).astype(spec.dtype) for spec in backend.inputs
    }
    assert same(backend.run(inputs, ["clean"]), plainly(model, inputs, ("clean",)))


def test_what_is_returned_stays_when_the_next_batch_comes() -> None:
    backend = OnnxRuntimeBackend(network(), "cpu", (1,))
    one, two = batches([1, 1])
    first = backend.run(one, BOTH)
    kept = [x.copy() for x in first]
    backend.run(two, BOTH)
    assert same(first, kept)
    first[0][:] = np.nan
    assert np.isfinite(backend.run(one, BOTH)[0]).all()


def test_inputs_are_left_as_they_are() -> None:
    backend = OnnxRuntimeBackend(network("channels"), "cpu", (1,))
    (one,) = batches([1])
    kept = {name: x.copy() for name, x in one.items()}
    for _ in range(2):
        backend.run(one, BOTH)
        backend.run(batches([1], seed=9)[0], BOTH)
    assert all(np.array_equal(one[name], kept[name]) for name in one)


def test_lengths_that_a_graph_leaves_open_are_known_from_the_first_batch() -> None:
    model = network("channels")
    backend = OnnxRuntimeBackend(model, "cpu", (1, 2))
    assert backend.inputs[0].shape == (None, None, 4)
    for inputs in batches([2, 1, 2, 1]):
        assert same(backend.run(inputs, BOTH), plainly(model, inputs))


def test_threads_do_not_mix_their_windows() -> None:
    model = network()
    backend = OnnxRuntimeBackend(model, "cpu", (1,))
    given = batches([1] * 8)
    wrong = list[int]()

    def look(i: int) -> None:
        expected = plainly(model, given[i])
        wrong.extend(i for _ in range(200) if not same(backend.run(given[i], BOTH), expected))

    threads = [threading.Thread(target=look, args=(i,)) for i in range(len(given))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_one_thread_that_does_not_spin(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    fake = runtime()
    session = fake.InferenceSession

    def opened(graph: bytes, options: Any, **rest: Any) -> Any:
        seen.append(options)
        return session(graph, options, **rest)

    monkeypatch.setattr(fake, "InferenceSession", opened)
    OnnxRuntimeBackend(network(), "cpu", ())
    (options,) = seen
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


# On a device, as far as there is one without it


def test_each_warmed_size_is_a_graph_of_its_own_in_memory_of_the_device(runtime: Any) -> None:
    model, fake = network(), runtime()
    backend = OnnxRuntimeBackend(model, "cuda", (1, 2, 5))
    assert backend.provider == "cuda"
    assert not backend.notes
    ((name, options), behind) = fake.opened[0]
    assert name == "CUDAExecutionProvider"
    assert options["enable_cuda_graph"] == "1"
    assert behind[0] == "CPUExecutionProvider"
    # A plain run finds the shapes, and the first bound one records.
    assert fake.graphs == [-1, 1, -1, 2, -1, 5]
    fake.graphs.clear()
    taken = fake.n_values
    for inputs in batches([1, 2, 5, 3, 1, 1, 64, 5]):
        assert same(backend.run(inputs, BOTH), plainly(model, inputs))
    assert fake.graphs == [1, 2, 5, -1, 1, 1, -1, 5]
    assert fake.n_values == taken


def test_a_network_that_cannot_be_recorded_runs_without_graphs_and_says_so(runtime: Any) -> None:
    model, fake = network(), runtime(records=False)
    backend = OnnxRuntimeBackend(model, "cuda", (1,))
    assert len(backend.notes) == 1
    assert backend.notes[0].startswith("without CUDA graphs: This session cannot use the graph capture")
    assert "enable_cuda_graph" not in fake.opened[-1][0][1]
    for inputs in batches([1, 3, 1]):
        assert same(backend.run(inputs, BOTH), plainly(model, inputs))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_gives_way_to_the_cpu_in_silence_is_noticed(runtime: Any, provider: str) -> None:
    runtime(loads=())
    with pytest.raises(RuntimeError, match="could not load it"):
        OnnxRuntimeBackend(network(), provider, (1,))


def test_tensorrt_meets_its_largest_batch_first_and_no_larger_one(runtime: Any) -> None:
    model, fake = network(), runtime()
    backend = OnnxRuntimeBackend(model, "tensorrt", (1, 2, 5))
    assert fake.batches == [5, 5, 1, 1, 2, 2]
    fake.batches.clear()
    for inputs in batches([12, 5, 1]):
        assert same(backend.run(inputs, BOTH), plainly(model, inputs))
    assert fake.batches == [5, 5, 2, 5, 1]


def test_threads_take_turns_on_a_device_and_share_its_graphs(runtime: Any) -> None:
    model, fake = network(), runtime()
    backend = OnnxRuntimeBackend(model, "cuda", (1,))
    given = batches([1, 7, 1, 7])
    wrong = list[object]()

    def look(i: int) -> None:
        expected = plainly(model, given[i])
        try:
            wrong.extend(i for _ in range(100) if not same(backend.run(given[i], BOTH), expected))
        except AssertionError as error:
            wrong.append(error)

    assert fake.n_recorded == 1
    threads = [threading.Thread(target=look, args=(i,)) for i in range(len(given))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert fake.n_recorded == 1
