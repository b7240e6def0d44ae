"""Linear decoders as PyTorch modules, rebuilt from what their ONNX graphs hold; needs torch and onnx."""

from collections.abc import Mapping

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from decode_stream.decoders.onnx_model import OnnxModel

__all__ = ["linear_module"]

#: What the graphs of `decode_stream.export.linear` hold, by which they are told apart.
_SLIDING = {"matrix", "bias", "grid", "step_s"}
_GROWING = {"matrix", "bias", "up", "up_from", "down", "down_from"}
_RIDGE = {"matrix", "offset"}


def linear_module(model: OnnxModel) -> nn.Module | None:
    """Return a linear decoder; None where the graph is of another network, or holds its numbers beside it.

    Parameters
    ----------
    model : OnnxModel
        As `decode_stream.export.linear` writes it.
    """
    if model.data:
        return None
    constants = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load_model_from_string(model.graph).graph.initializer
    }
    for names, kind in ((_GROWING, _Growing), (_SLIDING, _Sliding), (_RIDGE, _Ridge)):
        if names <= constants.keys():
            return kind({name: constants[name] for name in names}).eval()
    return None


class _Linear(nn.Module):
    """Holds what a graph holds, under its names."""

    matrix: Tensor
    bias: Tensor

    def __init__(self, constants: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in constants.items():
            self.register_buffer(name, value)


class _Sliding(_Linear):
    """Weights of each latency, between two of them interpolated."""

    grid: Tensor
    step_s: Tensor

    def forward(self, window: Tensor, latency_s: Tensor) -> Tensor:
        position = latency_s[:, None] / self.step_s
        near = torch.relu(1 - (position - self.grid).abs()) * (latency_s[:, None] >= 0)
        placed = near[:, :, None] * window.flatten(1)[:, None]
        return placed.flatten(1) @ self.matrix + near @ self.bias


class _Growing(_Linear):
    """Weights of the whole trial, and a constant of each latency."""

    up: Tensor
    up_from: Tensor
    down: Tensor
    down_from: Tensor

    def forward(self, window: Tensor, latency_s: Tensor) -> Tensor:
        latency = latency_s[:, None]
        near = torch.minimum(latency * self.up + self.up_from, latency * self.down + self.down_from).clamp(
            0, 1
        )
        answer = torch.addmm(near @ self.bias, window.flatten(1), self.matrix)
        return torch.where(latency >= 0, answer, torch.zeros_like(answer))


class _Ridge(_Linear):
    """Weights of the mean volume."""

    offset: Tensor

    def forward(self, window: Tensor, latency_s: Tensor) -> Tensor:
        difference = torch.addmm(self.offset, window.mean(dim=2), self.matrix)
        return torch.where(latency_s[:, None] >= 0, difference, torch.zeros_like(difference))
