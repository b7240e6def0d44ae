"""The latents of a variational autoencoder as a target: what a latent diffusion model starts from.

R. Rombach et al., High-resolution image synthesis with latent diffusion models, CVPR 2022. The weights come from a
folder on this machine; nothing is fetched.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError

from .target import Embeddings, Picture, Target

__all__ = ["vae_target"]

_CONFIG, _WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
_LEAST_PX, _SIDE_PX, _MOST_PX = 64, 256, 1024
_BATCH = 4


def vae_target(name: str) -> Target:
    """Return the latents of an autoencoder of the kind ``AutoencoderKL`` or ``VQModel`` as a target.

    Parameters
    ----------
    name : str
        ``vae:FOLDER`` or ``vae:FOLDER:SIDE``, with the folder of the autoencoder or of a pipeline that has one in
        ``vae/``, and the side of the pictures in pixels, 64 to 1024, 256 by default. A picture is cropped to its middle
        square and scaled. A latent is the mean of its distribution, (mean - shift) x scaling factor, which is what
        diffusion models of this autoencoder work on; of a ``VQModel``, as Kandinsky's, it is what comes before the
        codebook, unscaled.

    Raises
    ------
    UsageError
        If the folder or a library is missing, the files are no such autoencoder, or the side does not suit it.
    """
    folder, side_px = _split(name)
    model, digest = _load(folder)
    # Each level but the last halves the picture.
    halved = 2 ** (len(model.config.block_out_channels) - 1)
    if not _LEAST_PX <= side_px <= _MOST_PX or side_px % halved:
        raise UsageError(
            f"--target is {name!r}; the side is {_LEAST_PX} to {_MOST_PX} pixels and a multiple of {halved}, as in "
            f"vae:{folder}:{_SIDE_PX}."
        )
    shape = (int(model.config.latent_channels), side_px // halved, side_px // halved)
    space = EmbeddingSpace(
        f"vae {digest[:12]}",
        f"latents of {side_px} px",
        prod(shape),
        shape=shape,
        preparation="middle square, bicubic",
    )
    return Target(name, space, _encoder(model, side_px, space.dimension))


def _split(name: str) -> tuple[Path, int]:
    """Return folder and side; a path may hold colons, as on Windows."""
    _, _, rest = name.partition(":")
    before, _, last = rest.rpartition(":")
    folder, side_px = (before, int(last)) if before and last.isdecimal() else (rest, _SIDE_PX)
    if not folder:
        raise UsageError(f"--target is {name!r}; write vae:FOLDER, as in vae:/data/sd-vae-ft-mse.")
    path = Path(folder).expanduser()
    return (path if (path / _CONFIG).is_file() else path / "vae"), side_px


def _load(folder: Path) -> tuple[Any, str]:
    """Return the autoencoder, and what tells its design and weights from others."""
    config, weights = folder / _CONFIG, folder / _WEIGHTS
    for file in (config, weights):
        if not file.is_file():
            raise UsageError(
                f"There is no {file}. Nothing is downloaded: get the autoencoder (such as stabilityai/sd-vae-ft-mse, "
                f"{_CONFIG} and {_WEIGHTS}) on a machine with a network, copy its folder here, and give its path."
            )
    try:
        import torch
        from diffusers import AutoencoderKL, VQModel
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Latents need {missing.name}, which is not installed. Install it with: pip install 'decode-stream[train]'"
        ) from missing
    try:
        described = json.loads(config.read_text(encoding="utf-8"))
        # Without the folder's name and versions, so that a copy is the same; with all that decides a latent.
        design = {key: value for key, value in described.items() if not key.startswith("_")}
        kind: Any = VQModel if described.get("_class_name") == "VQModel" else AutoencoderKL
        model = kind.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    except Exception as error:
        # The library and its readers raise many kinds for files that are damaged or another model's.
        words = str(error).strip().splitlines()
        raise UsageError(
            f"{folder} cannot be loaded as an autoencoder: {words[0] if words else type(error).__name__} Check that "
            "its files are whole and belong together."
        ) from error
    digest = hashlib.sha256(json.dumps(design, sort_keys=True).encode())
    with weights.open("rb") as opened:
        digest.update(hashlib.file_digest(opened, "sha256").digest())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device), digest.hexdigest()


def _encoder(model: Any, side_px: int, dimension: int) -> Callable[[Sequence[Picture]], Embeddings]:
    import torch

    shift = getattr(model.config, "shift_factor", None) or 0.0
    device = next(model.parameters()).device

    def encode(pictures: Sequence[Picture]) -> Embeddings:
        embeddings = np.empty((len(pictures), dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pictures), _BATCH):
                some = np.stack([_square(picture, side_px) for picture in pictures[start : start + _BATCH]])
                batch = torch.from_numpy(some).permute(0, 3, 1, 2).to(device)
                found = model.encode(batch)
                if "latents" in found:
                    latents = found.latents
                else:
                    latents = (found.latent_dist.mean - shift) * model.config.scaling_factor
                embeddings[start : start + _BATCH] = latents.float().flatten(1).cpu().numpy()
        return embeddings

    return encode


def _square(picture: Picture, side_px: int) -> npt.NDArray[np.float32]:
    """Return the middle square, scaled, from -1 to 1."""
    image = ImageOps.fit(Image.fromarray(picture), (side_px, side_px), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32) / 127.5 - 1
