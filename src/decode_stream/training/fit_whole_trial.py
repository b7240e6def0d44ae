"""Fits the published encoders of whole trials for `train`; needs torch."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from decode_stream.config import Model
from decode_stream.decoders.encoders.projection import Projection
from decode_stream.decoders.encoders.whole_trial import KnowsPeople, WholeTrial, embed_whole
from decode_stream.decoders.epochs import TrialSet, grown
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import PublicWeights
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.recipe import Check, Fit, Recipe, Trained
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.decoders.training.augmentations import Truncation
from decode_stream.decoders.training.loss_spec import LossSpec
from decode_stream.decoders.training.whole_trial_data import ValidationTrials
from decode_stream.decoders.training.whole_trial_settings import StructuralHead, WholeTrialSettings
from decode_stream.decoders.training.whole_trials import fit_whole_trials
from decode_stream.export.onnx import export_encoder

from .network_state import origin_of, state_of, told_too_few, with_options
from .picture_targets import PictureTargets, TargetPart, of_gallery
from .whole_trial_models import PUBLISHED, told_places, told_voxels, whole_trial_network

__all__ = ["whole_trial_check", "whole_trial_fit"]

#: Categories have no lengths to compare: a softmax over their inner products, as in a classifier.
_CATEGORIES = LossSpec(temperature=1.0, normalise="none")
#: Trials that are embedded at once, at most.
_MOST_AT_ONCE = 256


def whole_trial_check(model: Model) -> Check:
    """Return what makes an encoder of whole trials as it begins, by its name."""

    def check(recipe: Recipe, options: FitOptions) -> PublicWeights | None:
        module = whole_trial_network(model, recipe, options.start, options.seed)
        notes = (told_places(model, recipe), told_voxels(model, recipe, options.start))
        for note in (*filter(None, notes), *told_too_few(_asked(model, recipe, options))):
            options.report(note)
        return origin_of(module, options.start)

    return check


def whole_trial_fit(model: Model) -> Fit:
    """Return what fits an encoder of whole trials, by its name."""

    def fit(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
        return _fit(model, trials, recipe, options)

    return fit


def _fit(model: Model, trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    people = trials.people
    n_people = 0 if people is None else int(people.max()) + 1
    module = whole_trial_network(model, recipe, options.start, options.seed, n_people=n_people)
    gallery, structure_dim = recipe.gallery, recipe.gallery.structure_dim
    unit = PUBLISHED[model].unit_targets and gallery.space.norm == "unit"
    parts, valid = [of_gallery(gallery)], None
    if (held := options.valid) is not None:
        n_learnt = len(parts[0].embeddings)
        valid = ValidationTrials(held.trials.windows[:, 0], held.trials.labels + n_learnt)
        parts.append(TargetPart(held.embeddings, held.structure))
    asked = _asked(model, recipe, options, n_people)
    settings = _settings(asked, recipe, structure_dim, options.seed, validated=valid is not None)
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    fit_whole_trials(
        module,
        trials.windows[:, 0],
        trials.labels,
        PictureTargets(parts, unit=unit),
        subjects=people if isinstance(module, KnowsPeople) else None,
        people=people,
        choices=None if gallery.captions is None else gallery.captions.starts,
        settings=settings,
        valid=valid,
        checkpoint=options.folder,
        progress=options.progress,
    )
    return _trained(module.to("cpu"), recipe, structure_dim, settings.batch_size)


def _asked(model: Model, recipe: Recipe, options: FitOptions, n_people: int = 0) -> WholeTrialSettings:
    """Return how the model's paper trains it, with what is asked for in its place."""
    published = PUBLISHED[model].settings
    share = PUBLISHED[model].rate_share(recipe, options.start, n_people)
    if recipe.gallery.space.norm == "none":
        # A category is no picture: what shows it again is no repeat.
        published = replace(published, loss=_CATEGORIES, one_repeat=False)
    return with_options(published, options, fine_tuning=share)


def _settings(
    asked: WholeTrialSettings, recipe: Recipe, structure_dim: int, seed: int, *, validated: bool
) -> WholeTrialSettings:
    schedule, norm = recipe.schedule, recipe.gallery.space.norm
    stops = tuple(schedule.stop(k) - schedule.start(k) for k in range(recipe.n_latencies))
    return replace(
        asked,
        structure=StructuralHead(structure_dim) if structure_dim else None,
        norm="none" if norm == "none" else "unit",
        truncate=Truncation(stops) if recipe.n_latencies > 1 else None,
        patience=asked.patience if validated else None,
        seed=seed,
    )


def _trained(module: nn.Module, recipe: Recipe, structure_dim: int, batch_size: int) -> Trained:
    schedule, n_latencies = recipe.schedule, recipe.n_latencies
    # A network that is trained on small batches may need as small ones to fit into memory.
    n_at_once = min(batch_size, _MOST_AT_ONCE)

    def seen(windows: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
        return windows[:, k] if schedule.first_s is None else grown(windows, schedule, k)

    def embed(windows: npt.NDArray[np.float32], known: bool) -> npt.NDArray[np.float32]:
        dimension = embed_whole(module, seen(windows[:1], 0)).shape[1] - structure_dim
        embeddings = np.zeros((len(windows), n_latencies, dimension), np.float32)
        # Of a window without an onset nothing is known.
        for k in range(n_latencies if known else 0):
            embeddings[:, k] = embed_whole(module, seen(windows, k), batch_size=n_at_once)[:, :dimension]
        return embeddings

    def structure(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return embed_whole(module, windows[:, 0], batch_size=n_at_once)[:, -structure_dim:]

    def export(windows: npt.NDArray[np.float32]) -> OnnxModel:
        some = np.concatenate([windows[:, 0], seen(windows, 0)])
        latencies_s = np.full(len(some), float(schedule.length_s), np.float32)
        latencies_s[1::3] = UNKNOWN_LATENCY
        return export_encoder(WholeTrial(module, structure_dim=structure_dim), some, latencies_s)

    projector = module.gallery_projector() if isinstance(module, Projection) else None
    return Trained(embed, export, state_of(module), projector, structure if structure_dim else None)
