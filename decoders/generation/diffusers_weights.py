"""Weights beside a pipeline: a distilled U-Net, low-rank additions, an IP-Adapter, a tiny autoencoder."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decode_stream.stream.errors import BundleError, UsageError

from .diffusers_files import require_weights, variant_of

__all__ = [
    "load_adapter",
    "load_tiny_autoencoder",
    "load_unet",
    "merge_lora",
    "needs_diffusers",
    "quiet_diffusers",
    "readable",
]

_PLAIN = "ip-adapter_sd15.safetensors or ip-adapter_sdxl_vit-h.safetensors"


@contextlib.contextmanager
def needs_diffusers() -> Iterator[None]:
    """Say how to install what is not installed.

    Raises
    ------
    UsageError
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"A generator of diffusers needs {missing.name}, which is not installed. Install it with: "
            "pip install 'decode-stream[train]'"
        ) from missing


@contextlib.contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Keep the libraries' advice and progress bars out of the user's terminal."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    logging: Any = diffusers_logging
    of_texts: Any = transformers_logging
    levels = logging.get_verbosity(), of_texts.get_verbosity()
    barred = of_texts.is_progress_bar_enabled()
    logging.set_verbosity_error()
    of_texts.set_verbosity_error()
    logging.disable_progress_bar()
    of_texts.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(levels[0])
        of_texts.set_verbosity(levels[1])
        logging.enable_progress_bar()
        if barred:
            of_texts.enable_progress_bar()


@contextlib.contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn whatever the libraries raise for files that are damaged or another model's into one message.

    Raises
    ------
    BundleError
    """
    try:
        yield
    except (BundleError, UsageError):
        raise
    except Exception as error:
        # The libraries and their readers raise many kinds.
        words = str(error).strip().splitlines()
        raise BundleError(
            f"{path} cannot be read {what}: {words[0][:300] if words else type(error).__name__} Check that its files "
            "are whole and belong together."
        ) from error


def load_unet(path: Path, base: Path) -> Any:
    """Return a U-Net whose weights stand in the place of a pipeline's.

    Parameters
    ----------
    path : Path
        A folder with a configuration, or a file of weights for the pipeline's own configuration.
    base : Path
        The U-Net's folder of the pipeline.

    Raises
    ------
    BundleError
        If the weights are not of such a U-Net.
    """
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    kind: Any = UNet2DConditionModel
    with quiet_diffusers(), readable(path, "as a U-Net"):
        if path.is_dir():
            require_weights(path)
            return kind.from_pretrained(
                str(path), local_files_only=True, use_safetensors=True, variant=variant_of(path)
            )
        unet = kind.from_config(kind.load_config(str(base), local_files_only=True))
        unet.load_state_dict(load_file(path))
        return unet.float()


def merge_lora(unet: Any, path: Path) -> None:
    """Add low-rank weights to those of a U-Net, for good (Hu et al. 2022, arXiv 2106.09685).

    Parameters
    ----------
    unet : UNet2DConditionModel
    path : Path
        A file in the form of diffusers, of PEFT or of kohya-ss.

    Raises
    ------
    BundleError
        If they are of another network.
    """
    from diffusers import StableDiffusionXLPipeline

    # Its reader knows all forms, and none of it depends on the pipeline.
    kind: Any = StableDiffusionXLPipeline
    with needs_diffusers(), quiet_diffusers(), readable(path, "as low-rank additions to this U-Net"):
        state, alphas, *_ = kind.lora_state_dict(
            str(path.parent), weight_name=path.name, local_files_only=True, unet_config=unet.config
        )
        unet.load_lora_adapter(
            {name: value for name, value in state.items() if name.startswith("unet.")},
            prefix="unet",
            network_alphas=alphas,
        )
        if not getattr(unet, "peft_config", None):
            raise BundleError(f"{path} adds nothing to this U-Net: it is of another network.")
        unet.fuse_lora()
        unet.unload_lora()


def load_adapter(pipeline: Any, path: Path) -> None:
    """Give a pipeline an IP-Adapter of pooled embeddings (Ye et al. 2023, arXiv 2308.06721).

    Parameters
    ----------
    pipeline : StableDiffusionPipeline or StableDiffusionXLPipeline
    path : Path
        A safetensors file.

    Raises
    ------
    BundleError
        If it is none, takes tokens instead of a pooled embedding, or is of another network.
    """
    from safetensors.torch import load_file

    with readable(path, "as an IP-Adapter"):
        tensors = load_file(path)
    state: dict[str, Any] = {
        part: {
            name.removeprefix(f"{part}."): value
            for name, value in tensors.items()
            if name.startswith(f"{part}.")
        }
        for part in ("image_proj", "ip_adapter")
    }
    if not all(state.values()):
        raise BundleError(
            f"{path} is no IP-Adapter: it holds no image_proj and ip_adapter. Give one such as {_PLAIN}."
        )
    if "proj.weight" not in state["image_proj"]:
        raise BundleError(
            f"{path} takes tokens or faces, not the pooled embedding of a picture. Give the plain adapter, such as "
            f"{_PLAIN}."
        )
    keys = [value for name, value in state["ip_adapter"].items() if name.endswith("to_k_ip.weight")]
    width = pipeline.unet.config.cross_attention_dim
    layers = [name for name in pipeline.unet.attn_processors if name.endswith("attn2.processor")]
    if len(keys) != len(layers) or any(key.shape[1] != width for key in keys):
        raise BundleError(
            f"{path} is an adapter of another network: it has {len(keys)} layers on tokens of "
            f"{keys[0].shape[1] if keys else 0} numbers, and this U-Net {len(layers)} on {width}. Those of Stable "
            "Diffusion 1.5 have 768, of 2.1 1024, of SDXL 2048."
        )
    with quiet_diffusers(), readable(path, "as an IP-Adapter of this U-Net"):
        pipeline.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
        pipeline.set_ip_adapter_scale(1.0)


def load_tiny_autoencoder(path: Path) -> Any:
    """Return a tiny autoencoder, as TAESD (github.com/madebyollin/taesd).

    Raises
    ------
    BundleError
        If the folder holds none, or pickled weights.
    """
    from diffusers import AutoencoderTiny

    kind: Any = AutoencoderTiny
    with quiet_diffusers(), readable(path, "as an AutoencoderTiny"):
        require_weights(path)
        return kind.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True, variant=variant_of(path)
        )
