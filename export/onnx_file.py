"""An ONNX model as bytes, and back as a graph that can be changed. Needs no torch."""

import numpy as np
import onnx
import onnx_ir

from decode_stream.decoders.onnx_model import DATA_FILE, OnnxModel

from .large_tensors import laid_outside
from .metadata import NetworkKind
from .simplify import simplified

__all__ = ["opened", "plain", "serialised", "written"]


def serialised(model: onnx_ir.Model, kind: NetworkKind) -> OnnxModel:
    """Return a model as bytes, simplified, its large tensors beside the graph where they do not fit in it.

    Parameters
    ----------
    model : onnx_ir.Model
        Is changed.
    kind : NetworkKind
        What it is, which the file then says.
    """
    model = simplified(model)
    model.metadata_props.update(kind.properties(model.opset_imports[""]))
    return written(model)


def written(model: onnx_ir.Model) -> OnnxModel:
    """Return a model as bytes, as it is, its large tensors beside the graph where they do not fit in it."""
    tensors = {name: value.const_value for name, value in model.graph.initializers.items()}
    held = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    offsets, data = laid_outside({name: tensor.numpy() for name, tensor in held.items()})
    for name, offset in offsets.items():
        tensor = held[name]
        model.graph.initializers[name].const_value = onnx_ir.ExternalTensor(
            DATA_FILE,
            offset,
            tensor.nbytes,
            tensor.dtype,
            shape=onnx_ir.Shape(tensor.numpy().shape),
            name=name,
        )
    return OnnxModel(onnx_ir.to_proto(model).SerializeToString(), data)


def opened(model: OnnxModel) -> onnx_ir.Model:
    """Return the graph of a model, all its numbers in memory."""
    graph: onnx_ir.Model = onnx_ir.from_proto(onnx.load_model_from_string(model.graph))
    for value in graph.graph.initializers.values():
        outside = value.const_value
        if isinstance(outside, onnx_ir.ExternalTensor):
            count = int(np.prod(outside.shape.numpy(), dtype=np.int64))
            numbers = np.frombuffer(model.data, outside.dtype.numpy(), count, outside.offset or 0)
            value.const_value = onnx_ir.tensor(numbers.reshape(outside.shape.numpy()), name=value.name)
    return graph


def plain(model: OnnxModel, name: str) -> dict[str, bytes]:
    """Return the files of a model that stands by itself, by their names.

    Parameters
    ----------
    name : str
        Without an ending. What lies beside the graph is in ``NAME.onnx.data``.
    """
    file = f"{name}.onnx"
    if not model.data:
        return {file: model.graph}
    proto = onnx.load_model_from_string(model.graph)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = f"{file}.data"
    return {file: proto.SerializeToString(), f"{file}.data": model.data}
