"""The weights of a network: those that it begins with, and those that a bundle keeps; and its steps. Needs torch."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import file_digest
from typing import Any, TypeVar, cast

import numpy.typing as npt
import torch
from torch import Tensor, nn

from decode_stream.decoders.encoders.atm import Atm
from decode_stream.decoders.encoders.public_weights import HasPublicWeights, load_public_weights
from decode_stream.decoders.encoders.whole_trial import KnowsPeople
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import PublicWeights
from decode_stream.decoders.training.fitting import FitSettings
from decode_stream.decoders.training.loss_spec import LOSSES
from decode_stream.decoders.training.schedules import STEP_EPOCHS
from decode_stream.decoders.training.whole_trial_settings import WholeTrialSettings
from decode_stream.stream.errors import UsageError

__all__ = ["FINE_TUNING", "begin", "check_public", "origin_of", "state_of", "told_too_few", "with_options"]

#: A network that was trained before learns at this share of its rate: UBP's 1e-5 after 1e-4.
FINE_TUNING = 0.1

_Settings = TypeVar("_Settings", FitSettings, WholeTrialSettings)


def begin(module: nn.Module, start: Start, *, known: bool = False) -> None:
    """Give a module the weights that it is to begin with.

    Where it has a layer for each person and the weights are of others, its people begin as it says; see `KnowsPeople`.

    Parameters
    ----------
    known : bool
        Whether the weights are of one person, and that person's channels are those of the module.

    Raises
    ------
    UsageError
        If they are of another network, or hold nothing of the person that is asked for.
    """
    if start.public:
        _begin_as_published(module, start)
    if start.weights is not None:
        weights = {name: torch.tensor(value) for name, value in start.weights.items()}
        if not known and isinstance(module, KnowsPeople) and module.state_dict().keys() == weights.keys():
            weights = module.for_new_people(weights)
        if differ := _differing(module, weights):
            raise UsageError(
                f"The bundle given to --init-from holds another network: {', '.join(differ[:5])}"
                f"{', ...' if len(differ) > 5 else ''} differ. Train with the same channels, rate, heads and target."
            )
        module.load_state_dict(weights)


def check_public(module: nn.Module) -> None:
    """Refuse a module of which no public weights are known.

    Raises
    ------
    UsageError
    """
    if not hasattr(module, "public_names"):
        raise UsageError(
            f"There are no public weights of {type(module).__name__} that --init-from could take. Give a bundle "
            "that this --model has made."
        )


def _begin_as_published(module: nn.Module, start: Start) -> None:
    check_public(module)
    adapt = None
    if isinstance(module, Atm):

        def adapt(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return module.for_new_people(module.for_public_person(weights, start.person))

    load_public_weights(cast(HasPublicWeights, module), start.public, adapt)


def _differing(module: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of what is not alike in a module and in weights for it, with both shapes."""
    own = module.state_dict()
    words = []
    for name in sorted(own.keys() | weights.keys()):
        there, here = (state[name].shape if name in state else None for state in (weights, own))
        if there != here:
            words.append(f"{name} ({_shape(there)}, here {_shape(here)})")
    return words


def _shape(shape: torch.Size | None) -> str:
    return "none" if shape is None else " x ".join(map(str, shape)) or "a number"


def origin_of(module: nn.Module, start: Start) -> PublicWeights | None:
    """Return where the weights come from that a module began with, if published code has saved them."""
    if not start.public:
        return start.origin
    files = {}
    for path in start.public:
        with path.open("rb") as file:
            files[str(path) if path.name in files else path.name] = file_digest(file, "sha256").hexdigest()
    published = cast(HasPublicWeights, module)
    return PublicWeights(files, published.public_code, published.kept_as_published())


def state_of(module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """Return the weights of a module, for a bundle to keep."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def with_options(settings: _Settings, options: FitOptions, *, fine_tuning: float = FINE_TUNING) -> _Settings:
    """Return settings with what is asked for in the place of a paper's.

    Parameters
    ----------
    fine_tuning : float
        By what the paper's learning rate is multiplied where there are weights to begin with.
    """
    return replace(
        settings,
        n_epochs=options.n_epochs or settings.n_epochs,
        batch_size=options.batch_size or settings.batch_size,
        learning_rate=options.learning_rate
        or settings.learning_rate * (fine_tuning if options.start.given else 1.0),
        schedule=options.schedule or settings.schedule,
        loss=settings.loss if options.loss is None else LOSSES[options.loss],
    )


def told_too_few(settings: FitSettings | WholeTrialSettings) -> list[str]:
    """Return in sentences what of the settings never comes about in as few epochs."""
    n_epochs, loss = settings.n_epochs, settings.loss
    step_epochs = settings.step_epochs if isinstance(settings, WholeTrialSettings) else STEP_EPOCHS
    has = f"and this training has {n_epochs}"
    told = []
    if settings.schedule == "step" and n_epochs <= step_epochs:
        told.append(
            f"--schedule step leaves the learning rate as it is: it lowers it after every {step_epochs} epochs, {has}"
        )
    if loss is not None and loss.name == "bimixco" and loss.mix_share and not loss.n_mixed(n_epochs):
        told.append(
            f"--loss bimixco mixes no trials: it mixes in the first {100 * loss.mix_share:.0f} % of the epochs, {has}"
        )
    plain_first = loss is not None and loss.contrast_weight and loss.contrast_from
    if loss is not None and plain_first and not loss.n_plain(n_epochs):
        told.append(
            "--loss mse-cosine-contrast contrasts from the beginning: it does without in the first "
            f"{100 * loss.contrast_from:.0f} % of the epochs, {has}"
        )
    return told
