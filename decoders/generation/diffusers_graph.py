"""A function on a GPU as one CUDA graph: what the processor would launch kernel by kernel is launched at once.

A network of few steps on one small picture is bound by the launching of its thousands of kernels, not by the GPU.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["captured"]

_WARM_UPS = 3


def captured(
    function: "Callable[..., tuple[Tensor, ...]]", inputs: "Sequence[Tensor]"
) -> "Callable[..., tuple[Tensor, ...]]":
    """Return a function that replays what another one does with inputs of the same shapes.

    Parameters
    ----------
    function : callable
        Takes tensors on one CUDA device and gives some; it neither waits for the GPU nor copies from the processor.
    inputs : sequence of Tensor
        Such as it is called with.

    Returns
    -------
    callable
        Takes tensors of the same shapes, wherever they are. What it gives is overwritten by its next call.
    """
    import torch

    held = [value.clone() for value in inputs]
    # Libraries choose their algorithms and reserve memory in the first calls, which a capture must not see.
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            function(*held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # What other threads ask of the GPU meanwhile, such as a decoder's memory, is none of this capture's business.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        given = function(*held)

    def replay(*values: "Tensor") -> "tuple[Tensor, ...]":
        for place, value in zip(held, values, strict=True):
            place.copy_(value, non_blocking=True)
        graph.replay()
        return given

    return replay
