"""The network of an embedded generator as a file, to be run by torch again: with gradients, which ONNX has not."""

from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from decode_stream.stream.errors import BundleError

from .flow_unet import FlowUnet, FlowUnetConfig

__all__ = ["flow_weights", "load_flow_network"]

_SIZES = "sizes"


def flow_weights(network: FlowUnet) -> bytes:
    """Return a network's state in float16, as its ONNX model has it, and its sizes, as safetensors."""
    sizes = torch.frombuffer(bytearray(msgspec.json.encode(network.config)), dtype=torch.uint8)
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    written: bytes = save({**state, _SIZES: sizes})
    return written


def load_flow_network(data: bytes, path: Path) -> FlowUnet:
    """Return a network, on the CPU, ready to be asked for gradients of what it is given but not of itself.

    Parameters
    ----------
    data : bytes
        As `flow_weights` writes them.
    path : Path
        Of the generator, for messages.

    Raises
    ------
    BundleError
        If they are missing or damaged.
    """
    if not data:
        raise BundleError(
            f"The generator {path} does not hold its network's weights, by whose gradient pictures are refined. Make "
            "it anew with decode-stream train-generator."
        )
    try:
        state = load(data)
        sizes = msgspec.json.decode(state.pop(_SIZES).numpy().tobytes(), type=FlowUnetConfig)
        network = FlowUnet(sizes)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except (SafetensorError, msgspec.MsgspecError, KeyError, ValueError, RuntimeError) as error:
        words = str(error).strip().splitlines()
        raise BundleError(
            f"The weights of the generator {path} cannot be read: {words[0][:200] if words else type(error).__name__}. "
            "Make it anew with decode-stream train-generator."
        ) from error
    return network.eval().requires_grad_(False)
