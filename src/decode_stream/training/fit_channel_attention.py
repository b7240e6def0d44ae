"""Fits the channel-attention encoder for `train`; needs torch."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.decoders.training.fitting import FitSettings, embed_trials, fit
from decode_stream.decoders.training.losses import MAX_GALLERY
from decode_stream.decoders.training.selection import choose_prior
from decode_stream.export.onnx import export_encoder

from .network_state import FINE_TUNING, begin, state_of

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
    settings = FitSettings()
    if norm == "none":
        settings = choose_prior(
            config, trials.windows, trials.labels, trials.runs, gallery, seed=options.seed
        )
    module = ChannelAttention(config, seed=options.seed)
    begin(module, options.start)
    entries, valid = gallery, None
    # A small gallery is contrasted as a whole, where pictures held out would be learnt to be wrong.
    if options.valid is not None and len(gallery) > MAX_GALLERY:
        held = options.valid
        entries = np.concatenate([gallery, held.embeddings])
        valid = (held.trials.windows, held.trials.labels + len(gallery))
    fit(
        module,
        trials.windows,
        trials.labels,
        entries,
        norm=norm,
        valid=valid,
        seed=options.seed,
        settings=replace(
            settings,
            n_epochs=options.n_epochs or settings.n_epochs,
            batch_size=options.batch_size or settings.batch_size,
            learning_rate=options.learning_rate
            or settings.learning_rate * (FINE_TUNING if options.start.given else 1.0),
            keep_best=valid is not None,
        ),
        checkpoint=options.folder,
        progress=options.progress,
    )

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float32]:
        return embed_trials(module, windows, known=known)

    def export(windows: npt.NDArray[np.float32]) -> bytes:
        flat = windows.reshape(-1, n_channels, n_times)
        latencies = np.tile(np.arange(n_latencies) * float(recipe.schedule.step_s), len(windows)).astype(
            np.float32
        )
        latencies[1::7] = UNKNOWN_LATENCY
        return export_encoder(module, flat, latencies)

    return Trained(embed, export, state_of(module))
