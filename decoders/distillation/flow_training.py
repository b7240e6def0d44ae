"""The teacher of the embedded generator: a network that tells clean pictures from noisy ones, taught by flow matching.

Y. Lipman et al., Flow matching for generative modeling, ICLR 2023; X. Liu et al., Flow straight and fast, ICLR 2023;
P. Esser et al., arXiv 2403.03206 (times drawn where most is learnt); T. Li and K. He, arXiv 2511.13720 (the clean
picture as output, the velocity as what is compared). What it is told of a picture is what decoders would believe of it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from decode_stream.decoders.generation.condition import Condition, PictureModel
from decode_stream.decoders.training.checkpoint import (
    Identity,
    load_checkpoint,
    module_digest,
    save_checkpoint,
)
from decode_stream.decoders.training.history import FitHistory
from decode_stream.decoders.training.run import TrainingRun, out_of_memory_told

from .beliefs import BeliefDraws
from .flow_unet import FlowUnet
from .parts import FoundParts, TrueParts, parts_loss
from .students import AVERAGE, LEARNER, follow

__all__ = [
    "Batch",
    "Batches",
    "Drawn",
    "FlowSettings",
    "Learning",
    "PictureSource",
    "flow_loss",
    "learn",
    "learning_state",
    "painted_parts_loss",
]

_OUT_OF_MEMORY = "Try again with a smaller --batch-size."
# Nearer to the picture velocities tell of little but what is finer than a patch, and would outweigh all else.
_LEAST_T = 0.4
#: How much of a picture is known where its parts are laid by what is true.
_SURE = 0.9
#: Of all steps, how many the rate rises over in the beginning, at most, and over which share it falls in the end.
_RISE_STEPS, _FALL_SHARE = 200, 0.6


#: What is seen (n, semantic_dim), layout (n, rows, columns, 3) and open shares (n, 2), float32.
Told: TypeAlias = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Pictures to learn from.

    Attributes
    ----------
    pictures : array of shape (n, side, side, 3), uint8
        RGB.
    embeddings : array of shape (n, dimension), float32
    kinds : array of shape (n, n_parts), int64, or None
    places : array of shape (n, n_parts, 3), float32, or None
        Which objects they show and where, as `decode_stream.decoders.distillation.parts.TrueParts`; both None where
        nobody tells.
    """

    pictures: npt.NDArray[np.uint8]
    embeddings: npt.NDArray[np.float32]
    kinds: npt.NDArray[np.int64] | None = None
    places: npt.NDArray[np.float32] | None = None


class PictureSource(Protocol):
    """Where pictures come from."""

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Return n pictures."""
        ...


@dataclass(frozen=True)
class FlowSettings:
    """How a network learns.

    Attributes
    ----------
    n_steps : int
        Of the optimizer.
    batch_size : int
    learning_rate : float
        Of AdamW, between its rise and its fall.
    noise_share : float
        How many pictures of a batch are nothing but noise: the first step of every sampler, and the only one of some.
    average : float
        Share of the moving average that each step leaves, once it has forgotten its beginning.
    most_norm : float
        Longer gradients are cut to this norm.
    save_every : int
        Steps between two checkpoints.
    """

    n_steps: int = 16_000
    batch_size: int = 16
    learning_rate: float = 1e-3
    noise_share: float = 0.5
    average: float = 0.999
    most_norm: float = 1.0
    save_every: int = 250


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures with what is told of them, on the device of the training.

    Attributes
    ----------
    pictures : Tensor of shape (n, 3, side, side), float32
        -1 to 1.
    condition : tuple of Tensor
        What is seen, layout and open shares, as `FlowUnet` takes them.
    nothing : tuple of Tensor
        The same, of one row, of somebody who knows nothing of any picture.
    parts : TrueParts or None
        Which objects they show and where, if anybody tells.
    rng : torch.Generator
        Of the noise and times of this batch, on the CPU.
    """

    pictures: Tensor
    condition: Told
    nothing: Told
    parts: TrueParts | None
    rng: torch.Generator

    def noise(self) -> Tensor:
        """Return noise like the pictures."""
        return torch.randn(self.pictures.shape, generator=self.rng).to(self.pictures.device)

    def uniform(self) -> Tensor:
        """Return a number of 0 to 1 for each picture."""
        return torch.rand(len(self.pictures), generator=self.rng).to(self.pictures.device)


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Draws batches, each by its number alone, so that a training goes on wherever it was stopped.

    Attributes
    ----------
    source : PictureSource
    pictures : PictureModel
    beliefs : BeliefDraws
    seed : int
    """

    source: PictureSource
    pictures: PictureModel
    beliefs: BeliefDraws
    seed: int

    def batch(self, number: int, n: int, device: torch.device) -> Batch:
        """Return a batch of n pictures."""
        rng = np.random.default_rng((self.seed, number))
        drawn = self.source.draw(n, rng)
        told = _tensors(self.pictures.condition(self.beliefs.draw(drawn.embeddings, rng)), device)
        nothing = _tensors(self.pictures.condition(self.pictures.nothing()), device)
        scaled = torch.from_numpy(drawn.pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        noise = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        return Batch(scaled, told, nothing, _true_parts(drawn, device), noise)


def _tensors(condition: Condition, device: torch.device) -> Told:
    semantic, layout, open_share = (
        torch.from_numpy(part).to(device)
        for part in (condition.semantic, condition.layout, condition.open_share)
    )
    return semantic, layout, open_share


def _true_parts(drawn: Drawn, device: torch.device) -> TrueParts | None:
    if drawn.kinds is None or drawn.places is None:
        return None
    return TrueParts(*(torch.from_numpy(told).to(device) for told in (drawn.kinds, drawn.places)))


#: Takes the network that learns and a batch, and gives the loss.
Loss = Callable[[FlowUnet, Batch], Tensor]


def painted_parts_loss(network: FlowUnet, batch: Batch) -> Tensor:
    """Return the loss of the parts that a network paints over: their colours, and see `parts_loss`.

    Where somebody tells the parts of pictures, these are found of all and painted of a quarter, which takes longer; of
    pictures that are known the true ones are painted: what they look like and where they lie are learnt apart, and
    neither waits for the other.
    """
    parts = network.parts
    seen, colours = network.told(*batch.condition)
    found = parts.find(seen, colours)
    if batch.parts is None:
        return (parts.paint(found, colours) - batch.pictures).abs().mean()
    n = -(-len(seen) // 4)
    sure = (1 - batch.condition[2][:n]).prod(dim=1) > _SURE
    true = TrueParts(
        torch.where(sure[:, None], batch.parts.kinds[:n], -1),
        torch.where(sure[:, None, None], batch.parts.places[:n], torch.nan),
    )
    some = FoundParts(*(part[:n] for part in found))
    off = (parts.paint(some, colours[:n], true) - batch.pictures[:n]).abs().mean()
    return off + parts_loss(parts, found, batch.parts)


def flow_loss(settings: FlowSettings) -> Loss:
    """Return the loss of flow matching: the squared difference of velocities.

    Of some pictures there is nothing but noise, the others lie at times of a logit-normal distribution (Esser et al.).
    """

    def loss(network: FlowUnet, batch: Batch) -> Tensor:
        n = len(batch.pictures)
        normal = torch.randn(n, generator=batch.rng).to(batch.pictures.device)
        t = torch.where(batch.uniform() < settings.noise_share, 1.0, torch.sigmoid(normal))
        at = t[:, None, None, None]
        noisy = (1 - at) * batch.pictures + at * batch.noise()
        clean = network(noisy, t, t, *batch.condition)
        # The velocity is (noisy - clean) / t.
        error: Tensor = (clean - batch.pictures) / at.clamp(min=_LEAST_T)
        return error.square().mean()

    return loss


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """A network that learns, and its moving average, which is what is kept."""

    state: nn.ModuleDict

    @property
    def learner(self) -> FlowUnet:
        """The network that follows the gradient."""
        return _of(self.state, LEARNER)

    @property
    def average(self) -> FlowUnet:
        """Its moving average."""
        return _of(self.state, AVERAGE)


def learning_state(network: FlowUnet) -> Learning:
    """Return a training's networks, both as the one that is given, which learns."""
    average = deepcopy(network).requires_grad_(False).eval()
    return Learning(nn.ModuleDict({LEARNER: network, AVERAGE: average}))


def _of(state: nn.ModuleDict, name: str) -> FlowUnet:
    network = state[name]
    assert isinstance(network, FlowUnet)
    return network


def learn(
    learning: Learning,
    loss: Loss,
    batches: Batches,
    settings: FlowSettings,
    *,
    checkpoint: Path | None = None,
    trained_on: Identity | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    saved: Callable[[int], None] | None = None,
) -> FitHistory:
    """Train a network by a loss.

    Parameters
    ----------
    learning : Learning
        On the device of the training.
    loss : callable
        See `flow_loss`; and what students learn by.
    batches : Batches
    settings : FlowSettings
    checkpoint : Path, optional
        Folder of this training alone, from which one that was stopped goes on to the same numbers.
    trained_on : mapping, optional
        What a training that goes on must agree in, beside settings and seed.
    progress : callable, optional
        Is told of every step: how many are done, of how many, and its loss.
    saved : callable, optional
        Is told after every checkpoint how many steps are done, as to draw samples.

    Raises
    ------
    UsageError
        If a checkpoint is damaged or of another training.
    DecodeStreamError
        If the loss is no number, memory runs out, or the checkpoint cannot be written.
    """
    run = _begun(learning, settings)
    owner = {
        "settings": asdict(settings),
        "seed": batches.seed,
        "state at the beginning": module_digest(learning.state),
        **(trained_on or {}),
    }
    with out_of_memory_told(settings.batch_size, _OUT_OF_MEMORY):
        if checkpoint is not None:
            load_checkpoint(checkpoint, run, owner)
        learning.learner.train()
        while (done := len(run.reports) * settings.save_every) < settings.n_steps:
            losses = list[float]()
            for step in range(done + 1, min(done + settings.save_every, settings.n_steps) + 1):
                losses.append(_step(run, learning, loss, batches, settings, step))
                if progress is not None:
                    progress(step, settings.n_steps, losses[-1])
            run.end_epoch(float(np.mean(losses)))
            if checkpoint is not None:
                save_checkpoint(checkpoint, run, owner)
            if saved is not None:
                saved(done + len(losses))
    return run.finish()


def _begun(learning: Learning, settings: FlowSettings) -> TrainingRun:
    learnt = [value for value in learning.learner.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learnt, settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    rise = min(_RISE_STEPS, max(1, settings.n_steps // 10))
    fall = max(1.0, _FALL_SHARE * settings.n_steps)

    def rate(step: int) -> float:
        return min((step + 1) / rise, 1.0, max((settings.n_steps - step) / fall, 0.02))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    n_rounds = -(-settings.n_steps // settings.save_every)
    return TrainingRun(learning.state, nn.Module(), optimizer, schedule, n_epochs=n_rounds)


def _step(
    run: TrainingRun, learning: Learning, loss: Loss, batches: Batches, settings: FlowSettings, step: int
) -> float:
    """Follow the gradient of one batch, and let the average follow."""
    device = run.device
    batch = batches.batch(step, settings.batch_size, device)
    # Half the time and memory on a GPU; on a CPU nothing is gained.
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        value = loss(learning.learner, batch)
    run.step(value, settings.most_norm)
    follow(learning.state, min(settings.average, (1 + step) / (10 + step)))
    return float(value.detach())
