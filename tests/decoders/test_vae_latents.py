"""A tiny autoencoder with random weights stands for the large ones: the same class and files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.targets.vae_latents import vae_target
from decode_stream.stream.errors import UsageError

PICTURES = [np.random.default_rng(i).integers(256, size=(90, 70 + i, 3), dtype=np.uint8) for i in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a pipeline that has an autoencoder."""
    import torch
    from diffusers import AutoencoderKL

    path = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    make: type = AutoencoderKL
    model = make(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        scaling_factor=0.5,
        shift_factor=0.25,
    )
    model.save_pretrained(path / "vae")
    return path


def test_latents_are_the_scaled_means(folder: Path) -> None:
    import torch
    from diffusers import AutoencoderKL
    from PIL import Image, ImageOps

    target = vae_target(f"vae:{folder}:64")
    assert (target.space.shape, target.space.dimension) == ((4, 16, 16), 1024)
    assert target.space.layer == "latents of 64 px"
    kind: type = AutoencoderKL
    model = kind.from_pretrained(str(folder / "vae")).eval()  # type: ignore[attr-defined]
    square = [ImageOps.fit(Image.fromarray(p), (64, 64), Image.Resampling.BICUBIC) for p in PICTURES]
    batch = torch.stack([torch.tensor(np.asarray(s)).permute(2, 0, 1) for s in square]) / 127.5 - 1
    with torch.inference_mode():
        direct = (model.encode(batch).latent_dist.mode() - 0.25) * 0.5
    np.testing.assert_allclose(target.encode(PICTURES), direct.flatten(1).numpy(), rtol=1e-4, atol=1e-5)
    assert target.encode([]).shape == (0, 1024)
    assert vae_target(f"vae:{folder / 'vae'}").space.shape == (4, 64, 64)
    for side in (32, 66, 2048):
        with pytest.raises(UsageError, match="64 to 1024 pixels and a multiple of 4"):
            vae_target(f"vae:{folder}:{side}")


def test_the_design_and_the_weights_are_the_identity(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "vae", tmp_path / "copy")
    assert vae_target(f"vae:{tmp_path / 'copy'}").space == vae_target(f"vae:{folder}").space
    config = tmp_path / "copy" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.3}))
    assert vae_target(f"vae:{tmp_path / 'copy'}").space != vae_target(f"vae:{folder}").space


def test_files_that_are_no_autoencoder_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "vae", tmp_path / "vae")
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UsageError, match="cannot be loaded as an autoencoder"):
        vae_target(f"vae:{tmp_path}")
    weights.unlink()
    with pytest.raises(
        UsageError, match=r"There is no .*diffusion_pytorch_model.safetensors. Nothing is downloaded"
    ):
        vae_target(f"vae:{tmp_path}")
    with pytest.raises(UsageError, match="write vae:FOLDER"):
        vae_target("vae:")
