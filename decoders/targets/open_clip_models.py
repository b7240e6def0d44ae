"""Models of open_clip with weights from a file on this machine: nothing is fetched.

The weights decide the embedding, so their hash is part of the space's name. They also decide how a picture is prepared
and which activation the network has, which a weights file does not say; that is looked up by the name they were
published under (their tag), and never guessed.
"""

import hashlib
import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decode_stream.stream.errors import UsageError, did_you_mean

__all__ = ["ClipModel", "load_clip", "split_name"]

_CONFIG = "open_clip_config.json"
_READ_BYTES = 1 << 24
_LAYER = re.compile(r"pooled|tokens|tokens-by-class|block-\d+|block-\d+-mean")


@dataclass(frozen=True, slots=True)
class _Preparation:
    """How a set of weights wants its pictures, and what it computes with."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    quick_gelu: bool

    def __str__(self) -> str:
        colours = " ".join(f"{value:g}" for value in (*self.mean, *self.std))
        gelu = "quick GELU" if self.quick_gelu else "GELU"
        return f"{self.resize_mode}, {self.interpolation}, colours {colours}, {gelu}"


@dataclass(frozen=True, slots=True, eq=False)
class ClipModel:
    """A model, ready to run.

    Attributes
    ----------
    name : str
        Of the model, and what tells its weights from others: ``open_clip ViT-B-32 0123456789ab``.
    config : dict
        Its design, as the library tells it.
    model, prepare
        The network, and what makes its input of a picture.
    preparation : str
        How pictures are prepared, in words.
    """

    name: str
    config: dict[str, Any]
    model: Any
    prepare: Any
    preparation: str


def split_name(name: str) -> tuple[str, Path, str]:
    """Return model, weights and layer of ``open_clip:MODEL:WEIGHTS[:LAYER]``; the layer is ``pooled`` by default.

    A path may hold colons, as on Windows: only a layer's name behind the last one is taken for a layer.

    Raises
    ------
    UsageError
        If a part is missing, or what stands in the layer's place is none.
    """
    family, _, rest = name.partition(":")
    model, _, weights = rest.partition(":")
    before, _, last = weights.rpartition(":")
    layer = "pooled"
    if before and _LAYER.fullmatch(last):
        weights, layer = before, last
    elif before and not Path(weights).expanduser().is_file() and Path(before).expanduser().is_file():
        raise UsageError(
            f"--target is {name!r}, and {last!r} is no layer. Layers are pooled, tokens, tokens-by-class, block-K and "
            "block-K-mean, with a number for K."
        )
    if not model or not weights:
        raise UsageError(
            f"--target is {name!r}; write {family}:MODEL:WEIGHTS, as in "
            f"{family}:ViT-B-32:/data/ViT-B-32.laion2b_s34b_b79k.safetensors."
        )
    return model, Path(weights).expanduser(), layer


def load_clip(model_name: str, weights: Path) -> ClipModel:
    """Return a model with its weights.

    Parameters
    ----------
    model_name : str
        As the library lists it.
    weights : Path
        A file of weights (.safetensors, .pt, .bin). Where the published weights of the model differ in how pictures
        are prepared, the file's name must hold the tag they were published under, or their ``open_clip_config.json``
        must lie beside them.

    Raises
    ------
    UsageError
        If the library or the file is missing, the model is unknown, or the weights are not the model's.
    """
    open_clip = _library()
    config = _model_config(open_clip, model_name)
    if not weights.is_file():
        raise UsageError(
            f"There are no weights at {weights}. Nothing is downloaded: get the weights of {model_name} on a machine "
            "with a network, copy the file here, and give its path."
        )
    how = _preparation(open_clip, model_name, weights)
    model, prepare = _load(open_clip, model_name, weights, how)
    return ClipModel(f"open_clip {model_name} {_sha256(weights)[:12]}", config, model, prepare, str(how))


def _library() -> Any:
    try:
        import open_clip
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Targets of open_clip need {missing.name}, which is not installed. Install it with: "
            "pip install 'decode-stream[train]'"
        ) from missing
    return open_clip


def _model_config(open_clip: Any, model_name: str) -> dict[str, Any]:
    config: dict[str, Any] | None = open_clip.get_model_config(model_name) if ":" not in model_name else None
    if config is None:
        raise UsageError(
            f"open_clip knows no model {model_name!r}.{did_you_mean(model_name, open_clip.list_models())} "
            "It lists them with: python -c 'import open_clip; print(open_clip.list_models())'"
        )
    if "hf_model_name" in config["text_cfg"]:
        raise UsageError(
            f"{model_name} takes the design of its text encoder from the Hugging Face hub, and nothing is downloaded "
            "here. Choose a model without, such as ViT-B-32 or ViT-L-14."
        )
    return config


def _preparation(open_clip: Any, model_name: str, weights: Path) -> _Preparation:
    """Return how the pictures are prepared: as the file beside the weights says, or as their tag does."""
    beside = weights.parent / _CONFIG
    if beside.is_file():
        try:
            said = json.loads(beside.read_text(encoding="utf-8"))
            return _as_preparation(
                said["preprocess_cfg"] | {"quick_gelu": said["model_cfg"].get("quick_gelu", False)}
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{beside} cannot be read ({type(error).__name__}: {error}); it should hold model_cfg and "
                "preprocess_cfg. Get it again from where the weights come from, or take it away."
            ) from error
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    known = {tag: _as_preparation(open_clip.get_pretrained_cfg(model_name, tag)) for tag in tags}
    named = [tag for tag in tags if tag in weights.name]
    if named:
        return known[max(named, key=len)]
    if len(set(known.values())) > 1:
        raise UsageError(
            f"The published weights of {model_name} do not all take their pictures alike, and {weights.name} does not "
            f"say which it is. Put the tag it was published under into its name ({', '.join(tags)}), or its "
            f"{_CONFIG} beside it."
        )
    return next(iter(known.values()), _as_preparation({}))


def _as_preparation(said: dict[str, Any]) -> _Preparation:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return _Preparation(
        tuple(said.get("mean", OPENAI_DATASET_MEAN)),
        tuple(said.get("std", OPENAI_DATASET_STD)),
        said.get("interpolation", "bicubic"),
        said.get("resize_mode", "shortest"),
        bool(said.get("quick_gelu", False)),
    )


def _load(open_clip: Any, model_name: str, weights: Path, how: _Preparation) -> tuple[Any, Any]:
    import torch

    try:
        model, _, prepare = open_clip.create_model_and_transforms(
            model_name,
            pretrained=str(weights),
            force_quick_gelu=how.quick_gelu,
            image_mean=how.mean,
            image_std=how.std,
            image_interpolation=how.interpolation,
            image_resize_mode=how.resize_mode,
            pretrained_text=False,
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{weights} holds more than weights, and running what a file brings along is refused. Get the weights as "
            "safetensors."
        ) from error
    except Exception as error:
        # The library and its readers raise many kinds for a file that is damaged or another model's.
        words = str(error).strip().splitlines()
        raise UsageError(
            f"{weights} cannot be loaded as the weights of {model_name}: {words[0] if words else type(error).__name__} "
            "Check that the file is whole and belongs to this model."
        ) from error
    return model.eval(), prepare


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
