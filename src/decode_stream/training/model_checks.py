"""What a model can make nothing of: refused before anything is read."""

from collections.abc import Callable

from decode_stream.config import Model, TrainConfig
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace, PublicWeights
from decode_stream.decoders.recipe import Recipe
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import Modality

from .models import MODELS, loaded, trial_spec

__all__ = ["check_config", "check_network", "check_prior_space", "check_starts", "check_structure"]

#: Losses that ask for the target's numbers, not only to tell pictures apart.
_REGRESSIONS = ("mse-cosine", "mse-cosine-contrast", "clip-mse", "atm-reconstruction")


def check_starts(model: Model) -> None:
    """Refuse weights to begin with, or other people's recordings, for a model that can make nothing of them.

    Raises
    ------
    UsageError
    """
    if MODELS[model].check is None:
        can = ", ".join(name for name, entry in MODELS.items() if entry.check is not None)
        raise UsageError(
            f"--model {model} is solved from one person's trials alone: leave out --init-from and the recordings of "
            f"other people. Models that learn from others first: {can}."
        )


def check_network(model: Model, recipe: Recipe, options: FitOptions) -> PublicWeights | None:
    """Refuse a network that cannot be made for these trials, or weights that are not for it, before any is read.

    Returns
    -------
    PublicWeights or None
        What its weights come from, if published code has saved them.

    Raises
    ------
    UsageError
    """
    load = MODELS[model].check
    return None if load is None else loaded(load)(recipe, options)


def check_structure(model: Model) -> None:
    """Refuse a second head for a model that has none.

    Raises
    ------
    UsageError
    """
    if not MODELS[model].two_heads:
        can = ", ".join(name for name, entry in MODELS.items() if entry.two_heads)
        raise UsageError(
            f"--model {model} has no second head: leave out --structure. Models that have one: {can}."
        )


def check_config(model: Model, config: TrainConfig) -> None:
    """Refuse what a model can make nothing of, before anything is read.

    Raises
    ------
    UsageError
    """
    trial_spec(model, config.modality, config.windows)
    if config.init_from:
        check_starts(model)
    if config.structure is not None:
        check_structure(model)
    if config.prior:
        _check_prior(model, config.modality)
    if config.target is not None and not MODELS[model].embeddings:
        raise UsageError(
            f"--model {model} decodes categories, not embeddings: leave out --target, or take --model encoding."
        )
    if config.loss in _REGRESSIONS and not MODELS[model].regresses:
        raise UsageError(
            f"--model {model} learns the space in which pictures are compared, and --loss {config.loss} would make all "
            "of them one point of it. Take a loss that tells pictures apart: info-nce, soft-clip, bimixco."
        )
    steps = {
        "epochs": config.epochs,
        "batch-size": config.batch_size,
        "learning-rate": config.learning_rate,
        "loss": config.loss,
        "schedule": config.schedule,
    }
    given = ", ".join(f"--{name}" for name, value in steps.items() if value is not None)
    if given and MODELS[model].check is None:
        raise UsageError(f"--model {model} is solved at once, not in steps: leave out {given}.")


def _check_prior(model: Model, modality: Modality) -> None:
    """Refuse a prior on top of a model that gives nothing to draw from.

    Raises
    ------
    UsageError
    """
    can = [
        name
        for name, entry in MODELS.items()
        if modality in entry.modalities
        and entry.embeddings
        and entry.regresses
        and (modality == "fmri" or entry.specs is not None)
    ]
    if model not in can:
        raise UsageError(
            f"--prior draws from one embedding of a whole trial that lies where the target's do, and --model {model} "
            f"gives none: leave out --prior. Models of {modality} that do: {', '.join(can)}."
        )


def check_prior_space(space: EmbeddingSpace) -> None:
    """Refuse a prior of embeddings that it cannot draw.

    Raises
    ------
    UsageError
    """

    def load() -> Callable[[EmbeddingSpace], object]:
        from .fit_prior import prior_config

        return prior_config

    loaded(load)(space)
