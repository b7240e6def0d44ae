"""Denoisers: from whatever a network predicts to the clean picture, at any time of any schedule.

A denoiser is asked for the clean picture that lies on the way from time t to time r. Of a network that knows nothing of
ways (all but flow maps) that is its prediction at t, whatever r is.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from .schedules import Numbers, Schedule

__all__ = ["PREDICTIONS", "Denoiser", "Prediction", "clean_picture", "denoiser", "guided"]

#: What a network may predict. ``"noise"`` and ``"clean"``: Ho et al. 2020, arXiv 2006.11239. ``"v"``: alpha * noise -
#: sigma * picture, Salimans and Ho 2022, arXiv 2202.00512. ``"velocity"``: noise - picture, Lipman et al. 2023,
#: arXiv 2210.02747.
Prediction: TypeAlias = Literal["noise", "velocity", "v", "clean"]
PREDICTIONS: tuple[str, ...] = get_args(Prediction)

#: Takes noisy pictures (n, channels, height, width) and the times t and r, gives clean ones; the condition is bound.
Denoiser: TypeAlias = Callable[[Numbers, float, float], Numbers]


def clean_picture(
    predicted: Numbers, noisy: Numbers, schedule: Schedule, t: float, kind: Prediction
) -> Numbers:
    """Return the clean picture that a prediction tells of.

    Parameters
    ----------
    predicted, noisy : array of shape (n, channels, height, width)
        What the network gave, and what it was given.
    schedule : Schedule
    t : float
        The time of `noisy`.
    kind : {"noise", "velocity", "v", "clean"}
        What was predicted.

    Returns
    -------
    array of shape (n, channels, height, width)

    Raises
    ------
    ValueError
        If noise was predicted where there is nothing but noise: that says nothing of the picture. Begin earlier.
    """
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    if kind == "clean":
        return predicted
    if kind == "v":
        return (alpha * noisy - sigma * predicted) / (alpha**2 + sigma**2)
    if kind == "velocity":
        return (noisy - sigma * predicted) / (alpha + sigma)
    if alpha <= 0:
        raise ValueError(
            f"At t = {t:g} there is only noise, and what predicts noise tells no picture from it."
        )
    return (noisy - sigma * predicted) / alpha


def denoiser(
    network: Callable[[Numbers, float, float], Numbers], schedule: Schedule, kind: Prediction
) -> Denoiser[Numbers]:
    """Return the denoiser of a network.

    Parameters
    ----------
    network : callable
        Takes noisy pictures, t and r, and predicts.
    schedule : Schedule
        The one it was trained on.
    kind : {"noise", "velocity", "v", "clean"}
        What it predicts.
    """
    if kind not in PREDICTIONS:
        raise ValueError(f"A network predicts one of {', '.join(PREDICTIONS)}; got {kind!r}.")

    def denoise(noisy: Numbers, t: float, r: float) -> Numbers:
        return clean_picture(network(noisy, t, r), noisy, schedule, t, kind)

    return denoise


def guided(
    conditional: Denoiser[Numbers],
    unconditional: Denoiser[Numbers],
    scale: float,
) -> Denoiser[Numbers]:
    """Return a denoiser that goes further from the unconditional prediction than the conditional one does.

    Ho and Salimans 2022, arXiv 2207.12598. The clean picture is linear in the noise, v and the velocity, so that this
    is the guidance of whichever was predicted. At a scale of 1 the unconditional one is not asked.
    """
    if scale == 1:
        return conditional

    def denoise(noisy: Numbers, t: float, r: float) -> Numbers:
        without = unconditional(noisy, t, r)
        further: Numbers = without + scale * (conditional(noisy, t, r) - without)
        return further

    return denoise
