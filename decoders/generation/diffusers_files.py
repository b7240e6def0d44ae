"""A generator of diffusers as a folder: what its `generator.json` says, and that all that it names is there.

Nothing is fetched and nothing is unpickled: weights are safetensors.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import BundleError, did_you_mean

from .diffusers_recipes import FAMILIES, RECIPES, Recipe

__all__ = [
    "BACK_END",
    "GENERATOR_FILE",
    "PipelineFile",
    "find_family",
    "inside",
    "read_pipeline_file",
    "require_weights",
    "variant_of",
    "write_pipeline_file",
]

GENERATOR_FILE = "generator.json"
BACK_END = "diffusers"
SCHEMA = 1

_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_CONFIGS = {
    "scheduler": "scheduler_config.json",
    "image_noising_scheduler": "scheduler_config.json",
    "tokenizer": "vocab.json",
    "tokenizer_2": "vocab.json",
}
_LACKS = "Nothing is downloaded: copy the whole pipeline here, as its save_pretrained writes it."


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """What `generator.json` says of a generator of diffusers; paths are relative to its folder.

    Attributes
    ----------
    name : str
        For people.
    recipe : str
        How it is run; see `RECIPES`.
    space : EmbeddingSpace
        Of the embeddings that it draws, as in the bundle of the decoder.
    side_px : int
        Side of its pictures.
    steps : tuple of int
        In how many steps it is to draw, fewest first; empty for the recipe's.
    pipeline : str
        Folder of the pipeline, with `model_index.json`.
    unet : str
        Weights in the place of those of the pipeline's U-Net: a file, or a folder of a U-Net with its own
        configuration. Empty for none.
    lora : str
        Weights that are added to the U-Net's; empty for none.
    adapter : str
        The IP-Adapter; empty where the pipeline is conditioned on embeddings by itself.
    autoencoder : str
        Folder of a tiny autoencoder (``AutoencoderTiny``) in the place of the pipeline's; empty for none.
    pictures : str
        Mean and covariance of the embeddings of pictures; see `unpack_pictures`.
    guidance : float or None
        Instead of the recipe's.
    embedding_scale : float
        What embeddings are multiplied by for the network, where it takes longer ones than the decoder gives.
    start : float
        Share of the noise at which drawing begins, from the decoded layout; 1 begins with noise alone.
    """

    name: str
    recipe: str
    space: EmbeddingSpace
    side_px: int
    steps: tuple[int, ...] = ()
    pipeline: str = "pipeline"
    unet: str = ""
    lora: str = ""
    adapter: str = ""
    autoencoder: str = ""
    pictures: str = "pictures.safetensors"
    guidance: float | None = None
    embedding_scale: float = 1.0
    start: float = 1.0

    @property
    def how(self) -> Recipe:
        """How it is run."""
        return RECIPES[self.recipe]

    @property
    def weights(self) -> dict[str, str]:
        """Paths of what lies beside the pipeline, by what it is: unet, lora, adapter, vae."""
        named = {"unet": self.unet, "lora": self.lora, "adapter": self.adapter, "vae": self.autoencoder}
        return {part: path for part, path in named.items() if path}

    @property
    def n_steps(self) -> tuple[int, ...]:
        """In how many steps it can draw, fewest first."""
        return self.steps or self.how.usual


def write_pipeline_file(folder: Path, said: PipelineFile) -> None:
    """Write `generator.json` into a folder."""
    raw = {"schema": SCHEMA, "back_end": BACK_END, **msgspec.to_builtins(said)}
    text = msgspec.json.format(msgspec.json.encode(raw), indent=1)
    (folder / GENERATOR_FILE).write_bytes(text + b"\n")


def read_pipeline_file(folder: Path) -> PipelineFile:
    """Return what the `generator.json` of a folder says.

    Raises
    ------
    BundleError
        If it is missing, of another back-end or schema, or says what cannot be.
    """
    path = folder / GENERATOR_FILE
    if folder.is_file():
        raise BundleError(
            f"{folder} is a file; a generator of diffusers is a folder. Unpack it, and give the folder."
        )
    try:
        raw = msgspec.json.decode(path.read_bytes())
        if not isinstance(raw, dict) or raw.get("back_end") != BACK_END:
            raise BundleError(
                f'{path} is of no generator of diffusers: it does not say "back_end": "{BACK_END}".'
            )
        if raw.get("schema") != SCHEMA:
            raise BundleError(
                f"{path} has schema {raw.get('schema')}, and this program reads {SCHEMA}. Install a newer "
                "decode-stream: pip install -U decode-stream"
            )
        known = {field.name for field in fields(PipelineFile)}
        for key in raw.keys() - known - {"schema", "back_end"}:
            raise BundleError(f"{path} says {key!r}, which means nothing here.{did_you_mean(key, known)}")
        said = msgspec.convert(raw, PipelineFile)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}. A generator of diffusers is a folder with this file; "
            "docs/generators.md tells what it says."
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise BundleError(f"{path} does not say what a generator needs: {error}") from error
    _check(said, path)
    return said


def _check(said: PipelineFile, path: Path) -> None:
    if said.recipe not in RECIPES:
        raise BundleError(
            f"{path} has the recipe {said.recipe!r}; there are {', '.join(RECIPES)}."
            f"{did_you_mean(said.recipe, RECIPES)}"
        )
    how, steps = said.how, said.n_steps
    if list(steps) != sorted(set(steps)) or not set(steps) <= set(how.can):
        counts = ", ".join(map(str, how.can)) if len(how.can) < 10 else f"{how.can[0]} to {how.can[-1]}"
        raise BundleError(
            f"{path} draws in {steps} steps; {said.recipe} draws in {counts}, the fewest named first."
        )
    if how.of_one_count and len(steps) > 1:
        raise BundleError(
            f"{path} draws in {steps} steps; weights of {said.recipe} are for one number of steps. Name that one."
        )
    if how.in_place and not (said.unet or said.lora):
        raise BundleError(
            f'{path} names no weights of {said.recipe}: give "lora" or "unet", the file that its authors published.'
        )
    if said.side_px < 8 or said.side_px % 8:
        raise BundleError(f"{path} draws pictures of {said.side_px} px; the side is a multiple of 8.")
    if not (
        0 < said.start <= 1 and said.embedding_scale > 0 and (said.guidance is None or said.guidance >= 0)
    ):
        raise BundleError(
            f"{path} has start {said.start}, embedding_scale {said.embedding_scale} and guidance {said.guidance}; "
            "start lies above 0 and up to 1, the scale above 0, guidance is not negative."
        )
    if said.start < 1 and how.explicit:
        raise BundleError(
            f"{path} begins at {said.start} of the noise, and {said.recipe} knows none but its own steps. Leave out "
            "start."
        )


def inside(folder: Path, name: str) -> Path:
    """Return a path that `generator.json` names.

    Raises
    ------
    BundleError
        If nothing is there, or weights are pickled.
    """
    path = folder / name
    if path.suffix in _PICKLES:
        raise _pickled(path)
    if not path.exists():
        raise BundleError(f"{folder / GENERATOR_FILE} names {name}, and there is no {path}. {_LACKS}")
    return path


def find_family(pipeline: Path, *, leave_out: tuple[str, ...] = ()) -> str:
    """Return the name of the family of a pipeline, once all parts of it are found to be there.

    Parameters
    ----------
    pipeline : Path
    leave_out : tuple of str
        Parts that something else stands in for.

    Raises
    ------
    BundleError
        If it is no pipeline that draws from embeddings, lacks a part, or has pickled weights.
    """
    index = pipeline / "model_index.json"
    try:
        said: Any = json.loads(index.read_text(encoding="utf-8"))
        name = str(said["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{pipeline} is no pipeline of diffusers: it has no {index.name} to be read."
        ) from error
    for family, of in FAMILIES.items():
        if name in of.classes:
            for part in of.parts:
                if part not in leave_out:
                    _require_part(pipeline, part)
            return family
    classes = ", ".join(of.classes[0] for of in FAMILIES.values())
    raise BundleError(f"{pipeline} is a {name}; what draws from embeddings here: {classes}.")


def _require_part(pipeline: Path, part: str) -> None:
    config = pipeline / part / _CONFIGS.get(part, "config.json")
    if part.startswith("tokenizer") and (pipeline / part / "tokenizer.json").is_file():
        return
    if not config.is_file():
        raise BundleError(f"The pipeline {pipeline} lacks its {part}: there is no {config}. {_LACKS}")
    if part not in _CONFIGS:
        require_weights(pipeline / part)


def require_weights(part: Path) -> None:
    """Refuse a part of a pipeline without weights in safetensors.

    Raises
    ------
    BundleError
    """
    if any(part.glob("*.safetensors")):
        return
    for path in sorted(part.iterdir()):
        if path.suffix in _PICKLES:
            raise _pickled(path)
    raise BundleError(f"{part} has no weights: there is no file that ends in .safetensors. {_LACKS}")


def variant_of(part: Path) -> str | None:
    """Return ``"fp16"`` where a part has its weights in half precision only, else None."""
    names = [path.name for path in part.glob("*.safetensors")]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def _pickled(path: Path) -> BundleError:
    return BundleError(
        f"{path} holds pickled weights, which run code when they are read; only safetensors are. Get the .safetensors "
        "of the same weights, or convert it where you trust it: safetensors.torch.save_file(torch.load(FILE, "
        "weights_only=True), OUT)."
    )
