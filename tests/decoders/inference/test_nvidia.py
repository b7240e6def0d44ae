"""Whether there is a GPU, and which libraries are missing, is told without ONNX Runtime's own words."""

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from decode_stream.decoders.inference import nvidia
from decode_stream.decoders.inference.nvidia import no_gpu, no_library


def driver(init: int, n_devices: int) -> Callable[..., Any]:
    def count(place: Any) -> int:
        place._obj.value = n_devices
        return 0

    return lambda name, **mode: SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=count)


def absent(name: str, **mode: Any) -> Any:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (absent, "no NVIDIA driver"),
        (driver(100, 0), "the NVIDIA driver finds no GPU (error 100)"),
        (driver(0, 0), "the NVIDIA driver finds no GPU"),
        (driver(0, 2), None),
    ],
    ids=["no driver", "no device", "none of them", "two"],
)
def test_a_driver_may_be_there_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, library: Any, said: str | None
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert no_gpu() == said


def test_libraries_that_do_not_load_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    asked = list[str]()

    def load(name: str, **mode: Any) -> Any:
        asked.append(name)
        if name != "liba.so.1" and not name.startswith(str(tmp_path)):
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(nvidia, "_WINDOWS", False)
    monkeypatch.setattr(nvidia, "_preload", lambda: asked.append("preload"))
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert no_library(["liba.so.1"], ["a_1.dll"]) is None
    assert asked == ["preload", "liba.so.1"]
    told = no_library(["liba.so.1", "libb.so.1"], ["b_1.dll"])
    assert told == "libb.so.1 does not load: libb.so.1: cannot open shared object file"
    told = no_library(["libb.so.1", "libc.so.1"], [])
    assert told == "libb.so.1, libc.so.1 do not load: libb.so.1: cannot open shared object file"
    monkeypatch.setattr(nvidia, "_WINDOWS", True)
    told = no_library(["liba.so.1"], ["b_1.dll"])
    assert told is not None
    assert told.startswith("b_1.dll does not load")
    # TensorRT's lie in a package that the system's loader does not know.
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(nvidia, "find_spec", lambda name: package if name == "tensorrt_libs" else None)
    assert no_library([], ["b_1.dll"]) is None
    assert asked[-1] == str(tmp_path / "b_1.dll")


def test_what_the_runtime_prints_while_it_looks_is_not_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = list[str]()

    def preload() -> None:
        calls.append("preload")
        print("Failed to load libcublas.so.13")
        raise RuntimeError("and more")

    nvidia._preload.cache_clear()
    monkeypatch.setattr("onnxruntime.preload_dlls", preload, raising=False)
    nvidia._preload()
    nvidia._preload()
    nvidia._preload.cache_clear()
    assert calls == ["preload"]
    assert capsys.readouterr() == ("", "")
