"""The network of the embedded generator from torch to ONNX, its weights in half the bytes, compared with torch."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.distillation.flow_unet import FlowUnet
from decode_stream.decoders.generation.condition import Condition
from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.stream.errors import ExportError

from .metadata import GENERATOR
from .onnx import translated
from .onnx_file import serialised
from .parity import require_agreement
from .sample_inputs import generator_inputs

__all__ = ["MOST_PIXEL_ERROR", "export_generator", "halved"]

#: By how much rounded weights may change a picture: root mean square, in shares of full scale. Half a grey level.
MOST_PIXEL_ERROR = 0.5 / 255
#: Of pixels, before weights are rounded, relative to the largest: a seventh of a grey level. Where a part's edge lies
#: hangs on the last bits of a place.
_TOLERANCE = 1e-3
#: Smaller tensors are left as they are: they make no file, and some are factors that everything is multiplied by.
_LEAST_NUMBERS = 1024


def export_generator(network: FlowUnet, condition: Condition, seed: int = 0) -> bytes:
    """Write a generator's network as an ONNX model, and check it against torch on real conditions.

    Parameters
    ----------
    network : FlowUnet
        On the CPU.
    condition : Condition
        Of at least two pictures.
    seed : int
        Of the noise and times that the two are compared at.

    Returns
    -------
    bytes
        The model, as `EmbeddedGenerator` takes it; its weights are float16, and brought to float32 once, when it is
        loaded.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from torch's by more than 1e-3 of the largest value before the weights are
        rounded, or pictures by more than `MOST_PIXEL_ERROR` after.
    """
    network.eval()
    given = generator_inputs(network.config.side_px, condition, seed)
    rows = {name: torch.from_numpy(values) for name, values in given.items()}
    whole = serialised(translated(network, rows, ["clean"]).model, GENERATOR)
    with torch.inference_mode():
        expected = network(**rows).numpy()
    require_agreement(whole.graph, given, expected, "clean", whole.data, tolerance=_TOLERANCE)
    half = halved(whole.graph)
    (drawn,) = load_model(OnnxModel(half)).run(["clean"], given)
    error = float(np.sqrt(np.mean((drawn - expected) ** 2))) / 2
    if not error <= MOST_PIXEL_ERROR:
        raise ExportError(
            f"Weights of 16 bits change pictures by {error:.2g} of full scale (root mean square); at most "
            f"{MOST_PIXEL_ERROR:.2g} is accepted. Nothing was written."
        )
    return half


def halved(model: bytes) -> bytes:
    """Return a model whose large float32 tensors are kept as float16 and brought back by a node each.

    It computes in float32 as before: the nodes run once, when the model is loaded.
    """
    proto = onnx.load_model_from_string(model)
    casts = []
    for number, tensor in enumerate(proto.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _LEAST_NUMBERS:
            continue
        name, kept = tensor.name, f"{tensor.name}.float16"
        proto.graph.initializer[number].CopyFrom(numpy_helper.from_array(values.astype(np.float16), kept))
        casts.append(helper.make_node("Cast", [kept], [name], to=TensorProto.FLOAT))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(casts + nodes)
    return bytes(proto.SerializeToString())
