r"""Students of few steps: flow maps, which lead from any time of the teacher's way to any earlier one at once.

N. Boffi et al., Flow map matching, arXiv 2406.07507, and How to build a consistency model, arXiv 2505.18825; Y. Song et
al., Consistency models, ICML 2023. A student first learns the ends of ways that the teacher went (pairs), then that two
neighbouring points of a way lead to the same end (consistency). The teacher is guided on its way (Ho and Salimans,
arXiv 2207.12598), so that the student needs no guidance.

The clean picture that leads from :math:`x_t` to :math:`x_r` along a straight line is
:math:`(x_r - \frac{r}{t} x_t) / (1 - \frac{r}{t})`: what a student of flow maps is taught to give at (t, r).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .flow_training import Batch, Loss
from .flow_unet import FlowUnet

__all__ = ["StudentSettings", "consistency_loss", "guided_teacher", "leading", "pairs_loss", "way"]


@dataclass(frozen=True)
class StudentSettings:
    """What a student is taught.

    Attributes
    ----------
    guidance : float
        How far the teacher goes beyond its own prediction, away from that of somebody who knows nothing.
    n_way_steps : int
        Of the teacher, from noise to picture.
    n_points : int
        Of a way, how many the student learns from at once; the first is always noise.
    end_share : float
        How many of the others lead to the picture, and not to a point on the way.
    huber_width : float
        Errors below it count squared, larger ones by their size.
    """

    guidance: float = 1.5
    n_way_steps: int = 8
    n_points: int = 3
    end_share: float = 0.5
    huber_width: float = 0.03


def guided_teacher(teacher: FlowUnet, x: Tensor, t: Tensor, batch: Batch, guidance: float) -> Tensor:
    """Return the teacher's clean pictures, led away from what it gives to somebody who knows nothing."""
    if guidance == 1:
        clean: Tensor = teacher(x, t, t, *batch.condition)
        return clean
    both = [
        torch.cat([told, none.expand_as(told)])
        for told, none in zip(batch.condition, batch.nothing, strict=True)
    ]
    led, without = teacher(torch.cat([x, x]), torch.cat([t, t]), torch.cat([t, t]), *both).chunk(2)
    further: Tensor = without + guidance * (led - without)
    return further


def way(teacher: FlowUnet, batch: Batch, settings: StudentSettings) -> list[Tensor]:
    """Return the points of the teacher's way from noise to picture, of evenly spaced times from 1 to 0."""
    n = settings.n_way_steps
    x = batch.noise()
    points = [x]
    with torch.no_grad():
        for t, r in pairwise([1 - k / n for k in range(n + 1)]):
            at = torch.full((len(x),), t, device=x.device)
            clean = guided_teacher(teacher, x, at, batch, settings.guidance).clamp(-1, 1)
            x = (1 - r) * clean + r / t * (x - (1 - t) * clean)
            points.append(x)
    return points


def leading(x_t: Tensor, x_r: Tensor, t: Tensor, r: Tensor) -> Tensor:
    """Return the clean pictures that lead from x at t to x at r, both of shape (n, 3, side, side)."""
    share = (r / t)[:, None, None, None]
    return (x_r - share * x_t) / (1 - share)


def pairs_loss(teacher: FlowUnet, settings: StudentSettings) -> Loss:
    """Return the loss of a student that is shown where the teacher's ways lead."""

    def loss(student: FlowUnet, batch: Batch) -> Tensor:
        points = torch.stack(way(teacher, batch, settings))  # (n_way_steps + 1, n, 3, side, side)
        n_steps, n = settings.n_way_steps, points.shape[1]
        rows = torch.arange(n, device=points.device)
        total = points.new_zeros(())
        for number in range(settings.n_points):
            from_ = _begin(n_steps, batch) if number else torch.zeros_like(rows)
            to = _end(from_, batch, settings)
            t, r = 1 - from_ / n_steps, 1 - to / n_steps
            x_t = points[from_, rows]
            wanted = leading(x_t, points[to, rows], t, r)
            total = total + _huber(student(x_t, t, r, *batch.condition), wanted, settings.huber_width)
        return total / settings.n_points

    return loss


def consistency_loss(teacher: FlowUnet, average: FlowUnet, settings: StudentSettings) -> Loss:
    """Return the loss of a student whose ways lead from neighbouring points to the same end.

    Parameters
    ----------
    teacher : FlowUnet
        Takes one step of its way, from a noisy picture.
    average : FlowUnet
        The student's moving average, which goes on from there.
    settings : StudentSettings
    """

    def loss(student: FlowUnet, batch: Batch) -> Tensor:
        n_steps = settings.n_way_steps
        from_ = _begin(n_steps, batch)
        from_ = torch.where(batch.uniform() < 1 / settings.n_points, 0, from_)
        to = _end(from_, batch, settings)
        t, s, r = 1 - from_ / n_steps, 1 - (from_ + 1) / n_steps, 1 - to / n_steps
        at, next_ = t[:, None, None, None], s[:, None, None, None]
        x_t = (1 - at) * batch.pictures + at * batch.noise()
        with torch.no_grad():
            clean = guided_teacher(teacher, x_t, t, batch, settings.guidance).clamp(-1, 1)
            x_s = (1 - next_) * clean + next_ / at * (x_t - (1 - at) * clean)
            # Where the next point is the end already, there is nothing left to go.
            there = (s <= r)[:, None, None, None]
            on = average(x_s, s, r, *batch.condition)
            share = (r / s.clamp(min=1e-6))[:, None, None, None]
            x_r = torch.where(there, x_s, (1 - share) * on + share * x_s)
            wanted = leading(x_t, x_r, t, r)
        return _huber(student(x_t, t, r, *batch.condition), wanted, settings.huber_width)

    return loss


def _begin(n_steps: int, batch: Batch) -> Tensor:
    """Return at which point of its way, but for the last, a student begins: one for each picture."""
    return (batch.uniform() * n_steps).long().clamp(max=n_steps - 1)


def _end(from_: Tensor, batch: Batch, settings: StudentSettings) -> Tensor:
    """Return to which later point it is led, for each picture."""
    n_steps = settings.n_way_steps
    to = from_ + 1 + (batch.uniform() * (n_steps - from_)).long()
    return torch.where(batch.uniform() < settings.end_share, n_steps, to.clamp(max=n_steps))


def _huber(given: Tensor, wanted: Tensor, width: float) -> Tensor:
    """Return the pseudo-Huber distance (Song and Dhariwal, arXiv 2310.14189, equation 8), its mean over numbers."""
    return (((given - wanted).square() + width**2).sqrt() - width).mean()
