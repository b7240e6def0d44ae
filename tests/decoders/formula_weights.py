"""Weights and trials by a formula, so that what public code makes of them is a few numbers to compare with."""

import numpy as np
import torch
from torch import Tensor, nn


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor that depends on its name and its shape alone."""
    places = 0.37 * np.arange(np.prod(shape, dtype=int)) + sum(name.encode())
    return torch.tensor(0.5 * np.sin(places).reshape(shape), dtype=torch.float32)


def fill(module: nn.Module) -> nn.Module:
    """Give a module the weights of the formula, variances of batch norms made positive."""
    state = {
        name: weight(name, tuple(value.shape)).abs() + 0.5
        if "running_var" in name
        else weight(name, tuple(value.shape))
        for name, value in module.state_dict().items()
        if value.dtype.is_floating_point
    }
    module.load_state_dict(state, strict=False)
    return module.eval()


def trials(n: int, n_channels: int, n_times: int) -> Tensor:
    """Return trials of a slow cosine, shape (n, n_channels, n_times)."""
    places = 0.11 * np.arange(n * n_channels * n_times)
    return torch.tensor(np.cos(places).reshape(n, n_channels, n_times), dtype=torch.float32)
