"""Whether a network is not too large, to train here and to be exported, before any memory is taken; needs torch."""

from collections.abc import Callable

import torch
from torch import nn

from decode_stream.config import Model
from decode_stream.free_memory import free_bytes
from decode_stream.stream.errors import UsageError

__all__ = ["check_size"]

#: Of a parameter in training: itself, its gradient, AdamW's two moments, and its value at the best epoch.
_BYTES_A_PARAMETER = 5 * 4
#: What an ONNX graph, a message of protobuf, can hold; some of it is left to all that is not a parameter.
_LARGEST_GRAPH = 2**31 - 2**24


def check_size(
    make: Callable[[], nn.Module], model: Model, n_channels: int, dimension: int, *, exported: bool
) -> None:
    """Refuse a network that is too large, before it is made.

    Parameters
    ----------
    make : callable
        Makes the network; what it makes here has shapes, and no numbers.
    n_channels, dimension : int
        Voxels that go in, and numbers that come out, which are what its size depends on.
    exported : bool
        Whether this is the network that a bundle will hold.

    Raises
    ------
    UsageError
    """
    with torch.device("meta"):
        n_parameters = sum(parameter.numel() for parameter in make().parameters())
    shape = f"{n_channels} voxels to {dimension} numbers"
    size = f"--model {model} has {n_parameters / 1e6:.1f} million parameters from {shape}"
    smaller = "Give a smaller --target, such as the layer pooled, or fewer voxels by --mask"
    if exported and 4 * n_parameters > _LARGEST_GRAPH:
        raise UsageError(
            f"{size}: {4 * n_parameters / 1e9:.1f} GB, and a bundle's encoder holds {_LARGEST_GRAPH / 1e9:.1f} GB at "
            f"most. {smaller}."
        )
    on_gpu = torch.cuda.is_available()
    free = torch.cuda.mem_get_info()[0] if on_gpu else free_bytes()
    needed = n_parameters * _BYTES_A_PARAMETER
    if free is not None and needed > free:
        where = "the GPU" if on_gpu else "this machine"
        raise UsageError(
            f"{size}, and takes {needed / 1e9:.1f} GB to train; {where} has {free / 1e9:.1f} GB free. {smaller}, or "
            "take a machine with more."
        )
