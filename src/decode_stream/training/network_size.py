"""Whether a network can be trained in the memory that there is, before any of it is taken; needs torch."""

from collections.abc import Callable

import torch
from torch import nn

from decode_stream.config import Model
from decode_stream.free_memory import free_bytes
from decode_stream.stream.errors import UsageError

__all__ = ["check_size"]

#: Of a parameter in training: itself, its gradient, AdamW's two moments, and its value at the best epoch.
_BYTES_A_PARAMETER = 5 * 4


def check_size(make: Callable[[], nn.Module], model: Model, n_channels: int, dimension: int) -> None:
    """Refuse a network that is too large to be trained here, before it is made.

    Parameters
    ----------
    make : callable
        Makes the network; what it makes here has shapes, and no numbers.
    n_channels, dimension : int
        Voxels that go in, and numbers that come out, which are what its size depends on.

    Raises
    ------
    UsageError
    """
    with torch.device("meta"):
        n_parameters = sum(parameter.numel() for parameter in make().parameters())
    on_gpu = torch.cuda.is_available()
    free = torch.cuda.mem_get_info()[0] if on_gpu else free_bytes()
    needed = n_parameters * _BYTES_A_PARAMETER
    if free is not None and needed > free:
        where = "the GPU" if on_gpu else "this machine"
        raise UsageError(
            f"--model {model} has {n_parameters / 1e6:.1f} million parameters from {n_channels} voxels to {dimension} "
            f"numbers, and takes {needed / 1e9:.2g} GB to train; {where} has {free / 1e9:.2g} GB free. Give a smaller "
            "--target, such as the layer pooled, fewer voxels by --mask, or take a machine with more."
        )
