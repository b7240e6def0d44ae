"""The three networks of a consistency distillation: the teacher, the student that learns, and its moving average.

What learns is the whole U-Net, or low-rank additions to its layers (LoRA: Hu et al. 2022; S. Luo et al., LCM-LoRA,
2023, arXiv 2311.05556), of which teacher, student and average then share the rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = [
    "ADDED_TO",
    "AVERAGE",
    "GUIDANCE_DIM",
    "LEARNER",
    "LowRankStudent",
    "Student",
    "WholeStudent",
    "follow",
]

#: Layers that LCM-LoRA adds to.
ADDED_TO = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
    "conv1",
    "conv2",
    "conv_shortcut",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
    "time_emb_proj",
)
#: Numbers of the embedding of the guidance scale.
GUIDANCE_DIM = 256
#: Weights of an IP-Adapter, which stays as it is: it is a file of its own, and other pipelines use it too.
_OF_ADAPTER = ("encoder_hid_proj.", "processor.")
#: Names of the two networks, or of their numbers, in the state of a training.
LEARNER, AVERAGE = "learner", "average"


class Student(Protocol):
    """What is trained against a teacher.

    Attributes
    ----------
    state : ModuleDict
        What changes in training: the numbers that learn, and their moving average.
    takes_guidance : bool
        Whether the student is told the guidance scale (Meng et al. 2023).
    """

    @property
    def state(self) -> nn.ModuleDict:
        """What changes in training."""
        ...

    @property
    def takes_guidance(self) -> bool:
        """Whether the student is told the guidance scale."""
        ...

    @property
    def learner(self) -> Any:
        """The U-Net that learns."""
        ...

    def teacher(self) -> AbstractContextManager[Any]:
        """Give the U-Net as it was."""
        ...

    def average(self) -> AbstractContextManager[Any]:
        """Give the U-Net with the moving average of what was learnt."""
        ...


class WholeStudent:
    """A student that learns all numbers of its U-Net, in float32; it begins as the teacher.

    Parameters
    ----------
    unet : UNet2DConditionModel
        The teacher; with an IP-Adapter loaded, if there is one, which does not learn.
    dtype : torch.dtype
        Of the teacher from now on.
    takes_guidance : bool
        Whether the student is told the guidance scale, by ``timestep_cond`` as in diffusers' pipelines.
    """

    def __init__(self, unet: Any, dtype: torch.dtype, *, takes_guidance: bool) -> None:
        self.takes_guidance = takes_guidance
        self.learner = _in(deepcopy(unet), torch.float32).eval()
        if takes_guidance:
            embedding = self.learner.time_embedding
            width = embedding.linear_1.in_features
            embedding.cond_proj = nn.Linear(GUIDANCE_DIM, width, bias=False, device=unet.device)
            # At the beginning the guidance changes nothing.
            nn.init.zeros_(embedding.cond_proj.weight)
            self.learner.register_to_config(time_cond_proj_dim=GUIDANCE_DIM)
        # A loaded IP-Adapter is noted on the configuration alone, which copies lose.
        self.learner.config.encoder_hid_dim_type = unet.config.encoder_hid_dim_type
        self._average = deepcopy(self.learner).requires_grad_(False)
        self._average.config.encoder_hid_dim_type = unet.config.encoder_hid_dim_type
        self._teacher = _in(unet, dtype).requires_grad_(False).eval()
        learnt = {}
        for name, value in self.learner.named_parameters():
            value.requires_grad_(not any(part in name for part in _OF_ADAPTER))
            if value.requires_grad:
                learnt[name] = value
        averaged = dict(self._average.named_parameters())
        self.state = _state(list(learnt.values()), [averaged[name] for name in learnt])

    def teacher(self) -> AbstractContextManager[Any]:
        """Give the U-Net as it was."""
        return nullcontext(self._teacher)

    def average(self) -> AbstractContextManager[Any]:
        """Give the U-Net with the moving average of what was learnt."""
        return nullcontext(self._average)


class LowRankStudent:
    """A student that learns low-rank additions to layers of the teacher, in float32; they are zero at the beginning.

    Parameters
    ----------
    unet : UNet2DConditionModel
        The teacher, whose own weights stay as they are.
    dtype : torch.dtype
        Of the teacher's weights from now on.
    rank : int
        64 in LCM-LoRA. The additions have the scale 1: alpha is the rank.
    """

    takes_guidance = False

    def __init__(self, unet: Any, dtype: torch.dtype, *, rank: int) -> None:
        from peft import LoraConfig
        from peft.tuners.tuners_utils import BaseTunerLayer

        self.learner = _in(unet, dtype).requires_grad_(False).eval()
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(ADDED_TO)))
        self._layers = [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]
        learnt = [value for value in unet.parameters() if value.requires_grad]
        for value in learnt:
            value.data = value.data.float()
        self.state = _state(learnt, [nn.Parameter(value.detach().clone(), False) for value in learnt])

    @contextmanager
    def teacher(self) -> Iterator[Any]:
        """Give the U-Net without additions."""
        for layer in self._layers:
            layer.enable_adapters(enabled=False)
        try:
            yield self.learner
        finally:
            for layer in self._layers:
                layer.enable_adapters(enabled=True)

    @contextmanager
    def average(self) -> Iterator[Any]:
        """Give the U-Net with the moving average of the additions."""
        pairs = list(zip(*(self.state[name].parameters() for name in (LEARNER, AVERAGE)), strict=True))
        _swap(pairs)
        try:
            yield self.learner
        finally:
            _swap(pairs)

    def additions(self) -> Mapping[str, Tensor]:
        """Return the moving average of the additions, by the names that diffusers' loaders know."""
        from peft import get_peft_model_state_dict

        with self.average() as unet:
            return {
                name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(unet).items()
            }


def _swap(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    for one, other in pairs:
        one.data, other.data = other.data, one.data


def _in(unet: Any, dtype: torch.dtype) -> Any:
    """Return a U-Net in a data type; diffusers warns of any conversion, needed or not."""
    return unet if unet.dtype == dtype else unet.to(dtype)


def _state(learnt: Sequence[nn.Parameter], averaged: Sequence[nn.Parameter]) -> nn.ModuleDict:
    """Return both as one module, so that a checkpoint holds what changes and no more."""
    return nn.ModuleDict({LEARNER: nn.ParameterList(learnt), AVERAGE: nn.ParameterList(averaged)})


def follow(state: nn.ModuleDict, decay: float) -> None:
    """Move the average towards what was learnt: average = decay average + (1 - decay) learnt."""
    learnt, averaged = list(state[LEARNER].parameters()), list(state[AVERAGE].parameters())
    with torch.no_grad():
        for value, average in zip(learnt, averaged, strict=True):
            average.lerp_(value, 1 - decay)
