"""The published encoders of whole trials, and how the paper of each trains it; needs torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from decode_stream.config import Model
from decode_stream.decoders.encoders.atm import Atm, AtmConfig
from decode_stream.decoders.encoders.categories import Categories, PeoplesCategories
from decode_stream.decoders.encoders.eegnet import EegNet, EegNetConfig
from decode_stream.decoders.encoders.electrode_places import standard_places
from decode_stream.decoders.encoders.mind_eye import MindEye, MindEyeConfig
from decode_stream.decoders.encoders.mind_eye2 import MindEye2, MindEye2Config
from decode_stream.decoders.encoders.mind_reader import MindReader, MindReaderConfig
from decode_stream.decoders.encoders.nice import Nice, NiceConfig
from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.encoders.spatial_attention import SpatialAttention, SpatialAttentionConfig
from decode_stream.decoders.encoders.whole_trial import KnowsPeople
from decode_stream.decoders.fit_options import Start
from decode_stream.decoders.recipe import Recipe
from decode_stream.decoders.training.augmentations import Smoothing
from decode_stream.decoders.training.loss_spec import LOSSES, PUBLISHED_LOSSES
from decode_stream.decoders.training.whole_trial_settings import WholeTrialSettings
from decode_stream.stream.errors import UsageError

from .network_size import check_size
from .network_state import FINE_TUNING, begin, check_public

__all__ = ["PUBLISHED", "Published", "is_known", "told_places", "told_voxels", "whole_trial_network"]

#: Dimension of the embedding that categories are told from.
_CATEGORY_WIDTH = 64


@dataclass(frozen=True)
class _Size:
    """What an encoder is made for; with the defects of the published code where its weights are to fit.

    Attributes
    ----------
    n_people : int
        Who each have a layer of their own, in an encoder that has such; 0 for one person alone.
    """

    n_channels: int
    n_times: int
    dimension: int
    recipe: Recipe
    as_published: bool
    n_people: int = 0


@dataclass(frozen=True)
class Published:
    """An encoder and how its paper trains it.

    Attributes
    ----------
    make : callable
        Takes the size and a seed.
    settings : WholeTrialSettings
    classifies : bool
        Whether what it gives can be one number a category; else a layer behind it gives those.
    unit_targets : bool
        Whether targets are brought to unit length before anything is made of them.
    fine_tuning : float
        Share of the learning rate at which a network goes on from the weights of other people.
    """

    make: Callable[[_Size, int], nn.Module]
    settings: WholeTrialSettings
    classifies: bool = False
    unit_targets: bool = False
    fine_tuning: float = FINE_TUNING

    def rate_share(self, recipe: Recipe, start: Start, n_people: int = 0) -> float:
        """Return at what share of its learning rate a network goes on from given weights."""
        return FINE_TUNING if is_known(recipe, start, n_people) else self.fine_tuning


def whole_trial_network(
    model: Model, recipe: Recipe, start: Start, seed: int, *, n_people: int = 0
) -> nn.Module:
    """Return an encoder of whole trials as it begins.

    Parameters
    ----------
    n_people : int
        Who each have a layer of their own, in an encoder that has such; 0 for one person alone.

    Raises
    ------
    UsageError
        If the encoder cannot be made for these trials, or the weights to begin with are not for it.
    """
    published, gallery = PUBLISHED[model], recipe.gallery
    layered = gallery.space.of_categories and not published.classifies
    dimension = _CATEGORY_WIDTH if layered else gallery.space.dimension + gallery.structure_dim
    n_channels, n_times = recipe.chain.n_out, recipe.schedule.n_times
    size = _Size(n_channels, n_times, dimension, recipe, start.as_published, n_people)
    try:
        if recipe.modality == "fmri":
            check_size(partial(published.make, size, seed), model, n_channels, dimension)
        module = published.make(size, seed)
    except ValueError as error:
        raise UsageError(f"{error} Give another --model, or other recordings or --channels.") from error
    if layered:
        if start.public:
            check_public(module)
            raise UsageError(
                "The weights that public code has saved are for embeddings of pictures, and these markers are "
                "categories. Give --target, or leave out --init-from."
            )
        width = module.config.output_dim if isinstance(module, Projection) else dimension
        kind = PeoplesCategories if isinstance(module, KnowsPeople) else Categories
        module = kind(module, width, gallery.space.dimension, seed)
    begin(module, start, known=is_known(recipe, start, n_people))
    return module


def is_known(recipe: Recipe, start: Start, n_people: int = 0) -> bool:
    """Return whether given weights are of the one person who is trained on, with the channels of the recipe."""
    return not n_people and start.same_person and start.channels == recipe.chain.channels


def _nice(attention: str) -> Published:
    def make(size: _Size, seed: int) -> nn.Module:
        shape = (size.n_channels, size.n_times, size.dimension)
        return Nice(NiceConfig(*shape, attention, attend_in_every_trial=not size.as_published), seed)

    return Published(make, WholeTrialSettings(loss=PUBLISHED_LOSSES["nice"], average_repeats=4))


def _atm(size: _Size, seed: int) -> nn.Module:
    # Of one person alone the token is the one that all others share.
    config = AtmConfig(
        size.n_channels,
        size.n_times,
        size.dimension,
        n_subjects=size.n_people,
        keep_every_channel=not size.as_published,
    )
    return Atm(config, seed)


def _eegnet(size: _Size, seed: int) -> nn.Module:
    return EegNet(EegNetConfig(size.n_channels, size.n_times, size.dimension), seed)


def _projection(size: _Size, seed: int) -> nn.Module:
    return Projection(ProjectionConfig(size.n_channels, size.n_times, size.dimension), seed)


def _neurobridge(size: _Size, seed: int) -> nn.Module:
    config = ProjectionConfig(size.n_channels, size.n_times, size.dimension, shared_dim=512)
    return Projection(config, seed)


def _spatial_attention(size: _Size, seed: int) -> nn.Module:
    positions = _places(size.recipe)
    if not any(positions):
        names = [channel.name for channel in size.recipe.channels]
        some = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        way = (
            "Give recordings that hold the places of the sensors (FIF or CTF)"
            if size.recipe.modality == "meg"
            else "Give recordings that hold places (.fif, BIDS), or name channels as the 10-05 system does (Oz, PO7)"
        )
        raise UsageError(
            "--model spatial-attention places channels by where their sensors are, and of none of these "
            f"{len(names)} that is known: {some}. {way}, or take another model."
        )
    # Live, a trial grows: what is known of its past must not change with what is not there yet.
    config = SpatialAttentionConfig(
        size.n_channels,
        size.n_times,
        size.dimension,
        positions_m=positions,
        n_subjects=max(1, size.n_people),
        causal=size.recipe.n_latencies > 1,
    )
    return SpatialAttention(config, seed)


def _mind_reader(size: _Size, seed: int) -> nn.Module:
    return MindReader(MindReaderConfig(size.n_channels, size.n_times, size.dimension), seed)


def _mind_eye(size: _Size, seed: int) -> nn.Module:
    return MindEye(MindEyeConfig(size.n_channels, size.n_times, *_tokens(size)), seed)


def _mind_eye2(size: _Size, seed: int) -> nn.Module:
    dimension, n_tokens, structure_dim = _tokens(size)
    config = MindEye2Config(
        size.n_channels,
        size.n_times,
        dimension,
        n_tokens,
        structure_dim,
        projector_width=dimension // n_tokens,
        n_subjects=max(1, size.n_people),
    )
    return MindEye2(config, seed)


def _tokens(size: _Size) -> tuple[int, int, int]:
    """Return the dimension of all tokens, their number, and the dimension of the second embedding."""
    space, structure_dim = size.recipe.gallery.space, size.recipe.gallery.structure_dim
    # What has no tokens is one.
    n_tokens = space.shape[0] if len(space.shape) == 2 else 1
    return size.dimension - structure_dim, n_tokens, structure_dim


def _places(recipe: Recipe) -> tuple[tuple[float, float, float] | None, ...]:
    """Return where the sensors are: as recorded, or else by the names of electrodes."""
    recorded = tuple(channel.position_m for channel in recipe.channels)
    # Recorded places and those of an average head do not go together: they have axes of their own.
    if any(recorded) or recipe.modality != "eeg":
        return recorded
    return standard_places([channel.name for channel in recipe.channels])


def told_places(model: Model, recipe: Recipe) -> str | None:
    """Return in a sentence where a network gets the places of its channels from, if not all from the recordings."""
    if model != "spatial-attention":
        return None
    recorded, places = [channel.position_m for channel in recipe.channels], _places(recipe)
    left_out = [channel.name for channel, place in zip(recipe.channels, places, strict=True) if place is None]
    words = (
        []
        if any(recorded)
        else ["electrodes are placed by their names, on the average head of the 10-05 system"]
    )
    if left_out:
        words.append(f"no place is known of {', '.join(left_out)}: left out")
    return "; ".join(words) or None


def told_voxels(model: Model, recipe: Recipe, start: Start) -> str | None:
    """Return in a sentence why the weights of a layer of somebody's own voxels are not taken."""
    if model != "mindeye2" or start.channels is None or is_known(recipe, start):
        return None
    there, here = start.channels, recipe.chain.channels
    if there != here:
        why = f"the {len(here)} voxels are not the {len(there)} of the bundle given to --init-from"
    else:
        why = (
            "nothing tells that the bundle given to --init-from is of the same person, as the name of a folder would "
            "(sub-01 or subj01), and voxels of two people may have the same names"
        )
    return f"{why}: the layer that takes them begins at random, all others with the bundle's weights"


_ADAM = (0.9, 0.999)
#: MindEye and MindEye2.
_ONE_CYCLE = WholeTrialSettings(
    learning_rate=3e-4,
    betas=_ADAM,
    weight_decay=1e-2,
    biases_decay=False,
    schedule="one-cycle",
    rise_epochs=2,
    final_divisor=1e3,
    loss=PUBLISHED_LOSSES["mind-eye"],
)
PUBLISHED: dict[Model, Published] = {
    "nice": _nice("none"),
    "nice-sa": _nice("self"),
    "nice-ga": _nice("graph"),
    # Its share of text is left out: the pictures of a lab have no words.
    "atm-s": Published(
        _atm,
        WholeTrialSettings(40, 64, 3e-4, _ADAM, loss=replace(PUBLISHED_LOSSES["atm-s"], text_weight=0.0)),
    ),
    "eegnet": Published(_eegnet, WholeTrialSettings(100, 64, 1e-3, _ADAM), classifies=True),
    "projection": Published(
        _projection,
        WholeTrialSettings(50, 1024, 1e-4, _ADAM, 1e-4, loss=PUBLISHED_LOSSES["ubp"], average_repeats=4),
    ),
    "neurobridge": Published(
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
    "spatial-attention": Published(
        _spatial_attention,
        WholeTrialSettings(100, 128, 3e-4, _ADAM, loss=PUBLISHED_LOSSES["benchetrit"], patience=10),
    ),
    "mind-reader": Published(
        _mind_reader,
        WholeTrialSettings(40, 32, 2e-4, _ADAM, 1e-5, "step", loss=LOSSES["mse-cosine-contrast"]),
        unit_targets=True,
    ),
    # An epoch of its paper shows each picture once, at one of its three repeats.
    "mindeye": Published(_mind_eye, replace(_ONE_CYCLE, n_epochs=240, batch_size=32, one_repeat=True)),
    "mindeye2": Published(
        _mind_eye2,
        replace(_ONE_CYCLE, n_epochs=150, batch_size=24),
        # Whoever is new has a layer that knows nothing yet.
        fine_tuning=1.0,
    ),
}
