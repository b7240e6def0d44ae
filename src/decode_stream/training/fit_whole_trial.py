"""Fits the published encoders of whole trials for `train`, each as its paper does; needs torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from decode_stream.config import Model
from decode_stream.decoders.encoders.atm import Atm, AtmConfig
from decode_stream.decoders.encoders.eegnet import EegNet, EegNetConfig
from decode_stream.decoders.encoders.nice import Nice, NiceConfig
from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.encoders.spatial_attention import SpatialAttention, SpatialAttentionConfig
from decode_stream.decoders.encoders.whole_trial import WholeTrial, embed_whole
from decode_stream.decoders.epochs import TrialSet, grown
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Fit, Recipe, Trained
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.decoders.training.augmentations import Smoothing, Truncation
from decode_stream.decoders.training.loss_spec import PUBLISHED_LOSSES, LossSpec
from decode_stream.decoders.training.whole_trial_data import ValidationTrials
from decode_stream.decoders.training.whole_trial_settings import StructuralHead, WholeTrialSettings
from decode_stream.decoders.training.whole_trials import fit_whole_trials
from decode_stream.export.onnx import export_encoder
from decode_stream.stream.errors import UsageError

from .network_state import FINE_TUNING, begin, state_of

__all__ = ["whole_trial_fit"]

#: Categories have no lengths to compare: a softmax over their inner products, as in a classifier.
_CATEGORIES = LossSpec(temperature=1.0, normalise="none")


@dataclass(frozen=True)
class _Size:
    """What an encoder is made for; with the defects of the published code where its weights are to fit."""

    n_channels: int
    n_times: int
    dimension: int
    recipe: Recipe
    as_published: bool


@dataclass(frozen=True)
class _Published:
    """An encoder and how its paper trains it.

    Attributes
    ----------
    make : callable
        Takes the size and a seed.
    settings : WholeTrialSettings
    """

    make: Callable[[_Size, int], nn.Module]
    settings: WholeTrialSettings


def _nice(attention: str) -> _Published:
    def make(size: _Size, seed: int) -> nn.Module:
        shape = (size.n_channels, size.n_times, size.dimension)
        return Nice(NiceConfig(*shape, attention, attend_in_every_trial=not size.as_published), seed)

    return _Published(make, WholeTrialSettings(loss=PUBLISHED_LOSSES["nice"], average_repeats=4))


def _atm(size: _Size, seed: int) -> nn.Module:
    shape = (size.n_channels, size.n_times, size.dimension)
    if size.as_published:
        return Atm(AtmConfig(*shape), seed)
    # One person is the one that all others share.
    return Atm(AtmConfig(*shape, n_subjects=0, keep_every_channel=True), seed)


def _eegnet(size: _Size, seed: int) -> nn.Module:
    return EegNet(EegNetConfig(size.n_channels, size.n_times, size.dimension), seed)


def _projection(size: _Size, seed: int) -> nn.Module:
    return Projection(ProjectionConfig(size.n_channels, size.n_times, size.dimension), seed)


def _neurobridge(size: _Size, seed: int) -> nn.Module:
    config = ProjectionConfig(size.n_channels, size.n_times, size.dimension, shared_dim=512)
    return Projection(config, seed)


def _spatial_attention(size: _Size, seed: int) -> nn.Module:
    positions = tuple(channel.position_m for channel in size.recipe.channels)
    if not any(positions):
        raise UsageError(
            "--model spatial-attention places channels by where their sensors are, and of none of these "
            f"{len(positions)} a position is known. Give recordings that hold positions (.fif, BIDS), or another model."
        )
    # Live, a trial grows: what is known of its past must not change with what is not there yet.
    config = SpatialAttentionConfig(
        size.n_channels,
        size.n_times,
        size.dimension,
        positions_m=positions,
        causal=size.recipe.n_latencies > 1,
    )
    return SpatialAttention(config, seed)


_ADAM = (0.9, 0.999)
_PUBLISHED: dict[Model, _Published] = {
    "nice": _nice("none"),
    "nice-sa": _nice("self"),
    "nice-ga": _nice("graph"),
    # Its share of text is left out: the pictures of a lab have no words.
    "atm-s": _Published(
        _atm,
        WholeTrialSettings(40, 64, 3e-4, _ADAM, loss=replace(PUBLISHED_LOSSES["atm-s"], text_weight=0.0)),
    ),
    "eegnet": _Published(_eegnet, WholeTrialSettings(100, 64, 1e-3, _ADAM)),
    "projection": _Published(
        _projection,
        WholeTrialSettings(50, 1024, 1e-4, _ADAM, 1e-4, loss=PUBLISHED_LOSSES["ubp"], average_repeats=4),
    ),
    "neurobridge": _Published(
        _neurobridge,
        WholeTrialSettings(
            50,
            1024,
            1e-4,
            _ADAM,
            loss=PUBLISHED_LOSSES["neurobridge"],
            augmentations=(Smoothing(),),
            average_repeats=4,
        ),
    ),
    "spatial-attention": _Published(
        _spatial_attention,
        WholeTrialSettings(100, 128, 3e-4, _ADAM, loss=PUBLISHED_LOSSES["benchetrit"], patience=10),
    ),
}


def whole_trial_fit(model: Model) -> Fit:
    """Return what fits an encoder of whole trials, by its name."""
    published = _PUBLISHED[model]

    def fit(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
        return _fit(published, trials, recipe, options)

    return fit


def _fit(published: _Published, trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    n_channels, n_times = trials.windows.shape[2:]
    targets, structure_dim = _targets(recipe.gallery.embeddings, recipe.gallery.structure)
    size = _Size(n_channels, n_times, targets.shape[1], recipe, bool(options.start.public))
    try:
        module = published.make(size, options.seed)
    except ValueError as error:
        raise UsageError(f"{error} Give another --model, or other recordings or --channels.") from error
    begin(module, options.start)
    valid = None
    if options.valid is not None:
        held = options.valid
        valid = ValidationTrials(held.trials.windows[:, 0], held.trials.labels + len(targets))
        targets = np.concatenate([targets, _targets(held.embeddings, held.structure)[0]])
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    fit_whole_trials(
        module,
        trials.windows[:, 0],
        trials.labels,
        targets,
        people=trials.people,
        settings=replace(
            _settings(published.settings, recipe, options, validated=valid is not None),
            structure=StructuralHead(structure_dim) if structure_dim else None,
        ),
        valid=valid,
        checkpoint=options.folder,
        progress=options.progress,
    )
    return _trained(module.to("cpu"), recipe, structure_dim)


def _targets(
    embeddings: npt.NDArray[np.float32], structure: npt.NDArray[np.float32] | None
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the targets of both heads side by side, and the dimension of the second; 0 without one."""
    if structure is None:
        return embeddings, 0
    return np.concatenate([embeddings, structure], axis=1), structure.shape[1]


def _settings(
    published: WholeTrialSettings, recipe: Recipe, options: FitOptions, *, validated: bool
) -> WholeTrialSettings:
    schedule, norm = recipe.schedule, recipe.gallery.space.norm
    begun = options.start.given
    stops = tuple(schedule.stop(k) - schedule.start(k) for k in range(recipe.n_latencies))
    return replace(
        published,
        n_epochs=options.n_epochs or published.n_epochs,
        batch_size=options.batch_size or published.batch_size,
        learning_rate=options.learning_rate or published.learning_rate * (FINE_TUNING if begun else 1.0),
        loss=_CATEGORIES if norm == "none" else published.loss,
        norm="none" if norm == "none" else "unit",
        truncate=Truncation(stops) if recipe.n_latencies > 1 else None,
        patience=published.patience if validated else None,
        seed=options.seed,
    )


def _trained(module: nn.Module, recipe: Recipe, structure_dim: int) -> Trained:
    schedule, n_latencies = recipe.schedule, recipe.n_latencies

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float32]:
        dimension = embed_whole(module, grown(windows[:1], schedule, 0)).shape[1] - structure_dim
        embeddings = np.zeros((len(windows), n_latencies, dimension), np.float32)
        # Of a window without an onset nothing is known.
        for k in range(n_latencies if known else 0):
            embeddings[:, k] = embed_whole(module, grown(windows, schedule, k))[:, :dimension]
        return embeddings

    def structure(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return embed_whole(module, windows[:, 0])[:, -structure_dim:]

    def export(windows: npt.NDArray[np.float32]) -> bytes:
        some = np.concatenate([windows[:, 0], grown(windows, schedule, 0)])
        latencies_s = np.full(len(some), float(schedule.length_s), np.float32)
        latencies_s[1::3] = UNKNOWN_LATENCY
        return export_encoder(WholeTrial(module, structure_dim=structure_dim), some, latencies_s)

    projector = module.gallery_projector() if isinstance(module, Projection) else None
    return Trained(embed, export, state_of(module), projector, structure if structure_dim else None)
