"""The weights of a network: those that it begins with, and those that a bundle keeps. Needs torch."""

from typing import Any, cast

import numpy.typing as npt
import torch
from torch import nn

from decode_stream.decoders.encoders.public_weights import HasPublicWeights, load_public_weights
from decode_stream.decoders.fit_options import Start
from decode_stream.stream.errors import UsageError

__all__ = ["FINE_TUNING", "begin", "state_of"]

#: A network that was trained before learns at this share of its rate: UBP's 1e-5 after 1e-4.
FINE_TUNING = 0.1


def begin(module: nn.Module, start: Start) -> None:
    """Give a module the weights that it is to begin with.

    Raises
    ------
    UsageError
        If they are of another network.
    """
    if start.public:
        if not hasattr(module, "public_names"):
            raise UsageError(
                f"There are no public weights of {type(module).__name__} that --init-from could take. Give a bundle "
                "that this --model has made."
            )
        load_public_weights(cast(HasPublicWeights, module), start.public)
    if start.weights is not None:
        own = module.state_dict()
        differ = sorted(
            name
            for name in own.keys() | start.weights.keys()
            if name not in own
            or name not in start.weights
            or tuple(own[name].shape) != start.weights[name].shape
        )
        if differ:
            raise UsageError(
                f"The bundle given to --init-from holds another network: {', '.join(differ[:5])}"
                f"{', ...' if len(differ) > 5 else ''} differ. Train with the same channels, rate, heads and target."
            )
        module.load_state_dict({name: torch.tensor(value) for name, value in start.weights.items()})


def state_of(module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """Return the weights of a module, for a bundle to keep."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
