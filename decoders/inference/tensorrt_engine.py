"""Engines of TensorRT: built of an ONNX file for one GPU, and kept.

One way for TensorRT 10 and 11 and for TensorRT for RTX, by what all of them have. Networks are strongly typed: what is
computed in which precision is what the file says, and no flag of the builder decides it.
"""

import hashlib
from collections import deque
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from decode_stream.decoders.onnx_model import DATA_FILE
from decode_stream.stream.errors import GpuError, UsageError

from .cuda_memory import identify_gpu, load_cuda
from .engine_cache import EngineCache, EngineKey, Report

if TYPE_CHECKING:
    from decode_stream.decoders.onnx_model import OnnxModel

__all__ = ["LIBRARIES", "Library", "LoadedEngine", "build_engine", "load_engine", "no_library"]

Library = Literal["tensorrt", "tensorrt-rtx"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A library that builds engines: its module, its name, how to get it, and whether it keeps timings."""

    module: str
    label: str
    install: str
    has_timings: bool


#: Libraries that build engines, the one for every GPU first. What one for RTX measures is no longer of use to it.
LIBRARIES: dict[Library, _Kind] = {
    "tensorrt": _Kind("tensorrt", "TensorRT", "'decode-stream[tensorrt]'", True),
    "tensorrt-rtx": _Kind("tensorrt_rtx", "TensorRT for RTX", "tensorrt-rtx-cu13 cuda-bindings", False),
}

#: What a library said last is told with what failed.
_MOST_MESSAGES = 20


@dataclass(frozen=True, slots=True, eq=False)
class LoadedEngine:
    """An engine, ready to make contexts of.

    Attributes
    ----------
    library : module
        TensorRT or TensorRT for RTX.
    engine : ICudaEngine
    key : EngineKey
        What it was built for.
    path : Path
        Where it is kept.
    errors : collections.deque of str
        What the library said was wrong, of late.
    """

    library: ModuleType
    engine: Any
    key: EngineKey
    path: Path
    errors: deque[str]


def no_library(library: Library) -> str | None:
    """Return why a library cannot be used; None where it can be loaded."""
    kind = LIBRARIES[library]
    try:
        import_module(kind.module)
    except (ImportError, OSError) as error:
        return f"{kind.label} does not load ({error}); type: pip install {kind.install}"
    return None


def build_engine(model: "OnnxModel", *, most_batch: int, library: Library, report: Report) -> Path:
    """Return the file of a network's engine for this machine's GPU, which is built unless it is kept already.

    Parameters
    ----------
    model : OnnxModel
        Every input that has a batch has it first, and no other length is free.
    most_batch : int
        It takes batches of 1 to this many, and is fastest at 1.
    library : {"tensorrt", "tensorrt-rtx"}
    report : callable
        Is told, in a sentence, what is done and why.

    Returns
    -------
    Path
        In the cache; it works for the library, GPU and driver that it was built for.

    Raises
    ------
    UsageError
        If the library is not installed, or the folder of engines or that of temporary files cannot be written to.
    GpuError
        If there is no GPU, or the library cannot build or load the network.
    """
    return load_engine(model, most_batch=most_batch, library=library, report=report).path


def load_engine(model: "OnnxModel", *, most_batch: int, library: Library, report: Report) -> LoadedEngine:
    """Return a network's engine, which is built unless it is kept already; see `build_engine`.

    One that is kept and that the library does not take is built anew.
    """
    if most_batch < 1:
        raise ValueError(f"A batch of {most_batch} is none; the largest one is 1 or more.")
    if (why := no_library(library)) is not None:
        raise UsageError(f"An engine needs a library that is not to be had here: {why}.")
    trt = import_module(LIBRARIES[library].module)
    gpu = identify_gpu(load_cuda())
    key = EngineKey(
        _network_digest(model),
        LIBRARIES[library].label,
        str(trt.__version__),
        gpu.name,
        gpu.compute_capability,
        gpu.driver,
        most_batch,
    )
    kept = EngineCache()
    if (content := kept.read(key, report)) is not None:
        if (engine := _deserialised(trt, content)) is not None:
            return LoadedEngine(trt, engine, key, kept.path(key), _messages(trt).errors)
        report(f"{key.library} does not take the engine in {kept.path(key)}{_said(trt)}: it is built anew")
    content = _build(trt, library, model, key, kept, report)
    path = kept.write(key, content)
    if (engine := _deserialised(trt, content)) is None:
        raise GpuError(f"{key.library} {key.version} does not take the engine it has built{_said(trt)}.")
    return LoadedEngine(trt, engine, key, path, _messages(trt).errors)


def _network_digest(model: "OnnxModel") -> str:
    both = (hashlib.sha256(part).digest() for part in (model.graph, model.data))
    return hashlib.sha256(b"".join(both)).hexdigest()


def _build(
    trt: ModuleType, library: Library, model: "OnnxModel", key: EngineKey, kept: EngineCache, report: Report
) -> bytes:
    """Return an engine of a network."""
    report(
        f"{key.library} {key.version} builds an engine for {key.gpu}, batches of 1 to {key.most_batch}; it is kept in "
        f"{kept.folder}"
    )
    messages = _messages(trt)
    messages.errors.clear()
    try:
        builder = trt.Builder(messages)
    except TypeError as error:  # pybind's for a constructor that gives nothing
        raise GpuError(f"{key.library} {key.version} cannot build on {key.gpu}{_said(trt)}.") from error
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    config = builder.create_builder_config()
    # float32 is computed in float32, as everywhere: how exact a network is, is decided where it is exported.
    config.clear_flag(trt.BuilderFlag.TF32)
    # The numbers of a network above 2 GB are read from the file beside it, until the engine is built.
    with TemporaryDirectory(prefix="decode-stream-") as folder:
        parser = _parsed(trt, network, model, Path(folder), key)
        profile = _profile(builder, network, key)
        if profile is not None and config.add_optimization_profile(profile) < 0:
            raise GpuError(f"{key.library} does not take batches of 1 to {key.most_batch}{_said(trt)}.")
        if LIBRARIES[library].has_timings:
            _begin_timings(config, kept.read_timings(key))
        serialised = builder.build_serialized_network(network, config)
        del parser
    if serialised is None:
        raise GpuError(f"{key.library} {key.version} cannot build this network{_said(trt)}.")
    if LIBRARIES[library].has_timings and (measured := config.get_timing_cache()) is not None:
        kept.write_timings(key, bytes(measured.serialize()))
    return bytes(serialised)


def _parsed(trt: ModuleType, network: Any, model: "OnnxModel", folder: Path, key: EngineKey) -> Any:
    """Read a network into that of the builder; return the parser, which holds its numbers."""
    file = folder / "network.onnx"
    try:
        file.write_bytes(model.graph)
        if model.data:
            (folder / DATA_FILE).write_bytes(model.data)
    except OSError as error:
        raise UsageError(
            f"An engine is built of files in {folder.parent}, which cannot be written: {error.strerror or error}. Make "
            "room there, or set TMPDIR to a folder with more."
        ) from error
    parser = trt.OnnxParser(network, _messages(trt))
    if not parser.parse_from_file(str(file)):
        raise GpuError(f"{key.library} {key.version} does not know this network{_first_error(parser)}.")
    return parser


def _first_error(parser: Any) -> str:
    """Return what a parser said was wrong, to end a sentence with."""
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    at = f" at {error.node_operator()} {error.node_name()!r}" if error.node_operator() else ""
    return f"{at}: {error.desc().rstrip('.')}"


def _profile(builder: Any, network: Any, key: EngineKey) -> Any:
    """Return for which shapes to build; None for a network of one shape alone."""
    profile = None
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        batch, *rest = (*tensor.shape, 0)[: max(len(tensor.shape), 1)]
        if -1 in rest:
            raise GpuError(
                f"The input {tensor.name!r} is of shape {tuple(tensor.shape)}, where -1 is free. An engine is for "
                "networks in which only the first length, the batch, is; export it with the others fixed."
            )
        if batch == -1:
            profile = profile or builder.create_optimization_profile()
            # The kernels are chosen for the second shape: a session decodes one window at a time unless it is late.
            profile.set_shape(tensor.name, (1, *rest), (1, *rest), (key.most_batch, *rest))
    return profile


def _begin_timings(config: Any, timings: bytes) -> None:
    """Let the builder begin with what it has measured before, or with nothing where it does not take that."""
    for content in (timings, b""):
        measured = config.create_timing_cache(content)
        if measured is not None and config.set_timing_cache(measured, False):
            return


def _deserialised(trt: ModuleType, content: bytes) -> Any:
    """Return an engine; None where the library does not take it."""
    messages = _messages(trt)
    messages.errors.clear()
    try:
        runtime = trt.Runtime(messages)
    except TypeError:
        return None
    return runtime.deserialize_cuda_engine(content)


def _said(trt: ModuleType) -> str:
    """Return what a library said was wrong, to end a sentence with."""
    errors = _messages(trt).errors
    return f": {errors[-1].rstrip('.')}" if errors else ""


@cache
def _messages(trt: ModuleType) -> Any:
    """Return what a library speaks to: one for all, since it keeps the first it is given as long as it is loaded."""

    class Messages(trt.ILogger):  # type: ignore[misc, name-defined]
        """Keeps what is said to be wrong, of late; the library would print it."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=_MOST_MESSAGES)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(msg)

    return Messages()
