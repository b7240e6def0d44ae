"""What a `FakeTensorRT` makes of an engine's bytes: engines and contexts, run by ONNX Runtime on the CPU."""

import ctypes
import math
from enum import IntEnum
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64}
ONNX = {1: "FLOAT", 10: "HALF", 3: "INT8", 6: "INT32", 7: "INT64", 16: "BF16"}


class Tensor:
    """ITensor of a network's input or output, as the ONNX file tells it."""

    def __init__(self, trt: Any, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        self.name = value.name
        self.dtype = trt.DataType[ONNX[kind.elem_type]]
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)


class Engine:
    def __init__(self, trt: Any, model: bytes, profile: dict[str, Any]) -> None:
        proto = onnx.load_from_string(model)
        graph = proto.graph
        used = {name for node in graph.node for name in node.input}
        for x in [x for x in graph.input if x.name not in used]:
            graph.input.remove(x)  # as the libraries do
        self.trt, self.profile = trt, profile
        self.session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        weights = {tensor.name for tensor in graph.initializer}
        self.inputs = {x.name: Tensor(trt, x) for x in graph.input if x.name not in weights}
        self.outputs = {y.name: Tensor(trt, y) for y in graph.output}
        self._tensors = self.inputs | self.outputs

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> IntEnum:
        return self.trt.TensorIOMode["INPUT" if name in self.inputs else "OUTPUT"]

    def get_tensor_dtype(self, name: str) -> IntEnum:
        return self._tensors[name].dtype

    def get_tensor_location(self, name: str) -> IntEnum:
        return self.trt.TensorLocation["DEVICE"]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def create_runtime_config(self) -> "RuntimeConfig":
        return RuntimeConfig(self.trt)

    def create_execution_context(self, runtime_config: "RuntimeConfig | None" = None) -> "Context | None":
        if "context" in self.trt.breaks:
            self.trt.say("Error Code 2: OutOfMemory (requested 4294967296 bytes).")
            return None
        return Context(self, runtime_config)


class RuntimeConfig:
    """That of TensorRT for RTX has one strategy more."""

    def __init__(self, trt: Any) -> None:
        if trt.flavour == "rtx":
            self.dynamic_shapes_kernel_specialization_strategy = (
                trt.DynamicShapesKernelSpecializationStrategy["LAZY"]
            )


class Context:
    def __init__(self, engine: Engine, config: RuntimeConfig | None) -> None:
        self._engine, self._trt, self._config = engine, engine.trt, config
        self._shapes = {name: x.shape for name, x in engine.inputs.items()}
        self._addresses: dict[str, int] = {}
        self._ran = self._recorded = False
        if self._trt.flavour == "rtx":
            self.is_stream_capturable = self._is_stream_capturable

    def _changes(self) -> None:
        assert not self._recorded, "What was recorded of this context is undefined from here on."
        self._ran = False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._changes()
        least, _, most = self._engine.profile.get(name, [self._engine.inputs[name].shape] * 3)
        if len(shape) != len(least) or not all(
            a <= n <= b for a, n, b in zip(least, shape, most, strict=True)
        ):
            self._trt.say(
                f"Set dimension {shape} for tensor {name} does not satisfy any optimization profiles."
            )
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._changes()
        if "address" in self._trt.breaks:
            return False
        self._addresses[name] = int(memory)
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name, shape in self._shapes.items() if -1 in shape]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        if self.infer_shapes():
            return self._engine.outputs[name].shape
        nothing = {x: np.zeros(shape, self._dtype(x)) for x, shape in self._shapes.items()}
        return tuple(self._engine.session.run([name], nothing)[0].shape)

    def _dtype(self, name: str) -> type:
        return self._trt.nptype(self._engine.get_tensor_dtype(name))

    def _is_stream_capturable(self, stream: int) -> bool:
        assert self._config is not None
        eager = self._trt.DynamicShapesKernelSpecializationStrategy["EAGER"]
        chosen = self._config.dynamic_shapes_kernel_specialization_strategy
        return chosen == eager and "capture" not in self._trt.breaks

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda, stream = self._trt.cuda, int(stream_handle)
        if "execute" in self._trt.breaks:
            self._trt.say("Error Code 1: Cuda Runtime (an illegal memory access was encountered)")
            return False
        shapes = {name: self.get_tensor_shape(name) for name in (*self._engine.inputs, *self._engine.outputs)}
        assert not self.infer_shapes()
        for name, shape in shapes.items():
            n_bytes = math.prod(shape) * np.dtype(self._dtype(name)).itemsize
            assert cuda.owns(self._addresses[name], n_bytes), f"{name} needs {n_bytes} bytes of the GPU's."
        if cuda.streams[stream].recorded is not None:
            assert self._ran, "The first run after shapes were set cannot be recorded."
            assert self._trt.flavour != "rtx" or self.is_stream_capturable(stream)
            if "capture" in self._trt.breaks:
                cuda.streams[stream].spoilt = True
            self._recorded = True
        self._ran = True
        cuda.put(stream, lambda: self._run(dict(shapes)))
        return True

    def _run(self, shapes: dict[str, tuple[int, ...]]) -> None:
        memory = {
            name: _array(self._addresses[name], shape, self._dtype(name)) for name, shape in shapes.items()
        }
        names = list(self._engine.outputs)
        given = self._engine.session.run(names, {name: memory[name] for name in self._engine.inputs})
        for name, y in zip(names, given, strict=True):
            memory[name][...] = y


def _array(address: int, shape: tuple[int, ...], dtype: type) -> np.ndarray[Any, Any]:
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_uint8 * n_bytes).from_address(address), dtype).reshape(shape)
