"""What is done to trials while an encoder is trained on them, as published; nothing of it happens live."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from decode_stream.stream.types import IntArray

__all__ = [
    "Augmentation",
    "ChannelDropout",
    "GaussianNoise",
    "Smoothing",
    "TimeShift",
    "Truncation",
    "augment",
    "truncate",
]


@dataclass(frozen=True)
class Smoothing:
    """Moving average over time of single channels (NeuroBridge: Zhang et al. 2026).

    Attributes
    ----------
    n_times : int
        Samples averaged, an odd number; fewer at the ends.
    probability : float
        With which a channel of a trial is smoothed.
    frozen : bool
        Whether a trial's channels are drawn once and for all, as within a subject there, instead of in every epoch.
    """

    n_times: int = 5
    probability: float = 0.3
    frozen: bool = True

    def __post_init__(self) -> None:
        if self.n_times < 1 or self.n_times % 2 == 0:
            raise ValueError(f"A moving average is over an odd number of samples; got {self.n_times}.")
        _check_share(self.probability)


@dataclass(frozen=True)
class ChannelDropout:
    """Channels of single trials put to zero; NeuroBridge's alternatives to smoothing are this and the next two.

    Attributes
    ----------
    probability : float
        With which a channel of a trial is.
    """

    probability: float = 0.1

    def __post_init__(self) -> None:
        _check_share(self.probability)


@dataclass(frozen=True)
class TimeShift:
    """Each trial shifted in time, what leaves at one end coming in at the other.

    Attributes
    ----------
    max_shift : int
        Samples, at most so many in either direction.
    """

    max_shift: int = 5

    def __post_init__(self) -> None:
        if self.max_shift < 0:
            raise ValueError(f"A shift is 0 samples or more; got {self.max_shift}.")


@dataclass(frozen=True)
class GaussianNoise:
    """White noise added to all samples.

    Attributes
    ----------
    std : float
        In units of the scaled signal.
    """

    std: float = 0.001

    def __post_init__(self) -> None:
        if self.std < 0:
            raise ValueError(f"A standard deviation is 0 or more; got {self.std}.")


Augmentation: TypeAlias = Smoothing | ChannelDropout | TimeShift | GaussianNoise


@dataclass(frozen=True)
class Truncation:
    """What has not happened yet is zero: an encoder that is to decode growing windows is trained on them.

    Attributes
    ----------
    n_times : tuple of int
        Samples that have arrived when each of a session's windows ends; one of them is drawn for every trial.
    """

    n_times: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.n_times or min(self.n_times) < 1:
            raise ValueError(f"A window holds a sample or more; got {self.n_times}.")


def _check_share(probability: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"A probability lies between 0 and 1; got {probability}.")


def augment(
    epochs: Tensor,
    augmentations: Sequence[Augmentation],
    generator: np.random.Generator,
    *,
    trials: IntArray,
    seed: int = 0,
) -> Tensor:
    """Return augmented trials.

    Parameters
    ----------
    epochs : Tensor of shape (n, n_channels, n_times), float32
        Not changed.
    augmentations : sequence of Augmentation
        Applied in this order.
    generator : numpy Generator
        What is drawn afresh comes from it, on any device the same.
    trials : array of shape (n,), int64
        Number of each trial in the whole training set, by which frozen draws are repeated.
    seed : int
        Of the frozen draws.

    Returns
    -------
    Tensor of the same shape and device
    """
    for what in augmentations:
        match what:
            case Smoothing():
                epochs = _smooth(epochs, what, generator, trials, seed)
            case ChannelDropout(probability):
                kept = generator.random(epochs.shape[:2]) >= probability
                epochs = epochs * _on(kept.astype(np.float32), epochs)[..., None]
            case TimeShift(max_shift):
                epochs = _shift(epochs, generator.integers(-max_shift, max_shift, len(epochs), endpoint=True))
            case GaussianNoise(std):
                noise = generator.standard_normal(tuple(epochs.shape), dtype=np.float32)
                epochs = epochs + std * _on(noise, epochs)
    return epochs


def truncate(epochs: Tensor, truncation: Truncation, generator: np.random.Generator) -> Tensor:
    """Return trials that are zero from a drawn sample on.

    Parameters
    ----------
    epochs : Tensor of shape (n, n_channels, n_times), float32
    """
    stops = _on(generator.choice(np.array(truncation.n_times), len(epochs)), epochs)
    arrived = torch.arange(epochs.shape[2], device=epochs.device) < stops[:, None]
    return epochs * arrived[:, None].to(epochs.dtype)


def _on(drawn: npt.NDArray[np.generic], epochs: Tensor) -> Tensor:
    return torch.from_numpy(drawn).to(epochs.device)


def _smooth(
    epochs: Tensor, what: Smoothing, generator: np.random.Generator, trials: IntArray, seed: int
) -> Tensor:
    n_channels = epochs.shape[1]
    if what.frozen:
        drawn = np.stack([np.random.default_rng((seed, trial)).random(n_channels) for trial in trials])
    else:
        drawn = generator.random(epochs.shape[:2])
    half = what.n_times // 2
    # The ends are averages of the samples that are there.
    smooth = functional.avg_pool1d(epochs, what.n_times, stride=1, padding=half, count_include_pad=False)
    return torch.where(_on(drawn < what.probability, epochs)[..., None], smooth, epochs)


def _shift(epochs: Tensor, shifts: IntArray) -> Tensor:
    n_times = epochs.shape[2]
    source = (torch.arange(n_times, device=epochs.device) - _on(shifts, epochs)[:, None]) % n_times
    return epochs.gather(2, source[:, None].expand_as(epochs))
