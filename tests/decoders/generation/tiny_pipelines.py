"""Pipelines of diffusers with few random numbers, written as their authors publish theirs, for tests."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    KandinskyV22Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
    VQModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.numpy import save
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from decode_stream.decoders.generation.condition import EmbeddingBelief, LayoutMap, PictureModel
from decode_stream.decoders.generation.diffusers_files import PipelineFile, write_pipeline_file
from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator
from decode_stream.decoders.generation.picture_file import pack_pictures
from decode_stream.decoders.manifest import EmbeddingSpace

#: Numbers of an embedding, and of a token of text.
DIMENSION, WIDTH = 6, 8
SIDE_PX = 16
TABLE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SMALL: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "cross_attention_dim": WIDTH,
}


def unet(**more: Any) -> Any:
    torch.manual_seed(1)
    made: Any = UNet2DConditionModel(**{**_SMALL, **more})
    # Random weights would predict nearly nothing, whatever they are told.
    for name, value in made.named_parameters():
        if name.endswith("weight") and value.ndim > 1:
            value.data *= 1.6
    return made


def _vae() -> Any:
    torch.manual_seed(2)
    kind: Any = AutoencoderKL
    return kind(
        block_out_channels=(4, 4),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        scaling_factor=0.18215,
    )


def _text(projected: bool = False) -> Any:
    torch.manual_seed(3)
    config: Any = CLIPTextConfig(
        vocab_size=8,
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=6,
        projection_dim=WIDTH,
        bos_token_id=0,
        eos_token_id=1,
    )
    return CLIPTextModelWithProjection(config) if projected else CLIPTextModel(config)


@cache
def _tokenizer(folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<|startoftext|>", "<|endoftext|>", "a", "b", "a</w>", "b</w>", "ab", "ab</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\na b</w>\n")
    kind: Any = CLIPTokenizer
    return kind(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=6)


def write_pipeline(family: str, folder: Path, **of_unet: Any) -> None:
    """Write a pipeline of a family as save_pretrained does."""
    scheduler: Any = DDIMScheduler(**TABLE, clip_sample=False, steps_offset=1)
    kind: Any
    if family == "sd":
        kind = StableDiffusionPipeline
        made = kind(
            _vae(), _text(), _tokenizer(folder.parent / "words"), unet(**of_unet), scheduler, None, None,
            requires_safety_checker=False,
        )  # fmt: skip
    elif family == "sdxl":
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": WIDTH + 6 * 4,
            "cross_attention_dim": 2 * WIDTH,
        }
        words = _tokenizer(folder.parent / "words")
        kind = StableDiffusionXLPipeline
        made = kind(
            _vae(), _text(), _text(True), words, words, unet(**more, **of_unet), EulerDiscreteScheduler(**TABLE),
            add_watermarker=False,
        )  # fmt: skip
    elif family == "unclip":
        torch.manual_seed(4)
        normalizer: Any = StableUnCLIPImageNormalizer(embedding_dim=DIMENSION)
        normalizer.mean.data = torch.randn(1, DIMENSION)
        normalizer.std.data = 0.5 + torch.rand(1, DIMENSION)
        config: Any = CLIPVisionConfig(
            hidden_size=4, intermediate_size=4, projection_dim=DIMENSION, num_hidden_layers=1,
            num_attention_heads=1, image_size=4, patch_size=4,
        )  # fmt: skip
        of_images: Any = CLIPVisionModelWithProjection
        more = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2 * DIMENSION}
        kind = StableUnCLIPImg2ImgPipeline
        made = kind(
            CLIPImageProcessor(),
            of_images(config),
            normalizer,
            DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
            _tokenizer(folder.parent / "words"),
            _text(),
            unet(**more, **of_unet),
            DDIMScheduler(**TABLE, clip_sample=False, prediction_type="v_prediction"),
            _vae(),
        )
    else:
        more = {
            "out_channels": 8,
            "addition_embed_type": "image",
            "encoder_hid_dim": DIMENSION,
            "encoder_hid_dim_type": "image_proj",
            "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
            "resnet_time_scale_shift": "scale_shift",
        }
        torch.manual_seed(5)
        vq: Any = VQModel
        movq = vq(
            block_out_channels=(32, 32),  # its norm has 32 groups
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            num_vq_embeddings=5,
            norm_num_groups=2,
            vq_embed_dim=4,
            norm_type="spatial",
        )
        kind = KandinskyV22Pipeline
        table = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
        made = kind(unet(**more, **of_unet), DDIMScheduler(**table, clip_sample=False), movq)
    made.save_pretrained(str(folder))


def write_adapter(path: Path, base: Any, dimension: int = DIMENSION) -> None:
    """Write an IP-Adapter of four tokens for a U-Net."""
    random = torch.Generator().manual_seed(6)

    def drawn(*shape: int) -> Any:
        return torch.randn(shape, generator=random)

    width = base.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": drawn(4 * width, dimension),
        "image_proj.proj.bias": drawn(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    layers = [name for name in base.attn_processors if name.endswith("attn2.processor")]
    for k, name in enumerate(layers):
        inner = base.get_submodule(name.removesuffix(".processor")).to_k.out_features
        tensors[f"ip_adapter.{2 * k + 1}.to_k_ip.weight"] = drawn(inner, width)
        tensors[f"ip_adapter.{2 * k + 1}.to_v_ip.weight"] = 3 * drawn(inner, width)
    save_file(tensors, path)


def write_lora(path: Path, base: Any) -> None:
    """Write low-rank additions to the queries of a U-Net, as diffusers writes them."""
    random = torch.Generator().manual_seed(7)
    tensors = {}
    for name, layer in base.named_modules():
        if name.endswith("to_q"):
            tensors[f"unet.{name}.lora_A.weight"] = torch.randn((2, layer.in_features), generator=random)
            tensors[f"unet.{name}.lora_B.weight"] = torch.randn((layer.out_features, 2), generator=random)
    save_file(tensors, path)


def write_tiny_autoencoder(folder: Path, channels: int = 4) -> None:
    torch.manual_seed(8)
    kind: Any = AutoencoderTiny
    kind(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=channels,
    ).save_pretrained(str(folder))


@cache
def picture_model() -> PictureModel:
    random = np.random.default_rng(9)
    root = random.standard_normal((DIMENSION, DIMENSION))
    return PictureModel(
        random.standard_normal(DIMENSION).astype(np.float32),
        (root @ root.T / DIMENSION).astype(np.float32),
        (0, DIMENSION),
        LayoutMap(
            0.1 * random.standard_normal((12, DIMENSION)).astype(np.float32),
            np.full(12, 0.5, np.float32),
            2,
            2,
        ),
    )


def pictures_file(neutral: bool = False) -> bytes:
    model = picture_model()
    if not neutral:
        return pack_pictures(model)
    return save(
        {
            "mean": model.mean,
            "covariance": model.covariance,
            "neutral": np.linspace(-1, 1, DIMENSION, dtype=np.float32),
        }
    )


def write_generator(folder: Path, recipe: str, **more: Any) -> PipelineFile:
    """Write what lies beside the pipeline in a generator's folder, and return what its file says."""
    said = PipelineFile(
        f"tiny {recipe}", recipe, EmbeddingSpace("tiny clip", "image embedding", DIMENSION), SIDE_PX, **more
    )
    write_pipeline_file(folder, said)
    return said


def write_folders(folder: Path) -> None:
    """Write a folder for a generator of each family, with adapters and additions that fit beside the pipeline."""
    for family in ("sd", "sdxl", "unclip", "kandinsky"):
        (folder / family).mkdir()
        write_pipeline(family, folder / family / "pipeline")
        (folder / family / "pictures.safetensors").write_bytes(pictures_file(family == "kandinsky"))
        write_tiny_autoencoder(folder / family / "tiny")
    for family, width in (("sd", 8), ("sdxl", 16)):
        base = unet(cross_attention_dim=width)
        write_adapter(folder / family / "adapter.safetensors", base)
        write_lora(folder / family / "lora.safetensors", base)


def belief(n: int = 1, seed: int = 0, open_share: float = 0.3) -> EmbeddingBelief:
    random = np.random.default_rng(seed)
    mean = picture_model().mean + random.standard_normal((n, DIMENSION)).astype(np.float32)
    return EmbeddingBelief(mean.astype(np.float32), np.full((n, 2), open_share, np.float32))


def drawn(made: DiffusersGenerator, n_steps: int, given: EmbeddingBelief | None = None, seed: int = 1) -> Any:
    given = given or belief()
    return made.draw(made.pictures.condition(given), made.noise(seed, len(given.mean)), n_steps)
