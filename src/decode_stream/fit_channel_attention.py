"""Fits the channel-attention encoder for `train`; needs torch."""

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.decoders.training.fitting import embed_trials, fit
from decode_stream.decoders.training.selection import choose_prior
from decode_stream.export.onnx import export_encoder

__all__ = ["fit_channel_attention"]


def fit_channel_attention(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit a channel-attention encoder on trials."""
    torch.set_num_threads(1)  # the network is small: threads would wait for each other
    n_latencies, n_channels, n_times = trials.windows.shape[1:]
    positions = tuple(channel.position_m for channel in recipe.channels)
    gallery, norm = recipe.gallery.embeddings, recipe.gallery.space.norm
    config = ChannelAttentionConfig(
        n_channels=n_channels,
        n_times=n_times,
        embedding_dim=recipe.gallery.space.dimension,
        n_latencies=n_latencies,
        step_s=float(recipe.schedule.step_s),
        positions_m=positions if any(positions) else None,
    )
    settings = None
    if norm == "none":
        settings = choose_prior(config, trials.windows, trials.labels, trials.runs, gallery, seed=options.seed)
    module = ChannelAttention(config, seed=options.seed)
    fit(module, trials.windows, trials.labels, gallery, norm=norm, seed=options.seed, settings=settings)

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float32]:
        return embed_trials(module, windows, known=known)

    def export(windows: npt.NDArray[np.float32]) -> bytes:
        flat = windows.reshape(-1, n_channels, n_times)
        latencies = np.tile(np.arange(n_latencies) * float(recipe.schedule.step_s), len(windows)).astype(
            np.float32
        )
        latencies[1::7] = UNKNOWN_LATENCY
        return export_encoder(module, flat, latencies)

    return Trained(embed, export)
