"""The models that `decode-stream train` fits: what each asks of its trials, and what fits it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from decode_stream.config import Model, TrainConfig
from decode_stream.decoders.recipe import Fit
from decode_stream.decoders.trial_spec import TrialSpec
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import Modality

__all__ = [
    "MODELS",
    "ModelEntry",
    "check_config",
    "check_starts",
    "check_structure",
    "default_model",
    "fitter",
    "known_model",
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
    starts : bool
        Whether it can begin with given weights.
    two_heads : bool
        Whether it can give structure besides.
    embeddings : bool
        Whether it decodes embeddings, not categories alone.
    """

    load: Callable[[], Fit]
    modalities: tuple[Modality, ...] = ("eeg", "meg")
    specs: dict[Modality, TrialSpec] | None = None
    starts: bool = False
    two_heads: bool = False
    embeddings: bool = True


def _channel_attention() -> Fit:
    from .fit_channel_attention import fit_channel_attention

    return fit_channel_attention


def _encoding() -> Fit:
    from .fit_encoding_model import fit_encoding_encoder

    return fit_encoding_encoder


def _lda() -> Fit:
    from .fit_lda import fit_lda_encoder

    return fit_lda_encoder


def _linear() -> Fit:
    from .fit_linear import fit_linear_encoder

    return fit_linear_encoder


def _ridge() -> Fit:
    from .fit_ridge import fit_ridge_encoder

    return fit_ridge_encoder


def _whole_trial(name: Model) -> Callable[[], Fit]:
    def load() -> Fit:
        from .fit_whole_trial import whole_trial_fit

        return whole_trial_fit(name)

    return load


MODELS: dict[Model, ModelEntry] = {
    "channel-attention": ModelEntry(_channel_attention, starts=True),
    "encoding": ModelEntry(_encoding),
    # Cosines of its windows would not add up to the whole trial's, so it takes that.
    "linear": ModelEntry(_linear, specs=_LINEAR),
    "lda": ModelEntry(_lda, embeddings=False),
    "ridge": ModelEntry(_ridge, ("fmri",)),
    "nice": ModelEntry(_whole_trial("nice"), specs=_WHOLE_TRIALS, starts=True, two_heads=True),
    "nice-sa": ModelEntry(_whole_trial("nice-sa"), specs=_WHOLE_TRIALS, starts=True, two_heads=True),
    "nice-ga": ModelEntry(_whole_trial("nice-ga"), specs=_WHOLE_TRIALS, starts=True, two_heads=True),
    "atm-s": ModelEntry(_whole_trial("atm-s"), specs=_WHOLE_TRIALS, starts=True, two_heads=True),
    "eegnet": ModelEntry(_whole_trial("eegnet"), specs=_AT_128_HZ, starts=True, two_heads=True),
    "projection": ModelEntry(_whole_trial("projection"), specs=_WHOLE_TRIALS, starts=True, two_heads=True),
    "neurobridge": ModelEntry(_whole_trial("neurobridge"), specs=_WHOLE_TRIALS, starts=True),
    "spatial-attention": ModelEntry(
        _whole_trial("spatial-attention"), specs=_AT_120_HZ, starts=True, two_heads=True
    ),
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
    if not MODELS[model].starts:
        can = ", ".join(name for name, entry in MODELS.items() if entry.starts)
        raise UsageError(
            f"--model {model} is solved from one person's trials alone: leave out --init-from and the recordings of "
            f"other people. Models that learn from others first: {can}."
        )


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
    if config.target is not None and not MODELS[model].embeddings:
        raise UsageError(
            f"--model {model} decodes categories, not embeddings: leave out --target, or take --model encoding."
        )
    steps = {"epochs": config.epochs, "batch-size": config.batch_size, "learning-rate": config.learning_rate}
    given = ", ".join(f"--{name}" for name, value in steps.items() if value is not None)
    if given and not MODELS[model].starts:
        raise UsageError(f"--model {model} is solved at once, not in steps: leave out {given}.")


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
    try:
        return MODELS[model].load()
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Training needs {missing.name}, which is not installed. "
            "Install it with: pip install 'decode-stream[train]'"
        ) from missing
