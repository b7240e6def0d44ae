"""Fits the channel-attention encoder for `train`; needs torch."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.decoders.encoders.two_heads import TwoHeads
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import PublicWeights
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.decoders.training.fitting import FitSettings, embed_trials, fit
from decode_stream.decoders.training.losses import MAX_GALLERY
from decode_stream.decoders.training.selection import choose_prior
from decode_stream.export.onnx import export_encoder

from .network_state import begin, origin_of, state_of, told_too_few, with_options

__all__ = ["channel_attention_network", "check_channel_attention", "fit_channel_attention"]


def check_channel_attention(recipe: Recipe, options: FitOptions) -> PublicWeights | None:
    """Make a channel-attention encoder as it begins."""
    for note in told_too_few(with_options(FitSettings(), options)):
        options.report(note)
    return origin_of(channel_attention_network(recipe, options.start, options.seed), options.start)


def channel_attention_network(
    recipe: Recipe, start: Start, seed: int, *, n_people: int = 0
) -> ChannelAttention:
    """Return the encoder as it begins; with a token of each of several people, or of the one it is tuned to."""
    positions = tuple(channel.position_m for channel in recipe.channels)
    n_subjects = n_people
    if start.weights is not None:
        # Without tokens, what was learnt stays without.
        had_tokens = len(start.weights.get("subjects", ())) > 0
        n_subjects = max(1, n_people) if had_tokens else 0
    config = ChannelAttentionConfig(
        n_channels=recipe.chain.n_out,
        n_times=recipe.schedule.n_times,
        embedding_dim=recipe.gallery.space.dimension + recipe.gallery.structure_dim,
        n_latencies=recipe.n_latencies,
        step_s=float(recipe.schedule.step_s),
        positions_m=positions if any(positions) else None,
        n_subjects=n_subjects,
    )
    module = ChannelAttention(config, seed=seed)
    # Of one person the token is the first: the last is for anyone else.
    module.subject = 0
    begin(module, start)
    return module


def fit_channel_attention(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit a channel-attention encoder on trials."""
    torch.set_num_threads(1)  # the network is small: threads would wait for each other
    n_latencies, n_channels, n_times = trials.windows.shape[1:]
    gallery, norm = recipe.gallery.embeddings, recipe.gallery.space.norm
    n_people = 0 if trials.people is None else int(trials.people.max()) + 1
    module = channel_attention_network(recipe, options.start, options.seed, n_people=n_people)
    settings, structure_dim = FitSettings(), recipe.gallery.structure_dim
    if norm == "none":
        alone = replace(module.config, embedding_dim=gallery.shape[1])
        settings = choose_prior(alone, trials.windows, trials.labels, trials.runs, gallery, seed=options.seed)
    entries, layouts, valid = gallery, recipe.gallery.structure, None
    # A small gallery is contrasted as a whole, where pictures held out would be learnt to be wrong.
    if options.valid is not None and len(gallery) > MAX_GALLERY:
        held = options.valid
        entries = np.concatenate([gallery, held.embeddings])
        valid = (held.trials.windows, held.trials.labels + len(gallery))
        if layouts is not None and held.structure is not None:
            layouts = np.concatenate([layouts, held.structure])
    fit(
        module,
        trials.windows,
        trials.labels,
        entries,
        norm=norm,
        structure=layouts,
        valid=valid,
        subjects=trials.people,
        seed=options.seed,
        settings=replace(with_options(settings, options), keep_best=valid is not None),
        checkpoint=options.folder,
        progress=options.progress,
    )

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float32]:
        embeddings = embed_trials(module, windows, known=known)
        return embeddings[..., : embeddings.shape[2] - structure_dim]

    def structure(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        mean: npt.NDArray[np.float32] = embed_trials(module, windows)[..., -structure_dim:].mean(axis=1)
        return mean

    def export(windows: npt.NDArray[np.float32]) -> OnnxModel:
        flat = windows.reshape(-1, n_channels, n_times)
        latencies = np.tile(np.arange(n_latencies) * float(recipe.schedule.step_s), len(windows)).astype(
            np.float32
        )
        latencies[1::7] = UNKNOWN_LATENCY
        return export_encoder(TwoHeads(module, structure_dim) if structure_dim else module, flat, latencies)

    return Trained(embed, export, state_of(module), None, structure if structure_dim else None)
