"""Stand-ins for `tensorrt` 10 and 11 and `tensorrt_rtx`: what this project calls of them, on the CPU.

Names, arguments and what comes back where something fails are those of TensorRT 10.16.1.11 and 11.4.0.106 and of
TensorRT for RTX 1.7.1.116; `test_stand_ins` compares them with those that are installed. Networks are run by ONNX
Runtime on the CPU, as work on the stream of a `FakeCuda`. What would be undefined there is an AssertionError here: a
context changed after it was recorded, memory that is too small or not the GPU's, weakly typed networks.
"""

import json
import warnings
from enum import IntEnum
from types import ModuleType
from typing import Any

import onnx

from .fake_cuda import FakeCuda
from .fake_engine import NUMPY, Engine, Tensor

VERSIONS = {"10": "10.16.1.11", "11": "11.4.0.106", "rtx": "1.7.1.116"}
#: Operators that the stand-in's parser knows, of whatever domain they say they are.
OPERATORS = {schema.name for schema in onnx.defs.get_all_schemas()}


class HostMemory(bytearray):
    """What a builder gives: a buffer, of which TensorRT's is no `bytes` either."""

    @property
    def nbytes(self) -> int:
        return len(self)


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: "ILogger.Severity", msg: str) -> None:
        raise NotImplementedError


class FakeTensorRT(ModuleType):
    """One library.

    Attributes
    ----------
    breaks : set of str
        What is to fail: ``Builder``, ``Runtime``, ``build``, ``deserialise``, ``context``, ``address``, ``execute``,
        ``capture``, ``timings`` that were kept, ``no timings`` at all.
    built : list of dict
        The profile of every engine that was built.
    loggers : list of ILogger
        All that were given; it keeps the first.
    """

    def __init__(self, flavour: str, cuda: FakeCuda) -> None:
        super().__init__("tensorrt_rtx" if flavour == "rtx" else "tensorrt")
        self.flavour, self.cuda = flavour, cuda
        self.__version__ = VERSIONS[flavour]
        self.breaks: set[str] = set()
        self.built: list[dict[str, Any]] = []
        self.loggers: list[ILogger] = []
        self.timings: list[bytes] = []
        self.ILogger = ILogger
        flags = {"STRONGLY_TYPED": 1, "EXPLICIT_BATCH": 0} if flavour == "10" else {"STRONGLY_TYPED": 1}
        self.NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", flags)
        precisions = ["FP16", "BF16", "INT8"] if flavour == "10" else []
        self.BuilderFlag = IntEnum("BuilderFlag", ["REFIT", "TF32", *precisions], start=0)
        self.DataType = IntEnum("DataType", [*NUMPY, "BF16"], start=0)
        self.TensorIOMode = IntEnum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"], start=0)
        self.TensorLocation = IntEnum("TensorLocation", ["DEVICE", "HOST"], start=0)
        if flavour == "rtx":
            self.DynamicShapesKernelSpecializationStrategy = IntEnum(
                "DynamicShapesKernelSpecializationStrategy", ["LAZY", "EAGER", "NONE"], start=0
            )

    @property
    def made_by(self) -> list[str]:
        """What an engine works with alone."""
        return [self.__name__, self.__version__, self.cuda.name]

    def say(self, msg: str) -> None:
        """Say that something is wrong, to the first logger."""
        self.loggers[0].log(ILogger.Severity.ERROR, msg)

    def _constructed(self, name: str, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        assert logger.ready
        self.loggers.append(logger)
        if name in self.breaks:
            self.say(f"{name} finds no GPU that it supports.")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def Builder(self, logger: ILogger) -> "Builder":
        self._constructed("Builder", logger)
        return Builder(self)

    def Runtime(self, logger: ILogger) -> "Runtime":
        self._constructed("Runtime", logger)
        return Runtime(self)

    def OnnxParser(self, network: "Network", logger: ILogger) -> "OnnxParser":
        self._constructed("OnnxParser", logger)
        return OnnxParser(self, network)

    def nptype(self, trt_type: IntEnum) -> type:
        if trt_type.name not in NUMPY:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return NUMPY[trt_type.name]


class Network:
    def __init__(self, trt: FakeTensorRT, flags: int) -> None:
        self.typed = trt.flavour != "10" or bool(
            flags & 1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        )
        self.trt, self.model = trt, onnx.ModelProto()
        self.inputs: list[Tensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]


class ParserError:
    def __init__(self, desc: str, operator: str = "", name: str = "") -> None:
        self._said = desc, operator, name

    def desc(self) -> str:
        return self._said[0]

    def node_operator(self) -> str:
        return self._said[1]

    def node_name(self) -> str:
        return self._said[2]


class OnnxParser:
    def __init__(self, trt: FakeTensorRT, network: Network) -> None:
        self._trt, self._network = trt, network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse_from_file(self, model: str) -> bool:
        assert isinstance(model, str)
        try:
            found = onnx.load(model)  # what lies beside it is read too
            onnx.checker.check_model(found)
        except Exception:
            self._errors.append(ParserError("Assertion failed: Failed to parse the ONNX model."))
            return False
        for node in found.graph.node:
            if node.op_type not in OPERATORS:
                text = "Plugin not found, are the plugin name, version, and namespace correct?"
                self._errors.append(ParserError(text, node.op_type, node.name))
                return False
        self._network.model = found
        weights = {tensor.name for tensor in found.graph.initializer}
        self._network.inputs = [Tensor(self._trt, x) for x in found.graph.input if x.name not in weights]
        return True


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        shapes = tuple(min), tuple(opt), tuple(max)
        if not all(0 <= a <= b <= c for a, b, c in zip(*shapes, strict=True)):
            raise ValueError("Shape provided for min/opt/max is inconsistent.")
        self.shapes[input] = shapes


class TimingCache:
    def __init__(self, trt: FakeTensorRT, content: bytes) -> None:
        trt.timings.append(content)
        self.content = content or b"timings "

    def serialize(self) -> HostMemory:
        return HostMemory(self.content + b"+")


class Config:
    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt
        self.profiles: list[Profile] = []
        self.tf32 = True
        self._cache: TimingCache | None = None

    def clear_flag(self, flag: int) -> None:
        assert flag == self._trt.BuilderFlag.TF32
        self.tf32 = False

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def _no_use(self) -> None:
        if self._trt.flavour == "rtx":
            warnings.warn("Timing cache operations are no-ops in TensorRT-RTX.", DeprecationWarning, 3)

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache | None:
        self._no_use()
        if "timings" in self._trt.breaks and serialized_timing_cache:
            return None
        return TimingCache(self._trt, serialized_timing_cache)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self._no_use()
        assert not ignore_mismatch
        if "no timings" in self._trt.breaks:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        self._no_use()
        return self._cache


class Builder:
    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt

    def create_network(self, flags: int = 0) -> Network:
        return Network(self._trt, flags)

    def create_builder_config(self) -> Config:
        return Config(self._trt)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> HostMemory | None:
        assert network.typed, "The builder would choose precisions."
        assert not config.tf32, "float32 would be rounded to 10 bits."
        if "build" in self._trt.breaks:
            self._trt.say("Error Code 10: Could not find any implementation for node Conv_3.")
            return None
        free = [x.name for x in network.inputs if -1 in x.shape]
        shapes = config.profiles[0].shapes if config.profiles else {}
        if missing := set(free) - set(shapes):
            self._trt.say(f"Network has dynamic inputs, but no optimization profile for {missing}.")
            return None
        header = {"made by": self._trt.made_by, "profile": shapes}
        self._trt.built.append(shapes)
        return HostMemory(json.dumps(header).encode() + b"\n" + network.model.SerializeToString())


class Runtime:
    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        header, _, model = bytes(serialized_engine).partition(b"\n")
        told = json.loads(header)
        if "deserialise" in self._trt.breaks or told["made by"] != self._trt.made_by:
            self._trt.say("The engine plan file is not compatible with this version of TensorRT.")
            return None
        return Engine(self._trt, model, told["profile"])
