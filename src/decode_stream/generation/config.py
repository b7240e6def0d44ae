"""What the commands that make generators are asked for."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from decode_stream.config import Reading
from decode_stream.stream.errors import UsageError

__all__ = ["DistillConfig", "Method", "Precision", "RefineConfig", "TrainGeneratorConfig"]

_PICTURES = Group.create_ordered("Pictures")
_PIPELINE = Group.create_ordered("Pipeline")
_TRAINING = Group.create_ordered("Training")
_OUTPUT = Group.create_ordered("Output")

Method = Literal["lora", "full"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

_MOST_STEPS = 4
_SIDES = 32
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
    """In how many steps it is to draw at most, 1 to 4; it is trained alike for all of them."""
    updates: Annotated[int, Parameter(group=_TRAINING)] = 2000
    """Steps of the optimizer."""
    batch_size: Annotated[int, Parameter(group=_TRAINING)] = 8
    """Pictures at once."""
    accumulate: Annotated[int, Parameter(group=_TRAINING)] = 1
    """Batches to each step of the optimizer."""
    learning_rate: Annotated[float | None, Parameter(group=_TRAINING)] = None
    """By default 1e-4, and 8e-6 with --method full."""
    guidance: Annotated[tuple[float, float], Parameter(group=_TRAINING, negative=())] = (3.0, 8.0)
    """Lowest and highest guidance scale of the teacher, drawn evenly between; 1 1 for none."""
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
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; seeds count from 0.")

    @property
    def rate(self) -> float:
        """The learning rate: as given, or the method's own."""
        return _RATES[self.method] if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True, kw_only=True)
class TrainGeneratorConfig:
    """Settings of the training of an embedded generator."""

    target: Annotated[str | None, Parameter(group=_PICTURES)] = None
    """A folder of pictures: what embeds them, as the bundles' --target; objects for the program's own scenes."""
    side_px: Annotated[int, Parameter(group=_PICTURES)] = 64
    """A folder of pictures: side of what is drawn, a multiple of 32."""
    bundle: Annotated[tuple[Path, ...], Parameter(group=_PICTURES)] = ()
    """Decoders of the same target: beliefs are drawn as theirs are, too. May be given several times."""

    parts_updates: Annotated[int, Parameter(group=_TRAINING)] = 5000
    """Steps of the optimizer for the parts of pictures in their places."""
    teacher_updates: Annotated[int, Parameter(group=_TRAINING)] = 6000
    """For the teacher of many steps."""
    pairs_updates: Annotated[int, Parameter(group=_TRAINING)] = 400
    """For the student, which learns where the teacher's ways lead."""
    consistency_updates: Annotated[int, Parameter(group=_TRAINING)] = 800
    """For the student, once it goes on by itself."""
    guidance: Annotated[float, Parameter(group=_TRAINING)] = 1.5
    """How far the teacher is led beyond its own prediction, for the student; 1 is not at all."""
    batch_size: Annotated[int | None, Parameter(group=_TRAINING)] = None
    """Pictures at once, twice as many for the parts; by default 16 on a CPU, 256 on a GPU."""
    learning_rate: Annotated[float, Parameter(group=_TRAINING)] = 5e-4
    """Of the teacher; the student learns at a quarter of it."""
    seed: Annotated[int, Parameter(group=_TRAINING)] = 0
    """Of everything random."""

    out: Annotated[Path, Parameter(group=_OUTPUT)]
    """The generator: a folder, or one file where it ends in .zip."""
    overwrite: Annotated[bool, Parameter(group=_OUTPUT, negative=())] = False
    """Replace a generator that stands there."""
    keep_teacher: Annotated[Path | None, Parameter(group=_OUTPUT)] = None
    """Write the teacher's weights to this file, to compare the student with."""
    save_every: Annotated[int, Parameter(group=_OUTPUT)] = 250
    """Updates between two checkpoints, each with a picture of samples."""

    def __post_init__(self) -> None:
        least_of = {"pairs_updates": 0, "consistency_updates": 0}
        for name in ("parts_updates", "teacher_updates", *least_of, "save_every"):
            least = least_of.get(name, 1)
            if getattr(self, name) < least:
                raise UsageError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be {least} or more."
                )
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; it must be 1 or more.")
        if self.side_px < _SIDES or self.side_px % _SIDES:
            raise UsageError(
                f"--side-px is {self.side_px}; write a multiple of {_SIDES}, as in --side-px 64."
            )
        if not 1 <= self.guidance < 20:
            raise UsageError(f"--guidance is {self.guidance:g}; it must be 1 or more and below 20.")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"--learning-rate is {self.learning_rate:g}; it must lie between 0 and 1.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; seeds count from 0.")


@dataclass(frozen=True, kw_only=True)
class RefineConfig(Reading):
    """Settings of a refinement; the defaults are MindDiffuser's."""

    generator: Annotated[Path, Parameter(group=_PIPELINE)]
    """What draws: the folder or .zip of a generator."""
    shallow: Annotated[str | None, Parameter(group=_PIPELINE)] = None
    """open_clip:MODEL:WEIGHTS:block-K, where the bundle's second head decodes such a layer."""
    provider: Annotated[Literal["cpu", "cuda"], Parameter(group=_PIPELINE)] = "cpu"
    """What runs the generator."""

    trials: Annotated[tuple[int, ...], Parameter(group=_PICTURES, negative=())] = (1, 2, 3, 4)
    """Which trials, counted from 1, as in --trials 3 17."""
    strength: Annotated[float, Parameter(group=_PICTURES)] = 0.74
    """How much noise the decoded layout or latents are given before they are drawn on: 0 to 1, which forgets them."""
    steps: Annotated[int | None, Parameter(group=_PICTURES)] = None
    """Of the sampler from there; by default 35, and of a generator of few steps the most that it has."""
    iterations: Annotated[int, Parameter(group=_PICTURES)] = 60
    """Of Adam, each through all steps. The published code takes 300, with --decay 0.999."""
    learning_rate: Annotated[float, Parameter(group=_PICTURES)] = 0.01
    """Of Adam, on the start and on the condition."""
    decay: Annotated[float, Parameter(group=_PICTURES)] = 1.0
    """By what the learning rate is multiplied after each iteration."""
    semantic_weight: Annotated[float, Parameter(group=_PICTURES)] = 0.1
    """What it costs the condition to leave what was decoded, beside the structure."""
    share: Annotated[float, Parameter(group=_PICTURES)] = 0.25
    """A bundle without a second head: which share of the layout's numbers guides, those that are decoded best."""
    seed: Annotated[int, Parameter(group=_PICTURES)] = 0
    """Of the noise, the same for all trials."""

    out: Annotated[Path, Parameter(group=_OUTPUT)]
    """A new folder for the pictures and refined.json."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1 or (self.steps is not None and self.steps < 1):
            raise UsageError(
                f"--iterations is {self.iterations} and --steps {self.steps}; they are 1 or more."
            )
        for name, value in (("strength", self.strength), ("decay", self.decay), ("share", self.share)):
            if not 0 < value <= 1:
                raise UsageError(f"--{name} is {value:g}; it lies above 0 and up to 1.")
        if not (self.learning_rate > 0 and isfinite(self.learning_rate)):
            raise UsageError(f"--learning-rate is {self.learning_rate:g}; it must be above 0.")
        if not (self.semantic_weight >= 0 and isfinite(self.semantic_weight)):
            raise UsageError(f"--semantic-weight is {self.semantic_weight:g}; it must be 0 or more.")
        if not self.trials or min(self.trials) < 1:
            raise UsageError("--trials counts from 1, as in --trials 3 17.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; seeds count from 0.")
