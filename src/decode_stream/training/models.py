"""The models that `decode-stream train` fits: what each asks of its trials, and what fits it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from decode_stream.config import Model, RidgeModel, TrainConfig
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace, PriorTraining, PublicWeights
from decode_stream.decoders.prior_part import PriorPart
from decode_stream.decoders.recipe import Check, Fit, Recipe
from decode_stream.decoders.trial_spec import TrialSpec
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Modality

__all__ = [
    "MODELS",
    "ModelEntry",
    "check_config",
    "check_network",
    "check_prior_space",
    "check_starts",
    "check_structure",
    "default_model",
    "fitter",
    "known_model",
    "prior_fitter",
    "prior_folds",
    "trial_spec",
]

#: As the published decoders take THINGS-EEG2 and THINGS-MEG, but by causal filters.
_WHOLE_TRIALS: dict[Modality, TrialSpec] = {
    "eeg": TrialSpec(250.0, (0.1, 100.0), 1.0, growing=True, first_s=0.1, baseline_s=(-0.2, 0.0)),
    "meg": TrialSpec(200.0, (0.1, 40.0), 1.0, growing=True, first_s=0.1, baseline_s=(-0.1, 0.0)),
}
#: The usual rate and band of the modality; 600 ms, as our own windows cover.
_LINEAR: dict[Modality, TrialSpec] = {
    modality: TrialSpec(length_s=0.6, growing=True, first_s=0.1) for modality in ("eeg", "meg")
}
#: Benchetrit et al. (2024): 120 samples a second.
_AT_120_HZ = {
    modality: replace(spec, sfreq_hz=120.0, band_hz=(0.1, 40.0)) for modality, spec in _WHOLE_TRIALS.items()
}
#: Lawhern et al. (2018): 128 samples a second.
_AT_128_HZ = {
    modality: replace(spec, sfreq_hz=128.0, band_hz=(0.1, 40.0)) for modality, spec in _WHOLE_TRIALS.items()
}

#: Losses that ask for the target's numbers, not only to tell pictures apart.
_REGRESSIONS = ("mse-cosine", "mse-cosine-contrast", "clip-mse", "atm-reconstruction")

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True)
class ModelEntry:
    """A model.

    Attributes
    ----------
    load : callable
        Returns what fits it; its libraries are loaded then, so that nothing else waits for torch.
    modalities : tuple of str
    specs : dict of str to TrialSpec
        By modality what it asks of trials, where that is not the windows of 100 ms that slide.
    check : callable or None
        Of a network, which can begin with given weights: returns its `Check`.
    two_heads : bool
        Whether it can give structure besides.
    embeddings : bool
        Whether it decodes embeddings, not categories alone.
    regresses : bool
        Whether its embeddings are the target's own, and not of a space that it learns.
    own_channels : bool
        Whether people that it learns from may each have channels of their own.
    check_memory : callable or None
        Of what is solved at once: refuses, before a trial is read, recordings that the free memory cannot hold.
    """

    load: Callable[[], Fit]
    modalities: tuple[Modality, ...] = ("eeg", "meg")
    specs: dict[Modality, TrialSpec] | None = None
    check: Callable[[], Check] | None = None
    two_heads: bool = False
    embeddings: bool = True
    regresses: bool = True
    own_channels: bool = False
    check_memory: Callable[[Recipe, Sequence[Recording]], None] | None = None


def _channel_attention() -> Fit:
    from .fit_channel_attention import fit_channel_attention

    return fit_channel_attention


def _channel_attention_check() -> Check:
    from .fit_channel_attention import check_channel_attention

    return check_channel_attention


def _encoding() -> Fit:
    from .fit_encoding_model import fit_encoding_encoder

    return fit_encoding_encoder


def _lda() -> Fit:
    from .fit_lda import fit_lda_encoder

    return fit_lda_encoder


def _linear() -> Fit:
    from .fit_linear import fit_linear_encoder

    return fit_linear_encoder


def _ridge(name: RidgeModel) -> ModelEntry:
    def load() -> Fit:
        from .fit_ridge import ridge_fit

        return ridge_fit(name)

    def check_memory(recipe: Recipe, recordings: Sequence[Recording]) -> None:
        from .fit_ridge import check_ridge_memory

        check_ridge_memory(name, recipe, recordings)

    return ModelEntry(load, ("fmri",), check_memory=check_memory)


def _volumes(name: Model, *, own_channels: bool = False) -> ModelEntry:
    """Return a network of fMRI, whose windows are what answers a picture, whatever their length."""
    return replace(_whole_trial(name, None), modalities=("fmri",), own_channels=own_channels)


def _whole_trial(
    name: Model, specs: dict[Modality, TrialSpec] | None, *, own_space: bool = False
) -> ModelEntry:
    def load() -> Fit:
        from .fit_whole_trial import whole_trial_fit

        return whole_trial_fit(name)

    def check() -> Check:
        from .fit_whole_trial import whole_trial_check

        return whole_trial_check(name)

    return ModelEntry(load, specs=specs, check=check, two_heads=not own_space, regresses=not own_space)


MODELS: dict[Model, ModelEntry] = {
    "channel-attention": ModelEntry(_channel_attention, check=_channel_attention_check, two_heads=True),
    "encoding": ModelEntry(_encoding),
    # Cosines of its windows would not add up to the whole trial's, so it takes that.
    "linear": ModelEntry(_linear, specs=_LINEAR),
    "lda": ModelEntry(_lda, embeddings=False),
    "ridge": _ridge("ridge"),
    "takagi": _ridge("takagi"),
    "brain-diffuser": _ridge("brain-diffuser"),
    "minddiffuser": _ridge("minddiffuser"),
    "nice": _whole_trial("nice", _WHOLE_TRIALS),
    "nice-sa": _whole_trial("nice-sa", _WHOLE_TRIALS),
    "nice-ga": _whole_trial("nice-ga", _WHOLE_TRIALS),
    "atm-s": _whole_trial("atm-s", _WHOLE_TRIALS),
    "eegnet": _whole_trial("eegnet", _AT_128_HZ),
    "projection": _whole_trial("projection", _WHOLE_TRIALS),
    "neurobridge": _whole_trial("neurobridge", _WHOLE_TRIALS, own_space=True),
    "spatial-attention": _whole_trial("spatial-attention", _AT_120_HZ),
    "mind-reader": _volumes("mind-reader"),
    "mindeye": _volumes("mindeye"),
    "mindeye2": _volumes("mindeye2", own_channels=True),
}


def default_model(modality: Modality, *, embeddings: bool) -> Model:
    """Return the model of a modality where none is asked for.

    Parameters
    ----------
    embeddings : bool
        Whether pictures are told by their embeddings, not by their categories.
    """
    if modality == "fmri":
        return "ridge"
    return "encoding" if embeddings else "channel-attention"


def known_model(name: str) -> Model:
    """Return the model of a name that a bundle bears.

    Raises
    ------
    UsageError
        If there is none.
    """
    for model in MODELS:
        if model == name:
            return model
    raise UsageError(f"There is no model {name!r}. There are: {', '.join(MODELS)}.")


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
    return None if load is None else _loaded(load)(recipe, options)


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


def prior_folds(model: Model) -> int:
    """Return in how many parts a prior's training trials are decoded, each by a model fitted on the others.

    A network is fitted in minutes to hours; what is solved at once may have more parts, and so more to learn from.
    """
    return 5 if MODELS[model].check is None else 3


def prior_fitter() -> Callable[..., tuple[PriorPart, PriorTraining]]:
    """Return what fits a prior.

    Raises
    ------
    UsageError
        If a library that it needs is not installed.
    """

    def load() -> Callable[..., tuple[PriorPart, PriorTraining]]:
        from .fit_prior import fit_bundle_prior

        return fit_bundle_prior

    return _loaded(load)


def check_prior_space(space: EmbeddingSpace) -> None:
    """Refuse a prior of embeddings that it cannot draw.

    Raises
    ------
    UsageError
    """

    def load() -> Callable[[EmbeddingSpace], object]:
        from .fit_prior import prior_config

        return prior_config

    _loaded(load)(space)


def trial_spec(model: Model, modality: Modality, windows: Literal["growing", "whole"]) -> TrialSpec | None:
    """Return what a model asks of trials; None for the usual of the modality.

    Parameters
    ----------
    windows : {"growing", "whole"}
        Whether an encoder of whole trials decodes each while it grows, or once.

    Raises
    ------
    UsageError
        If the model does not decode the modality, or whole trials.
    """
    entry = MODELS[model]
    if modality not in entry.modalities:
        names = [name for name, other in MODELS.items() if modality in other.modalities]
        raise UsageError(f"--model {model} does not decode {modality}; {modality} has {', '.join(names)}.")
    if entry.specs is None:
        if windows == "whole":
            names = [name for name, other in MODELS.items() if other.specs is not None]
            raise UsageError(
                f"--model {model} does not take whole trials: leave out --windows. Models that do: {', '.join(names)}."
            )
        return None
    spec = entry.specs[modality]
    return spec if windows == "growing" else replace(spec, first_s=None)


def fitter(model: Model) -> Fit:
    """Return what fits a model.

    Raises
    ------
    UsageError
        If a library that it needs is not installed.
    """
    return _loaded(MODELS[model].load)


def _loaded(load: Callable[[], _Loaded]) -> _Loaded:
    try:
        return load()
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Training needs {missing.name}, which is not installed. "
            "Install it with: pip install 'decode-stream[train]'"
        ) from missing
