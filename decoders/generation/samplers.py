"""Samplers: from noise to a picture in as many steps as there are times, by any denoiser of any schedule.

All take the same step, to what a clean picture and the noise that goes with it make at the next time, and differ in
which clean picture they ask for: the one at hand (Euler), the mean of two (Heun), the one on the way (flow maps), or
the end of the way with new noise (consistency).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import sqrt
from typing import TypeAlias

from .denoisers import Denoiser
from .schedules import Numbers, Schedule

__all__ = [
    "Step",
    "ancestral",
    "consistency",
    "euler",
    "flow_map",
    "heun",
    "karras_times",
    "sample",
    "uniform_times",
]

#: Takes a denoiser, a schedule, pictures at time t, and the times t and r; gives the pictures at r, which is earlier.
Step: TypeAlias = Callable[[Denoiser[Numbers], Schedule, Numbers, float, float], Numbers]


def uniform_times(n_steps: int, first: float = 1.0) -> tuple[float, ...]:
    """Return evenly spaced times from `first` to 0, both among them, shape (n_steps + 1,).

    Of a table of betas these are the steps counted from its end, "trailing" (Lin et al. 2024, arXiv 2305.08891).
    """
    _check(n_steps)
    return tuple(first * (n_steps - k) / n_steps for k in range(n_steps + 1))


def karras_times(n_steps: int, least: float = 0.002 / 80, rho: float = 7.0) -> tuple[float, ...]:
    """Return times of `VarianceExploding` from 1 to `least`, denser where there is little noise, and 0 after them.

    Karras et al. 2022, arXiv 2206.00364, equation 5.

    Parameters
    ----------
    n_steps : int
    least : float
        The last time before 0: the smallest sigma over the largest.
    rho : float
    """
    _check(n_steps)
    root = least ** (1 / rho)
    last = max(n_steps - 1, 1)
    return (*((1 + k / last * (root - 1)) ** rho for k in range(n_steps)), 0.0)


def sample(
    step: Step[Numbers],
    denoiser: Denoiser[Numbers],
    schedule: Schedule,
    times: Sequence[float],
    start: Numbers,
) -> Numbers:
    """Return where the steps lead.

    Parameters
    ----------
    step : callable
        `euler`, `heun`, `flow_map`, or what `consistency` or `ancestral` return.
    denoiser : callable
        The condition is bound in it.
    schedule : Schedule
        The denoiser's.
    times : sequence of float
        From the time of `start` down, the last one usually 0.
    start : array of shape (n, channels, height, width)
        Pictures at the first time: noise times its sigma, or what `noised` gives.

    Raises
    ------
    ValueError
        If the times do not go down.
    """
    if len(times) < 2 or any(r >= t for t, r in pairwise(times)) or times[-1] < 0:
        raise ValueError(f"Sampling goes from time to earlier time, 0 at the end; got {tuple(times)}.")
    at = start
    for t, r in pairwise(times):
        at = step(denoiser, schedule, at, t, r)
    return at


def euler(denoiser: Denoiser[Numbers], schedule: Schedule, x: Numbers, t: float, r: float) -> Numbers:
    """Step along the ordinary differential equation as it begins: first order.

    DDIM (Song et al. 2021, arXiv 2010.02502, equation 12 with no noise added), Euler of Karras et al. 2022 and of flow
    matching are this step in three ways of writing.
    """
    return _moved(schedule, x, denoiser(x, t, t), t, r)


def flow_map(denoiser: Denoiser[Numbers], schedule: Schedule, x: Numbers, t: float, r: float) -> Numbers:
    """Step to r at once, where the denoiser was taught the way from t to r.

    Shortcut models (Frans et al. 2025, arXiv 2410.12557), MeanFlow (Geng et al. 2025, arXiv 2505.13447), flow maps
    (Boffi et al. 2025, arXiv 2505.18825).
    """
    return _moved(schedule, x, denoiser(x, t, r), t, r)


def heun(denoiser: Denoiser[Numbers], schedule: Schedule, x: Numbers, t: float, r: float) -> Numbers:
    """Step by the mean of the slopes at both ends: second order, two questions a step, one in the last.

    Karras et al. 2022, arXiv 2206.00364, algorithm 1. The slope is that of the flow which every schedule is in other
    words, so that no step divides by an alpha of 0.
    """
    clean = denoiser(x, t, t)
    reached = _moved(schedule, x, clean, t, r)
    if schedule.sigma(r) <= 0:
        return reached
    whole_t = schedule.alpha(t) + schedule.sigma(t)
    whole_r = schedule.alpha(r) + schedule.sigma(r)
    at_t, at_r = schedule.sigma(t) / whole_t, schedule.sigma(r) / whole_r
    slope = (x / whole_t - clean) / at_t
    slope_there = (reached / whole_r - denoiser(reached, r, r)) / at_r
    there: Numbers = whole_r * (x / whole_t + (at_r - at_t) / 2 * (slope + slope_there))
    return there


def consistency(fresh: Iterator[Numbers], gamma: float = 1.0) -> Step[Numbers]:
    """Return the step to the end of the way and back to r with fresh noise.

    Song et al. 2023, arXiv 2303.01469, algorithm 1; latent consistency models (Luo et al. 2023, arXiv 2310.04378).
    With a `gamma` below 1 it goes to (1 - gamma) r instead of the end: consistency trajectories (Kim et al. 2024,
    arXiv 2310.02279, algorithm 3; Zheng et al. 2024, arXiv 2402.19159); with 0 it is `flow_map`.

    Parameters
    ----------
    fresh : iterator of array
        Noise of unit variance; one is taken by every step that does not end at 0.
    gamma : float
        0 to 1.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is 0 to 1; got {gamma}.")

    def step(denoiser: Denoiser[Numbers], schedule: Schedule, x: Numbers, t: float, r: float) -> Numbers:
        before = (1 - gamma) * r
        reached = _moved(schedule, x, denoiser(x, t, before), t, before)
        if before == r:
            return reached
        kept = schedule.alpha(r) / schedule.alpha(before)
        added = schedule.sigma(r) ** 2 - (kept * schedule.sigma(before)) ** 2
        return kept * reached + sqrt(added) * next(fresh)

    return step


def ancestral(fresh: Iterator[Numbers]) -> Step[Numbers]:
    """Return the step that renews as much noise as the diffusion would have added from r to t.

    DDPM (Ho et al. 2020, arXiv 2006.11239; DDIM's equation 16 with eta = 1), Euler ancestral of k-diffusion.

    Parameters
    ----------
    fresh : iterator of array
        Noise of unit variance; one is taken by every step that does not end at 0.
    """

    def step(denoiser: Denoiser[Numbers], schedule: Schedule, x: Numbers, t: float, r: float) -> Numbers:
        clean = denoiser(x, t, t)
        sigma_r = schedule.sigma(r)
        if sigma_r <= 0:
            return _moved(schedule, x, clean, t, r)
        sigma_t = schedule.sigma(t)
        kept = sigma_r * schedule.alpha(t) / (schedule.alpha(r) * sigma_t)
        noise = (x - schedule.alpha(t) * clean) / sigma_t
        renewed = sigma_r * sqrt(1 - kept**2)
        return schedule.alpha(r) * clean + sigma_r * kept * noise + renewed * next(fresh)

    return step


def _moved(schedule: Schedule, x: Numbers, clean: Numbers, t: float, r: float) -> Numbers:
    """Return what a clean picture and the noise that makes x of it at t make at r."""
    ratio = schedule.sigma(r) / schedule.sigma(t)
    return schedule.alpha(r) * clean + ratio * (x - schedule.alpha(t) * clean)


def _check(n_steps: int) -> None:
    if n_steps < 1:
        raise ValueError(f"There is at least one step; got {n_steps}.")
