"""The models that `decode-stream train` fits: what each asks of its trials, and what fits it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from decode_stream.config import Model, RidgeModel
from decode_stream.decoders.manifest import PriorTraining
from decode_stream.decoders.prior_part import PriorPart
from decode_stream.decoders.recipe import Check, Fit, Recipe
from decode_stream.decoders.trial_spec import TrialSpec
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Modality

__all__ = [
    "MODELS",
    "ModelEntry",
    "default_model",
    "fitter",
    "known_model",
    "loaded",
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

    return loaded(load)


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
    return loaded(MODELS[model].load)


def loaded(load: Callable[[], _Loaded]) -> _Loaded:
    """Return what a function imports.

    Raises
    ------
    UsageError
        If a library that it needs is not installed.
    """
    try:
        return load()
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Training needs {missing.name}, which is not installed. "
            "Install it with: pip install 'decode-stream[train]'"
        ) from missing
