"""What a network can be run with, best first, and whether it is to be had on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from .nvidia import no_gpu, no_library

if TYPE_CHECKING:
    from decode_stream.decoders.onnx_model import OnnxModel

    from .backend import Backend

__all__ = ["PROVIDERS", "Provider", "ProviderKind", "label", "missing", "provider_kind"]

#: What is asked for on the command line; auto for the best that works.
Provider = Literal["auto", "tensorrt-engine", "tensorrt", "cuda", "cpu"]

# What ONNX Runtime's providers link, by `ldd`; cuDNN is loaded by need in the one of CUDA and linked in TensorRT's.
_CUDA = (
    ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"),
    ("cudart64_13.dll", "cublas64_13.dll", "cublasLt64_13.dll"),
)
_TENSORRT = (
    ("libcudnn.so.9", "libnvinfer.so.10", "libnvonnxparser.so.10"),
    ("cudnn64_9.dll", "nvinfer_10.dll", "nvonnxparser_10.dll"),
)


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """One way to run a network.

    Attributes
    ----------
    name : str
        On the command line.
    label : str
        Where a person reads it.
    missing : callable
        Says why it is not to be had on this machine; None: it is.
    open : callable
        Makes what runs a model, warmed up for batches of these sizes; whatever it raises means that it does not.
    """

    name: str
    label: str
    missing: Callable[[], str | None]
    open: "Callable[[OnnxModel, Sequence[int]], Backend]"


def provider_kind(name: str) -> ProviderKind:
    """Return a provider by its name on the command line.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    for kind in PROVIDERS:
        if kind.name == name:
            return kind
    raise ValueError(f"{name!r} is no provider; there are {', '.join(kind.name for kind in PROVIDERS)}.")


def missing(name: str) -> str | None:
    """Return why a provider is not to be had on this machine; None where it is.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return provider_kind(name).missing()


def label(name: str) -> str:
    """Return what a person reads of a provider.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return provider_kind(name).label


def _no_engine() -> str | None:
    if said := no_gpu():
        return said
    from . import tensorrt_backend

    return tensorrt_backend.missing()


def _open_engine(model: "OnnxModel", warm: Sequence[int]) -> "Backend":
    from .tensorrt_backend import TensorRTBackend

    return TensorRTBackend(model, warm)


def _no_runtime(built_in: str, linux: Sequence[str], windows: Sequence[str], install: str) -> str | None:
    if said := no_gpu():
        return said
    import onnxruntime

    if built_in not in onnxruntime.get_available_providers():
        return f"ONNX Runtime is built without it; type: pip install 'decode-stream[{install}]'"
    if said := no_library(linux, windows):
        return f"{said}; type: pip install 'decode-stream[{install}]'"
    return None


def _open_runtime(name: str, model: "OnnxModel", warm: Sequence[int]) -> "Backend":
    from .onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model, name, warm)


_RUNTIME_TENSORRT = partial(
    _no_runtime, "TensorrtExecutionProvider", _CUDA[0] + _TENSORRT[0], _CUDA[1] + _TENSORRT[1], "tensorrt"
)
_RUNTIME_CUDA = partial(_no_runtime, "CUDAExecutionProvider", *_CUDA, "cuda")

#: Best first: an engine is built for this GPU and network alone, and the CPU is always there.
PROVIDERS = (
    ProviderKind("tensorrt-engine", "TensorRT engine", _no_engine, _open_engine),
    ProviderKind("tensorrt", "TensorRT", _RUNTIME_TENSORRT, partial(_open_runtime, "tensorrt")),
    ProviderKind("cuda", "CUDA", _RUNTIME_CUDA, partial(_open_runtime, "cuda")),
    ProviderKind("cpu", "CPU", lambda: None, partial(_open_runtime, "cpu")),
)
