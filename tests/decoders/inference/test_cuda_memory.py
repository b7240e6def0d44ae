"""Memory and work of a GPU: bytes come as they went, errors come as sentences, and all goes back."""

import gc
import sys

import numpy as np
import pytest

from decode_stream.decoders.inference.cuda_memory import Gpu, GpuIdentity, identify_gpu, load_cuda, no_cuda
from decode_stream.stream.errors import GpuError

from .fake_cuda import NAME, FakeCuda, cudaError_t


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake)
    return fake


def test_bytes_come_back_as_they_went_once_they_are_waited_for(cuda: FakeCuda) -> None:
    gpu = Gpu()
    buffer = gpu.buffer(16)
    assert not buffer.host.any()
    buffer.host[:] = range(16)
    gpu.copy_in(buffer, 16)
    gpu.wait()
    buffer.host[:] = 99
    gpu.copy_out(buffer, 8)
    assert (buffer.host == 99).all()  # begun, not done
    gpu.wait()
    np.testing.assert_array_equal(buffer.host, [*range(8), *[99] * 8])


def test_what_was_recorded_is_done_with_what_stands_there_when_it_is_launched(cuda: FakeCuda) -> None:
    gpu = Gpu()
    buffer = gpu.buffer(4)

    def there_and_back() -> None:
        gpu.copy_in(buffer, 2)
        gpu.copy_out(buffer, 4)

    graph = gpu.record(there_and_back)
    gpu.wait()
    assert not buffer.host.any()  # recording does nothing
    for value in (3, 4):
        buffer.host[:] = value
        gpu.launch(graph)
        gpu.wait()
        np.testing.assert_array_equal(buffer.host, [value, value, 255, 255])


def test_all_goes_back_by_close_and_with_the_object(cuda: FakeCuda) -> None:
    for close in (True, False):
        gpu = Gpu()
        buffer = gpu.buffer(8)
        gpu.record(lambda gpu=gpu, buffer=buffer: gpu.copy_in(buffer, 8))
        assert cuda.holds()
        if close:
            gpu.close()
            gpu.close()
        del gpu, buffer
        gc.collect()
        assert not cuda.holds()


def test_memory_goes_back_after_the_work_on_it(cuda: FakeCuda) -> None:
    gpu = Gpu()
    gpu.copy_in(gpu.buffer(8), 8)
    gpu.close()
    assert not cuda.holds()


def test_a_copy_beyond_a_buffer_is_refused_by_cuda(cuda: FakeCuda) -> None:
    gpu = Gpu()
    with pytest.raises(GpuError, match=r"could not copy: .* \(cudaErrorInvalidValue\)\.$"):
        gpu.copy_in(gpu.buffer(8), 9)


def test_a_full_gpu_says_how_much_was_asked_and_what_to_do(cuda: FakeCuda) -> None:
    gpu = Gpu()
    with pytest.raises(
        GpuError,
        match=r"^The GPU could not give 2000\.0 MB of memory: out of memory \(cudaErrorMemoryAllocation\)\. "
        r"Its memory is full: close what else uses it\.$",
    ):
        gpu.buffer(2_000_000_000)
    gpu.buffer(8)


def test_a_recording_that_fails_leaves_the_stream_as_it_was(cuda: FakeCuda) -> None:
    gpu = Gpu()
    buffer = gpu.buffer(4)
    with pytest.raises(GpuError, match="memory"):
        gpu.record(lambda: gpu.buffer(4) and None)  # which cannot be recorded
    with pytest.raises(ZeroDivisionError):
        gpu.record(lambda: 1 // 0 and None)
    cuda.fails["cudaGraphInstantiate"] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(GpuError, match="prepare what it recorded"):
        gpu.record(lambda: None)
    assert cuda.last_error == cudaError_t.cudaSuccess
    assert not cuda.graphs
    buffer.host[:] = 7
    gpu.copy_in(buffer, 4)
    gpu.wait()


def test_an_error_of_work_comes_when_it_is_waited_for_and_stays(cuda: FakeCuda) -> None:
    gpu = Gpu()
    buffer = gpu.buffer(4)
    cuda.broken = True
    gpu.copy_in(buffer, 4)
    with pytest.raises(GpuError, match="finish its work: an illegal memory access was encountered"):
        gpu.wait()
    with pytest.raises(GpuError, match="cudaErrorIllegalAddress"):
        gpu.copy_in(buffer, 4)
    gpu.close()


def test_the_gpu_is_told_by_name_capability_and_driver(cuda: FakeCuda) -> None:
    assert identify_gpu(load_cuda()) == GpuIdentity(NAME, "9.0", "13.2")
    cuda.fails["cudaGetDeviceProperties"] = cudaError_t.cudaErrorNoDevice
    with pytest.raises(GpuError, match="no CUDA-capable device is detected.*CUDA_VISIBLE_DEVICES"):
        identify_gpu(load_cuda())


def test_a_machine_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    assert "does not load" in str(no_cuda())
    with pytest.raises(GpuError, match="pip install cuda-bindings"):
        load_cuda()
