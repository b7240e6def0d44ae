"""An encoder as ONNX: its graph, and beside it the numbers that are too many for one file of that format."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnxruntime as ort

__all__ = ["DATA_FILE", "OnnxModel", "load_model"]

#: The file, beside the graph's, that large tensors are in.
DATA_FILE = "encoder.onnx.data"


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An exported encoder.

    Attributes
    ----------
    graph : bytes
        The ONNX file; protobuf allows it 2 GiB.
    data : bytes
        What its large tensors hold, by the offsets that the graph tells of `DATA_FILE`; empty where it holds all.
    """

    graph: bytes
    data: bytes = b""


def load_model(
    model: OnnxModel,
    options: ort.SessionOptions | None = None,
    providers: Sequence[str | tuple[str, dict[str, str]]] = ("CPUExecutionProvider",),
) -> ort.InferenceSession:
    """Return what runs a model; on no other provider than those named, each with its options."""
    options = options or ort.SessionOptions()
    if model.data:
        options.add_external_initializers_from_files_in_memory([DATA_FILE], [model.data], [len(model.data)])
    return ort.InferenceSession(model.graph, options, providers=list(providers), enable_fallback=0)
