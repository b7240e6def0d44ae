"""A pipeline of diffusers from a folder on this machine, made ready to teach a student."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from decode_stream.decoders.distillation.conditioning import Conditioning, conditioning
from decode_stream.decoders.generation.diffusers_pipelines import load_pipeline
from decode_stream.decoders.generation.diffusers_weights import load_adapter, quiet_diffusers
from decode_stream.decoders.training.checkpoint import module_digest
from decode_stream.stream.errors import UsageError

from .config import DistillConfig, Precision
from .distillation_rows import Conditions

__all__ = ["Teacher", "prepared", "read_pipeline"]


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A pipeline, ready to teach.

    Attributes
    ----------
    folder : Path
    family : str
        As of `load_pipeline`.
    pipeline
    device : torch.device
        Where its U-Net is.
    dtype : torch.dtype
        In which networks compute.
    side_px : int
        Side of its pictures.
    condition : Conditioning
    many_steps : DDIMScheduler
    few_steps : LCMScheduler
        Of its students.
    digest : str
        SHA-256 of its U-Net.
    """

    folder: Path
    family: str
    pipeline: Any
    device: torch.device
    dtype: torch.dtype
    side_px: int
    condition: Conditioning
    many_steps: Any  # DDIMScheduler
    few_steps: Any  # LCMScheduler
    digest: str

    @property
    def autoencoder_name(self) -> str:
        """Name of the part that makes pictures of latents."""
        return "movq" if self.family == "kandinsky" else "vae"

    @property
    def autoencoder(self) -> Any:
        """What makes pictures of latents."""
        return getattr(self.pipeline, self.autoencoder_name)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        side = self.side_px // _scale(self.autoencoder)
        return int(self.pipeline.unet.config.in_channels), side, side


def read_pipeline(folder: Path, config: DistillConfig) -> tuple[str, Any]:
    """Return the family of a pipeline and the pipeline, with its adapter.

    Raises
    ------
    UsageError
        If a part is missing or pickled, or the adapter is of another network.
    """
    family, pipeline = load_pipeline(folder)
    if config.ip_adapter is not None:
        if family not in ("sd", "sdxl"):
            raise UsageError(
                f"{folder} is conditioned on embeddings by itself; --ip-adapter is for Stable Diffusion and SDXL."
            )
        if not config.ip_adapter.is_file() or config.ip_adapter.suffix != ".safetensors":
            raise UsageError(
                f"{config.ip_adapter} is no .safetensors file; pickled weights, which run code when they are read, are "
                "not read. Give the adapter's .safetensors file."
            )
        load_adapter(pipeline, config.ip_adapter)
    return family, pipeline


def prepared(folder: Path, family: str, pipeline: Any, told: Conditions, config: DistillConfig) -> Teacher:
    """Return a pipeline as a teacher of what its embeddings are.

    Raises
    ------
    UsageError
        If it is not conditioned on embeddings, or on those of another encoder.
    """
    from diffusers import DDIMScheduler, LCMScheduler

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    autoencoder = pipeline.movq if family == "kandinsky" else pipeline.vae
    side_px = config.side_px or int(pipeline.unet.config.sample_size) * _scale(autoencoder)
    neutral = None if told.neutral is None else torch.from_numpy(told.neutral)
    condition = conditioning(pipeline, device, side_px, neutral)
    condition.check(told.space.dimension, f"{told.space.model} ({told.space.layer})")
    if condition.nothing is None and config.guidance[1] > 1:
        raise UsageError(
            f"What {folder} draws of nothing is not known from a file of embeddings. Give a --target that embeds "
            "pictures, or --guidance 1 1 for none."
        )
    digest = module_digest(pipeline.unet)
    with quiet_diffusers():
        # What the pipeline's own sampler adds at random or clips is no part of its way.
        many = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False)
        few = LCMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.unet.to(device)
    autoencoder.to(device).requires_grad_(False)
    if config.save_memory:
        pipeline.unet.enable_gradient_checkpointing()
    dtype = _precision(config.precision, device)
    return Teacher(folder, family, pipeline, device, dtype, side_px, condition, many, few, digest)


def _precision(asked: Precision, device: torch.device) -> torch.dtype:
    if asked != "auto":
        found: torch.dtype = getattr(torch, asked)
        if found == torch.float16 and device.type == "cpu":
            raise UsageError("--precision float16 needs a GPU. Leave it out, or give bfloat16.")
        return found
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _scale(autoencoder: Any) -> int:
    """Return the pixels a side of a number of the latents."""
    return int(2 ** (len(autoencoder.config.block_out_channels) - 1))
