"""Weights that public code has saved, into encoders of our own: read without running any of that code.

An encoder with public weights has a method ``public_names()``: the beginning of each name in the public state dict,
mapped to the beginning of the encoder's own name, or to None for what public code saves and never uses. So an encoder
may name its parts as it reads best, and several spellings of one parameter may be known.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor

from decode_stream.stream.errors import UsageError

__all__ = ["Adapt", "HasPublicWeights", "Source", "load_public_weights"]

#: One file, several, or what such files hold: tensors by name, or state dicts by the name of their part.
Source: TypeAlias = str | Path | Sequence[str | Path] | Mapping[str, Any]
#: Takes weights by an encoder's own names, and returns them as it may load them.
Adapt: TypeAlias = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]

_MOST_NAMED = 4


class HasPublicWeights(Protocol):
    """An encoder whose weights public code has saved.

    Attributes
    ----------
    public_code : str
        Where that code is.
    """

    public_code: str

    def kept_as_published(self) -> tuple[str, ...]:
        """Return what this encoder does as that code and otherwise than its paper, in a few words each."""
        ...

    def public_names(self) -> dict[str, str | None]:
        """Return the encoder's own name by public name, without a parameter's last parts where those agree.

        ``{"enc_eeg.0.tsconv.0": "convolution.temporal"}`` stands for weight and bias; the longest name that fits
        counts, and ``{"": ""}`` stands for an encoder that bears the public names itself. None: saved, never used.
        """
        ...

    def state_dict(self) -> dict[str, Tensor]: ...  # noqa: D102

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...  # noqa: D102


def load_public_weights(module: HasPublicWeights, source: Source, adapt: Adapt | None = None) -> None:
    """Load a state dict that public code has saved.

    Nothing in a file is executed: ``.safetensors`` holds numbers only, all else is read by ``torch.load`` with
    ``weights_only=True``. Names lose the part ``module`` that ``DataParallel`` adds. Where a file holds more than one
    state dict, the names of each begin with its name there, without the ending ``state_dict``: ``model_state_dict`` is
    ``model``, and Lightning's ``state_dict`` adds nothing. What else lies beside them, such as an optimizer, is left.

    An encoder that public code saves as several files takes all of them, each with the name of its part in the name of
    the file, as public code names it (``test0Enc_eeg_cls.pth``, ``test0Proj_eeg_cls.pth``), or one mapping
    ``{"Enc_eeg": ..., "Proj_eeg": ...}`` of state dicts.

    Parameters
    ----------
    module : HasPublicWeights
        Of the size that the weights were trained for; it is changed only if everything fits.
    source : path, sequence of paths, or mapping of str to Tensor or to state dict
    adapt : callable, optional
        Makes of the weights those of an encoder for other people.

    Raises
    ------
    UsageError
        If a file cannot be read or would have to run code, weights are missing, names are unknown, or shapes differ.
    """
    names = module.public_names()
    own = module.state_dict()
    given: dict[str, tuple[str, Tensor]] = {}
    unknown: list[str] = []
    twice: list[str] = []
    for public, tensor in _public_tensors(source, names):
        known = _beginning(public, names)
        if known is not None and names[known] is None:
            continue
        renamed = None if known is None else _renamed(public, known, names[known] or "")
        if renamed in given:
            twice.append(public)
        elif renamed in own:
            given[renamed] = (public, tensor)
        else:
            unknown.append(public)
    missing = [_public_name(name, names) for name in own if name not in given]
    tensors = {name: tensor for name, (_, tensor) in given.items()}
    if adapt is not None and not missing:
        tensors = adapt(tensors)
    differing = [
        f"{given[name][0]} {tuple(tensor.shape)}, not {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != own[name].shape
    ]
    what = {
        "missing": missing,
        "unknown": unknown,
        "given twice": twice,
        "of another shape than here": differing,
    }
    if wrong := [f"{title}: {_some(listed)}" for title, listed in what.items() if listed]:
        raise UsageError(
            f"The weights do not fit {type(module).__name__}; {'; '.join(wrong)}. Give the weights of this model, all "
            "of its files under the names that public code gives them, and build it with the channels, samples and "
            "dimensions they were trained for."
        )
    module.load_state_dict(tensors)


def _some(listed: list[str]) -> str:
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _beginning(name: str, known: Iterable[str]) -> str | None:
    """Return the longest known beginning of a name, in whole parts; None where there is none."""
    fitting = (one for one in known if one in ("", name) or name.startswith(f"{one}."))
    return max(fitting, key=len, default=None)


def _renamed(name: str, old: str, new: str) -> str:
    """Return a name with another beginning."""
    return f"{new}.{name[len(old) :].lstrip('.')}".strip(".")


def _public_name(own: str, names: Mapping[str, str | None]) -> str:
    """Return the first public spelling of an encoder's own name."""
    spellings: dict[str, str] = {}
    for public, mine in names.items():
        if mine is not None:
            spellings.setdefault(mine, public)
    beginning = _beginning(own, spellings)
    return own if beginning is None else _renamed(own, beginning, spellings[beginning])


def _public_tensors(source: Source, names: Mapping[str, str | None]) -> Iterator[tuple[str, Tensor]]:
    """Yield public name and tensor of all that was given."""
    if isinstance(source, Mapping):
        yield from _tensors(source, "The mapping")
        return
    parts = {name.partition(".")[0] for name in names}
    for path in map(Path, [source] if isinstance(source, str | Path) else source):
        tensors = list(_tensors(_read(path), str(path)))
        said = [part for part in parts if part and part.casefold() in path.stem.casefold()]
        if said and not any(name.partition(".")[0] in parts for name, _ in tensors):
            tensors = [(f"{max(said, key=len)}.{name}", tensor) for name, tensor in tensors]
        yield from tensors


def _tensors(content: Any, where: str) -> Iterator[tuple[str, Tensor]]:
    """Yield name and tensor of a state dict, or of the state dicts in a checkpoint."""
    content = content if isinstance(content, Mapping) else {}
    parts = {str(name).removesuffix("state_dict").rstrip("_"): value for name, value in content.items()}
    parts = {name: value for name, value in parts.items() if _is_state_dict(value)}
    if not parts:
        parts = {"": {name: value for name, value in content.items() if isinstance(value, Tensor)}}
    if not any(parts.values()):
        raise UsageError(f"{where} holds no weights: a state dict, tensors by name, was expected.")
    for part, state_dict in parts.items():
        for name, tensor in state_dict.items():
            yield ".".join(word for word in (part, *name.split(".")) if word not in ("", "module")), tensor


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())
    )


def _read(path: Path) -> Any:
    """Return what a file of weights holds, on the CPU."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"There is no file of weights at {path}.") from error
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} is no file of weights, or holds more than weights, and reading it would run code, which is never "
            "done. Save the state dict alone: torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # What damaged files raise is told nowhere.
        why = str(error).partition("\n")[0] or "it is empty or cut off"
        raise UsageError(f"{path} cannot be read as weights: {why}") from error
