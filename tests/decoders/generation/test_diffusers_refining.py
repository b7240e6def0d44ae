"""MindDiffuser's stages by pipelines of diffusers, with the classes of real ones and random weights."""

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from decode_stream.decoders.generation.condition import Condition
from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator, load_diffusers
from decode_stream.decoders.generation.diffusers_refining import diffusers_stage, usual_steps
from decode_stream.decoders.generation.guidance import Structure
from decode_stream.decoders.generation.refinement import RefineSettings, refine
from decode_stream.stream.errors import UsageError

from .tiny_pipelines import pictures_file, unet, write_adapter, write_generator, write_pipeline

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> DiffusersGenerator:
    diffusers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("sd")
    write_pipeline("sd", folder / "pipeline")
    (folder / "pictures.safetensors").write_bytes(pictures_file())
    write_adapter(folder / "adapter.safetensors", unet(cross_attention_dim=8))
    write_generator(folder, "ip-adapter", adapter="adapter.safetensors")
    return load_diffusers(folder)


def condition_of(generator: DiffusersGenerator, n: int) -> Condition:
    rng = np.random.default_rng(0)
    model = generator.pictures
    return model.condition(model.known(rng.multivariate_normal(model.mean, model.covariance, n)))


def test_latents_and_condition_are_led_through_every_step(generator: DiffusersGenerator) -> None:
    condition, noise = condition_of(generator, 1), generator.noise(0)
    start, told, paint = diffusers_stage(generator, condition, noise, strength=0.74, n_steps=3)

    def features(pictures: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(pictures, 4).flatten(1)

    wanted = np.random.default_rng(1).uniform(0.3, 0.7, (1, 48)).astype(np.float32)
    structure = Structure(features, wanted, np.arange(48) % 4 == 0)
    settings = RefineSettings(iterations=6, learning_rate=0.05)
    moved = list[tuple[Any, Any]]()

    def watched(start: torch.Tensor, told: torch.Tensor) -> Any:
        moved.append((start.detach().clone(), told.detach().clone()))
        return paint(start, told)

    found = refine(watched, start, told, structure, settings)
    assert found.pictures.shape == (1, generator.side_px, generator.side_px, 3)
    assert found.structure_loss.min() < 0.95 * found.structure_loss[0].item()
    for before, after in zip(moved[0], moved[-1], strict=True):
        assert (before - after).abs().max() > 0.01


def test_decoded_latents_are_where_it_starts(generator: DiffusersGenerator) -> None:
    condition, noise = condition_of(generator, 1), generator.noise(0)
    latents = generator.drawing.latents(torch.from_numpy(condition.layout).movedim(-1, 1)).detach().numpy()
    asked: dict[str, Any] = {"strength": 0.5, "n_steps": 2}
    first, _, _ = diffusers_stage(generator, condition, noise, latents=latents, **asked)
    again, told, paint = diffusers_stage(generator, condition, noise, **asked)
    torch.testing.assert_close(first, again)
    with torch.no_grad():
        assert paint(first, told).isfinite().all()
    with pytest.raises(UsageError, match="decoded latents have the shape"):
        diffusers_stage(generator, condition, noise, latents=latents[:, :2], **asked)
    with pytest.raises(UsageError, match="9 steps from --strength 0.001"):
        diffusers_stage(generator, condition, noise, strength=0.001, n_steps=9)


def test_the_papers_steps_are_usual(generator: DiffusersGenerator) -> None:
    assert usual_steps(generator) == 35
