"""What the stand-ins have, the libraries have under the same names; and engines run for real where they can."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from decode_stream.decoders.inference import nvidia, tensorrt_backend
from decode_stream.decoders.inference.providers import missing
from decode_stream.decoders.inference.session import InferenceSession

from . import fake_engine, fake_tensorrt
from .fake_cuda import FakeCuda, cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode
from .networks import encoder, expected, windows

#: The library's name of each class of the stand-in.
CLASSES = {
    fake_tensorrt.Builder: "Builder",
    fake_tensorrt.Config: "IBuilderConfig",
    fake_tensorrt.HostMemory: "IHostMemory",
    fake_tensorrt.ILogger: "ILogger",
    fake_tensorrt.Network: "INetworkDefinition",
    fake_tensorrt.OnnxParser: "OnnxParser",
    fake_tensorrt.ParserError: "ParserError",
    fake_tensorrt.Profile: "IOptimizationProfile",
    fake_tensorrt.Runtime: "Runtime",
    fake_tensorrt.TimingCache: "ITimingCache",
    fake_engine.Context: "IExecutionContext",
    fake_engine.Engine: "ICudaEngine",
    fake_engine.RuntimeConfig: "IRuntimeConfig",
}
ENUMS = ["NetworkDefinitionCreationFlag", "DataType", "TensorIOMode", "TensorLocation"]
INSTALLED = [name for name in ("tensorrt", "tensorrt_rtx") if find_spec(name) is not None]


def parameters(documented: str) -> list[str]:
    """Return the names of a function's parameters, by the first line of its documentation."""
    inside = re.sub(r"\[[^]]*\]", "", documented.strip().split("\n")[0].partition("(")[2].rpartition(")")[0])
    named = [
        part.partition(":")[0].partition("=")[0].split()[-1] for part in inside.split(",") if part.strip()
    ]
    return [name for name in named if name != "self"]


def own(cls: type) -> dict[str, object]:
    return {name: x for name, x in vars(cls).items() if not name.startswith("_")}


def test_cuda_has_what_its_stand_in_has() -> None:
    cuda = import_module("cuda.bindings.runtime")
    functions = {name: f for name, f in own(FakeCuda).items() if name.startswith("cuda") and callable(f)}
    functions = {name: f for name, f in functions.items() if not isinstance(f, type)}
    assert len(functions) > 15
    for name, f in functions.items():
        taken = list(f.__code__.co_varnames[1 : f.__code__.co_argcount])
        assert parameters(getattr(cuda, name).__doc__) == taken, name
    for enum in (cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode):
        for member in enum:
            assert int(getattr(getattr(cuda, enum.__name__), member.name)) == member
    assert cuda.cudaStreamNonBlocking == FakeCuda.cudaStreamNonBlocking
    assert cuda.cudaGetErrorName(cuda.cudaError_t.cudaErrorIllegalAddress) == (0, b"cudaErrorIllegalAddress")


def differences(real: ModuleType, flavour: str) -> list[str]:
    """Return what a stand-in has and the library has not, or takes under other names."""
    found = list[str]()
    for fake, name in CLASSES.items():
        for member, x in own(fake).items():
            theirs = getattr(getattr(real, name), member, None)
            code = getattr(x, "__code__", None)
            if theirs is None:
                found.append(f"{name}.{member}")
            elif code is not None and code.co_argcount > 1:
                signatures = [line for line in theirs.__doc__.split("\n") if f"{member}(self" in line]
                taken = list(code.co_varnames[1 : code.co_argcount])
                if not any(parameters(line) == taken for line in signatures):
                    found.append(f"{name}.{member}{taken}")
    stand_in = fake_tensorrt.FakeTensorRT(flavour, FakeCuda())
    for enum in (*ENUMS, *(["DynamicShapesKernelSpecializationStrategy"] if flavour == "rtx" else [])):
        known = getattr(real, enum).__members__
        found += [f"{enum}.{member.name}" for member in getattr(stand_in, enum) if member.name not in known]
    for severity in fake_tensorrt.ILogger.Severity:
        if int(real.ILogger.Severity.__members__[severity.name]) != severity:
            found.append(f"Severity.{severity.name}")
    return found


def test_libraries_of_engines_have_what_their_stand_ins_have() -> None:
    for name in INSTALLED:
        real = import_module(name)
        flavour = "rtx" if name == "tensorrt_rtx" else real.__version__.partition(".")[0]
        assert differences(real, flavour) == [], f"{name} {real.__version__}"


def test_an_engine_runs_where_there_is_a_gpu_and_is_passed_over_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DECODE_STREAM_CACHE", str(tmp_path))
    session = InferenceSession(encoder(), "auto", warm=[1, 5])
    for n in (1, 3, 12):
        for y, truth in zip(session.run(windows(n)), expected(windows(n)), strict=True):
            np.testing.assert_allclose(y, truth, rtol=5e-3, atol=5e-3)  # a GPU may multiply in TF32
    if nvidia.no_gpu() is None and tensorrt_backend.missing() is None:
        assert session.provider == "tensorrt-engine"
        assert not any("without a CUDA graph" in note for note in session.notes)
    else:
        assert missing("tensorrt-engine") is not None
        assert session.provider != "tensorrt-engine"
        assert session.fallbacks
