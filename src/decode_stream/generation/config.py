"""What the commands that make generators are asked for."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from decode_stream.stream.errors import UsageError

__all__ = ["DistillConfig", "Method", "Precision"]

_PIPELINE = Group.create_ordered("Pipeline")
_TRAINING = Group.create_ordered("Training")
_OUTPUT = Group.create_ordered("Output")

Method = Literal["lora", "full"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

_MOST_STEPS = 4
#: LCM and LCM-LoRA.
_RATES: dict[Method, float] = {"lora": 1e-4, "full": 8e-6}


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Settings of a distillation."""

    target: Annotated[str | None, Parameter(group=_PIPELINE)] = None
    """Pictures: what makes the embeddings that the pipeline is conditioned on, such as open_clip:MODEL:WEIGHTS or
    file:PATH."""
    ip_adapter: Annotated[Path | None, Parameter(group=_PIPELINE)] = None
    """Stable Diffusion, SDXL: the adapter's .safetensors file, by which an embedding conditions them."""
    side_px: Annotated[int | None, Parameter(group=_PIPELINE)] = None
    """Side of the pictures; by default the pipeline's own."""

    method: Annotated[Method, Parameter(group=_TRAINING)] = "lora"
    """Learn low-rank additions to the U-Net, or all of it (full)."""
    rank: Annotated[int, Parameter(group=_TRAINING)] = 64
    """lora: rank of the additions."""
    steps: Annotated[int, Parameter(group=_TRAINING)] = 4
    """In how many steps it is to draw, 1 to 4. It is trained alike for all of them."""
    updates: Annotated[int, Parameter(group=_TRAINING)] = 2000
    """Steps of the optimizer."""
    batch_size: Annotated[int, Parameter(group=_TRAINING)] = 8
    """Pictures at once."""
    accumulate: Annotated[int, Parameter(group=_TRAINING)] = 1
    """Batches to each step of the optimizer."""
    learning_rate: Annotated[float | None, Parameter(group=_TRAINING)] = None
    """By default 1e-4, and 8e-6 with --method full."""
    guidance: Annotated[tuple[float, float], Parameter(group=_TRAINING)] = (3.0, 8.0)
    """Lowest and highest guidance scale of the teacher, drawn evenly between; 1 1 for none."""
    skip: Annotated[int, Parameter(group=_TRAINING)] = 20
    """Times of the teacher that a step of its solver passes over."""
    precision: Annotated[Precision, Parameter(group=_TRAINING)] = "auto"
    """In which the networks compute; by default 16 bits on a GPU, else float32."""
    save_memory: Annotated[bool, Parameter(group=_TRAINING, negative=())] = False
    """Compute the network's inner values twice instead of keeping them: slower, in half the memory."""
    seed: Annotated[int, Parameter(group=_TRAINING)] = 0
    """Of everything random."""

    out: Annotated[Path, Parameter(group=_OUTPUT)]
    """The student's folder."""
    overwrite: Annotated[bool, Parameter(group=_OUTPUT, negative=())] = False
    """Replace a student that stands there."""
    save_every: Annotated[int, Parameter(group=_OUTPUT)] = 200
    """Updates between two checkpoints, each with a picture of samples."""

    def __post_init__(self) -> None:
        for name in ("rank", "updates", "batch_size", "accumulate", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be 1 or more."
                )
        if not 1 <= self.steps <= _MOST_STEPS:
            raise UsageError(f"--steps is {self.steps}; a student draws in 1 to {_MOST_STEPS} steps.")
        if not 1 <= self.guidance[0] <= self.guidance[1] or not isfinite(self.guidance[1]):
            raise UsageError(
                f"--guidance is {self.guidance[0]:g} {self.guidance[1]:g}; write the lowest scale, then the highest, "
                "neither below 1, as in --guidance 3 8. 1 1 is no guidance."
            )
        if not 0 < self.rate < 1:
            raise UsageError(f"--learning-rate is {self.rate:g}; it must lie between 0 and 1.")
        if self.skip < 1:
            raise UsageError(f"--skip is {self.skip}; it must be 1 or more.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; seeds count from 0.")

    @property
    def rate(self) -> float:
        """The learning rate: as given, or the method's own."""
        return _RATES[self.method] if self.learning_rate is None else self.learning_rate
