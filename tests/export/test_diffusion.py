"""Networks of diffusers as ONNX: what torch gives, for any number of pictures, told of embeddings by an input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.generation.condition import EmbeddingBelief
from decode_stream.decoders.generation.denoisers import denoiser
from decode_stream.decoders.generation.diffusers_generator import load_diffusers
from decode_stream.decoders.generation.samplers import euler, sample
from decode_stream.decoders.onnx_model import load_model
from decode_stream.export.diffusion import export_autoencoder, export_unet

from ..decoders.generation.tiny_pipelines import (
    DIMENSION,
    pictures_file,
    unet,
    write_adapter,
    write_generator,
    write_pipeline,
    write_tiny_autoencoder,
)

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("generator")
    # One level, which takes seconds to export.
    level: dict[str, Any] = {
        "block_out_channels": (8,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "mid_block_type": None,
        "up_block_types": ("CrossAttnUpBlock2D",),
    }
    write_pipeline("sdxl", folder / "pipeline", **level)
    write_adapter(folder / "adapter.safetensors", unet(cross_attention_dim=16, **level))
    write_tiny_autoencoder(folder / "tiny")
    (folder / "pictures.safetensors").write_bytes(pictures_file())
    write_generator(folder, "sdxl-turbo", adapter="adapter.safetensors", autoencoder="tiny")
    return load_diffusers(folder)


def test_a_picture_is_the_same_without_torch(generator: Any) -> None:
    random = np.random.default_rng(0)
    networks = generator.networks
    embeddings = random.standard_normal((3, DIMENSION)).astype(np.float32)
    noise = generator.noise(1, 3)
    step = len(networks.schedule.betas) - 1
    network = export_unet(networks, step, noise[:, 0], embeddings)
    decoder = export_autoencoder(networks, noise[:, 0])
    drawing, decoding = load_model(network), load_model(decoder)

    def predict(x: Any, t: float, r: float) -> Any:
        (said,) = drawing.run(["predicted"], {"latents": x, "image_embeds": embeddings})
        return said

    clean = sample(
        euler,
        denoiser(predict, networks.schedule, networks.predicts),
        networks.schedule,
        (1.0, 0.0),
        noise[:, 0],
    )
    assert clean.dtype == np.float32
    (colours,) = decoding.run(["colours"], {"latents": clean})
    pictures = np.clip(colours.transpose(0, 2, 3, 1) / 2 + 0.5, 0, 1)
    belief = EmbeddingBelief(embeddings, np.zeros((3, 2), np.float32))
    expected = generator.draw(generator.pictures.condition(belief), noise, 1)
    assert expected.std() > 3
    assert np.abs(255 * pictures - expected).max() < 1
    others = drawing.run(["predicted"], {"latents": noise[:, 0], "image_embeds": -embeddings})[0]
    assert np.abs(others - predict(noise[:, 0], 1.0, 1.0)).max() > 1e-3
