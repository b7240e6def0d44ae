"""What does not fit a generator of diffusers, or is damaged, or pickled, is refused in words."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from decode_stream.decoders.generation.diffusers_generator import load_diffusers
from decode_stream.stream.errors import BundleError, UsageError

from .tiny_pipelines import (
    pictures_file,
    unet,
    write_adapter,
    write_generator,
    write_tiny_autoencoder,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def what_does_not_fit(root: Path) -> None:
    """Lay what does not fit beside what does."""
    for family in ("sdxl", "unclip", "kandinsky"):
        write_what_does_not_fit(root / family)


def write_what_does_not_fit(folder: Path) -> None:
    (folder / "adapter.bin").write_bytes(b"pickle")
    write_adapter(folder / "of-other-encoder.safetensors", unet(cross_attention_dim=16), 9)
    write_adapter(folder / "of-other-network.safetensors", unet(cross_attention_dim=24))
    other = {"unet.nothing.like.it.lora_A.weight": np.zeros((2, 3), np.float32)}
    save_file(other, folder / "of-other.safetensors")
    tokens = {
        "image_proj.latents": np.zeros((1, 2), np.float32),
        "ip_adapter.1.to_k_ip.weight": np.zeros((2, 2)),
    }
    save_file(tokens, folder / "plus.safetensors")
    write_tiny_autoencoder(folder / "tiny5", 5)
    (folder / "plain.safetensors").write_bytes(pictures_file())
    nine = {"mean": np.zeros(9, np.float32), "covariance": np.eye(9, dtype=np.float32)}
    save_file(nine, folder / "other.safetensors")


def refusals() -> dict[str, tuple[str, str, dict[str, Any], str]]:
    adapter = {"adapter": "adapter.safetensors"}
    return {
        "no adapter": ("sdxl", "sdxl-turbo", {}, "by an IP-Adapter, and none"),
        "no such file": ("sdxl", "sdxl-turbo", {"adapter": "nowhere.safetensors"}, "there is no"),
        "pickled": ("sdxl", "sdxl-turbo", {"adapter": "adapter.bin"}, "pickled"),
        "other encoder": ("sdxl", "sdxl-turbo", {"adapter": "of-other-encoder.safetensors"}, "takes 9"),
        "other network": (
            "sdxl",
            "sdxl-turbo",
            {"adapter": "of-other-network.safetensors"},
            "another network",
        ),
        "tokens": ("sdxl", "sdxl-turbo", {"adapter": "plus.safetensors"}, "pooled embedding"),
        "no adapter at all": ("sdxl", "sdxl-turbo", {"adapter": "pictures.safetensors"}, "no IP-Adapter"),
        "other family": ("sd", "sdxl-turbo", adapter, "recipe for sdxl"),
        "adapter of unclip": ("unclip", "unclip", {"adapter": "tiny"}, "without an adapter"),
        "other additions": (
            "sdxl",
            "lcm",
            {**adapter, "lora": "of-other.safetensors"},
            "adds nothing|cannot be read",
        ),
        "no weights": ("sdxl", "lcm", adapter, '"lora" or "unet"'),
        "other unet": ("sdxl", "lcm", {**adapter, "unet": "lora.safetensors"}, "cannot be read as a U-Net"),
        "other latents": ("sdxl", "sdxl-turbo", {**adapter, "autoencoder": "tiny5"}, "latents of 5 channels"),
        "tiny of kandinsky": ("kandinsky", "kandinsky", {"autoencoder": "tiny"}, "no tiny autoencoder"),
        "no neutral": ("kandinsky", "kandinsky", {"pictures": "plain.safetensors"}, '"neutral"'),
        "other pictures": ("unclip", "unclip", {"pictures": "other.safetensors"}, "for a space of 6"),
        "no pictures": ("unclip", "unclip", {"pictures": "tiny/config.json"}, "no file of pictures"),
        "recipe": ("sdxl", "sdxl-turbo", {**adapter, "recipe": "sdxl-turbos"}, "mean 'sdxl-turbo'"),
        "too many steps": ("sdxl", "sdxl-turbo", {**adapter, "steps": (1, 9)}, "draws in 1, 2, 3, 4"),
        "two counts": (
            "sdxl",
            "dmd2",
            {**adapter, "lora": "lora.safetensors", "steps": (1, 4)},
            "one number",
        ),
        "side": ("sdxl", "sdxl-turbo", {**adapter, "side_px": 12}, "multiple of 8"),
        "start": ("sdxl", "sdxl-turbo", {**adapter, "start": 0.0}, "start lies"),
        "start of own steps": (
            "sdxl",
            "dmd2",
            {**adapter, "lora": "lora.safetensors", "start": 0.5},
            "own steps",
        ),
        "too few steps": ("sdxl", "sdxl-turbo", {**adapter, "start": 0.001, "steps": (4,)}, "do not fit"),
    }


@pytest.mark.parametrize("case", refusals())
def test_what_does_not_fit_is_refused(case: str, root: Path) -> None:
    family, recipe, more, words = refusals()[case]
    folder = root / family
    write_generator(folder, recipe)
    path = folder / "generator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    with pytest.raises(BundleError, match=words):
        load_diffusers(folder)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("scheduler", "lacks its scheduler"),
        ("text_encoder_2", "lacks its text_encoder_2"),
        ("tokenizer", "lacks its tokenizer"),
        ("vae/diffusion_pytorch_model.safetensors", "has no weights"),
        ("unet/diffusion_pytorch_model.safetensors > unet/diffusion_pytorch_model.bin", "pickled"),
        ("model_index.json", "no pipeline of diffusers"),
    ],
)
def test_a_pipeline_that_lacks_a_part_is_refused_by_the_parts_name(
    part: str, words: str, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "sdxl", tmp_path / "g", symlinks=True)
    write_generator(tmp_path / "g", "sdxl-turbo", adapter="adapter.safetensors")
    pipeline = tmp_path / "g" / "pipeline"
    before, _, after = part.partition(" > ")
    if after:
        (pipeline / before).rename(pipeline / after)
    elif (pipeline / before).is_dir():
        shutil.rmtree(pipeline / before)
    else:
        (pipeline / before).unlink()
    with pytest.raises(BundleError, match=words):
        load_diffusers(tmp_path / "g")


def test_a_damaged_file_and_one_of_another_program_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        load_diffusers(tmp_path)
    for text, words in (
        ("{", "does not say"),
        ('{"back_end": "embedded"}', "no generator of diffusers"),
        ('{"back_end": "diffusers", "schema": 9}', "schema 9"),
        ('{"back_end": "diffusers", "schema": 1, "adaptor": "x"}', "mean 'adapter'"),
        ('{"back_end": "diffusers", "schema": 1, "name": "x"}', "does not say"),
    ):
        (tmp_path / "generator.json").write_text(text)
        with pytest.raises(BundleError, match=words):
            load_diffusers(tmp_path)
    shutil.copytree(root / "sdxl", tmp_path / "g")
    write_generator(tmp_path / "g", "sdxl-turbo", adapter="adapter.safetensors")
    weights = tmp_path / "g" / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match="cannot be read as a StableDiffusionXLPipeline"):
        load_diffusers(tmp_path / "g")


def test_only_devices_that_are_there_are_used(root: Path) -> None:
    with pytest.raises(UsageError, match="not on 'tensorrt'"):
        load_diffusers(root / "sdxl", "tensorrt")
    if not torch.cuda.is_available():
        write_generator(root / "sdxl", "sdxl-turbo", adapter="adapter.safetensors")
        with pytest.raises(UsageError, match="no CUDA device"):
            load_diffusers(root / "sdxl", "cuda")
