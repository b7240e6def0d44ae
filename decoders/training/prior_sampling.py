"""Samples of a diffusion prior: from noise to an embedding, along the way that the prior alone decides."""

import torch
from torch import Tensor

from decode_stream.decoders.encoders.diffusion_prior import DiffusionPrior

__all__ = ["N_STEPS", "at_once", "clean_from", "sample"]

#: Steps from noise to an embedding: a second-order solver comes to the same end with these as with a hundred.
N_STEPS = 20
_MOST_AT_ONCE, _NUMBERS_AT_ONCE = 1024, 1 << 24
_DENSER = 1.5


def sample(
    prior: DiffusionPrior, decoded: Tensor, noise: Tensor, *, n_steps: int = N_STEPS, guidance: float = 1.0
) -> Tensor:
    """Return a sample for each decoded embedding; the same noise gives the same sample.

    Parameters
    ----------
    decoded, noise : Tensor of shape (n, dimension)
        Embeddings as the mapper gives them, and noise of unit variance.
    n_steps : int
        Evaluations of the network.
    guidance : float
        How far beyond what the prior would draw without the decoded embedding (Ho and Salimans 2022, arXiv 2207.12598);
        1 draws from what it has learnt, above 1 the samples are closer to the condition and to each other.

    Returns
    -------
    Tensor of shape (n, dimension)
        In the space of the pictures' embeddings.

    Raises
    ------
    ValueError
        If there is no step, or more than time steps.
    """
    last, n = prior.config.n_timesteps - 1, at_once(prior)
    with torch.no_grad():
        parts = [
            prior.embeddings(
                clean_from(prior, noisy, last, prior.condition(given), n_steps=n_steps, guidance=guidance)
            )
            for noisy, given in zip(torch.split(noise, n), torch.split(decoded, n), strict=True)
        ]
    return torch.cat(parts)


def at_once(prior: DiffusionPrior) -> int:
    """Return how many embeddings go through a prior at once: of a grid of tokens few, which fill the memory."""
    numbers = (2 * prior.config.n_tokens + 1) * prior.config.width
    return max(1, min(_MOST_AT_ONCE, _NUMBERS_AT_ONCE // numbers))


def clean_from(
    prior: DiffusionPrior,
    noisy: Tensor,
    time: int,
    condition: Tensor,
    *,
    n_steps: int = N_STEPS,
    guidance: float = 1.0,
) -> Tensor:
    """Return where the way of noisy embeddings ends that begins at a time.

    The probability-flow equation is solved by DPM-Solver++ (2M) for networks that predict x0 (Lu et al. 2022, arXiv
    2211.01095, algorithm 2), which is DDIM (Song et al. 2021, arXiv 2010.02502) where it knows no step before.

    Parameters
    ----------
    noisy, condition : Tensor of shape (n, dimension)
        Standardised.
    time : int
        Of `noisy`.

    Returns
    -------
    Tensor of shape (n, dimension)
        Clean, standardised.
    """
    if not 1 <= n_steps <= prior.config.n_timesteps:
        raise ValueError(f"Steps count from 1 to {prior.config.n_timesteps}; got {n_steps}.")
    # Denser where embeddings are almost clean: what varies least is decided there.
    spaced = (round(time * (1 - i / max(n_steps - 1, 1)) ** _DENSER) for i in range(n_steps))
    times = list(dict.fromkeys(spaced))
    signal, noise = prior.signal, prior.noise
    ratio = torch.log(signal / noise)
    x, clean, before, step_before = noisy, noisy, noisy, None
    for now, then in zip(times, [*times[1:], None], strict=True):
        clean = _predicted(prior, x, now, condition, guidance)
        if then is None:
            break
        step = ratio[then] - ratio[now]
        ahead = clean
        if step_before is not None:
            ahead = clean + (clean - before) * step / (2 * step_before)
        x = noise[then] / noise[now] * x - signal[then] * torch.expm1(-step) * ahead
        before, step_before = clean, step
    return clean


def _predicted(prior: DiffusionPrior, x: Tensor, time: int, condition: Tensor, guidance: float) -> Tensor:
    """Return what the network predicts, guided."""
    at = torch.full((len(x),), time, device=x.device)
    clean: Tensor = prior(x, at, condition)
    if guidance == 1.0:
        return clean
    every = torch.ones(len(x), dtype=torch.bool, device=x.device)
    blind: Tensor = prior(x, at, condition, every)
    return blind + guidance * (clean - blind)
