"""Inputs that a network is compared on, drawn from what a bundle or a generator says of them."""

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.distillation.beliefs import BeliefDraws, plain_channels
from decode_stream.decoders.generation.condition import Condition, PictureModel

__all__ = ["drawn_conditions", "drawn_windows", "generator_inputs"]

_Array = npt.NDArray[np.float32]
#: One window in so many has no known onset.
_UNLOCKED = 8


def drawn_windows(bundle: Bundle, n: int, seed: int = 0) -> tuple[_Array, _Array]:
    """Return windows as strong in each channel as those of the training, their samples white noise.

    A bundle holds no window, but what tells unfamiliar ones (`decode_stream.decoders.novelty`): each channel's mean and
    log RMS over the training, with how they vary. Without it every channel has a mean of 0 and a spread of 1, which is
    what the chain scales to.

    Returns
    -------
    windows : array of shape (n, n_channels, n_times), float32
        Of windows that grow, 0 where they have not happened.
    latencies_s : array of shape (n,), float32
        From the first to the last and over again; -1 for one in eight, unknown.
    """
    manifest, rng = bundle.manifest, np.random.default_rng(seed)
    schedule, n_channels = manifest.schedule, manifest.chain.n_out
    log_rms, mean = _levels(bundle, n, rng)
    noise = rng.standard_normal((n, n_channels, schedule.n_times))
    noise -= noise.mean(axis=2, keepdims=True)
    noise /= np.maximum(noise.std(axis=2, keepdims=True), 1e-12)
    spread = np.sqrt(np.maximum(np.exp(2 * log_rms) - mean**2, 0))
    windows = mean[:, :, None] + spread[:, :, None] * noise
    places = np.arange(n) % manifest.n_latencies
    latencies_s = np.array([schedule.latency_s(k) for k in places.tolist()], np.float32)
    latencies_s[_UNLOCKED - 1 :: _UNLOCKED] = -1
    if manifest.first_s is not None:
        for window, k in zip(windows, places.tolist(), strict=True):
            window[:, schedule.stop(k) - schedule.start(k) :] = 0
    if manifest.window.clamp is not None:
        windows = windows.clip(-manifest.window.clamp, manifest.window.clamp)
    return windows.astype(np.float32), latencies_s


def _levels(bundle: Bundle, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return each channel's log RMS and mean in n windows, shape (2, n, n_channels)."""
    familiar = bundle.novelty
    if familiar is None:
        return np.zeros((2, n, bundle.manifest.chain.n_out))
    along = rng.standard_normal((2, n, familiar.axes.shape[1])) * familiar.spread[:, None]
    beside = rng.standard_normal((2, n, familiar.n_channels)) * familiar.rest[:, None]
    levels: npt.NDArray[np.float64] = familiar.mean[:, None] + along @ familiar.axes + beside
    return levels


def drawn_conditions(pictures: PictureModel, n: int, seed: int = 0) -> Condition:
    """Return what n pictures are drawn from, believed of as a generator's training believes of its pictures.

    Pictures' embeddings are drawn from the distribution that the generator keeps of them.
    """
    rng = np.random.default_rng(seed)
    covariance = pictures.covariance.astype(np.float64)
    embeddings = rng.multivariate_normal(pictures.mean, covariance, n, method="cholesky")
    return pictures.condition(BeliefDraws(pictures, plain_channels(pictures)).draw(embeddings, rng))


def generator_inputs(side_px: int, condition: Condition, seed: int = 0) -> dict[str, _Array]:
    """Return inputs of an embedded generator's network, by name: noise, times from 1 down to 1/4, and a condition."""
    rng, n = np.random.default_rng(seed), len(condition)
    t = np.linspace(1.0, 0.25, n).astype(np.float32)
    return {
        "x": rng.standard_normal((n, 3, side_px, side_px), np.float32),
        "t": t,
        "r": (t - 0.25).astype(np.float32),
        "semantic": condition.semantic,
        "layout": condition.layout,
        "open_share": condition.open_share,
    }
