"""Generators of diffusers: every recipe draws what diffusers' own pipeline draws, and what does not fit is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from decode_stream.decoders.generation.condition import Condition, EmbeddingBelief
from decode_stream.decoders.generation.diffusers_conditions import embeddings_told, unclip_level
from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator
from decode_stream.decoders.generation.diffusers_recipes import RECIPES
from decode_stream.stream.errors import GeneratorError

from .tiny_pipelines import (
    DIMENSION,
    SIDE_PX,
    belief,
    drawn,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Of diffusers' own pipelines, which ours are compared with.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:diffusers"),
]


@pytest.fixture
def stock(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Draw by diffusers' own pipeline and scheduler, with the noise that ours is given."""

    def draw(
        family: str, scheduler: str, noise: Any, *, lora: bool = False, how: Any = None, **call: Any
    ) -> Any:
        module = {"LCMScheduler": "lcm", "TCDScheduler": "tcd"}.get(scheduler, "euler_ancestral_discrete")
        fresh = iter([*torch.from_numpy(noise[:, 1:]).unbind(1), torch.zeros(noise[:, 0].shape)])
        monkeypatch.setattr(
            f"diffusers.schedulers.scheduling_{module}.randn_tensor", lambda *_, **__: next(fresh)
        )
        kind = getattr(
            diffusers, json.loads((root / family / "pipeline/model_index.json").read_text())["_class_name"]
        )
        pipeline = kind.from_pretrained(str(root / family / "pipeline"))
        pipeline.scheduler = getattr(diffusers, scheduler).from_config(
            pipeline.scheduler.config, **(how or {})
        )
        if lora:
            pipeline.load_lora_weights(str(root / family), weight_name="lora.safetensors")
        if family in ("sd", "sdxl"):
            pipeline.load_ip_adapter(
                str(root / family), subfolder="", weight_name="adapter.safetensors", image_encoder_folder=None
            )
            call["prompt"] = ""
        pipeline.set_progress_bar_config(disable=True)
        size = {"height": SIDE_PX, "width": SIDE_PX}
        latents = torch.from_numpy(noise[:, 0].copy())
        if "EulerDiscrete" in scheduler or "Ancestral" in scheduler:
            # Theirs begin with a little less than unit variance.
            latents /= make_sigma(pipeline.scheduler)
        return pipeline(**size, latents=latents, output_type="np", **call).images

    return draw


def make_sigma(scheduler: Any) -> float:
    """Return the share of noise in the last step of the table."""
    return float((1 - scheduler.alphas_cumprod[-1]) ** 0.5)


def same(ours: Any, theirs: Any) -> bool:
    """Return whether pictures are the same but for rounding, and not of one colour."""
    assert theirs.std() > 0.02
    return bool(np.abs(ours - 255.0 * theirs).max() < 1.5)


TRAILING = {"timestep_spacing": "trailing"}


@pytest.mark.parametrize(
    ("recipe", "family", "n_steps", "scheduler", "how", "call"),
    [
        ("sdxl-turbo", "sdxl", 4, "EulerAncestralDiscreteScheduler", TRAILING, {}),
        (
            "sdxl-lightning",
            "sdxl",
            1,
            "EulerDiscreteScheduler",
            {**TRAILING, "prediction_type": "sample"},
            {},
        ),
        ("sdxl-lightning", "sdxl", 4, "EulerDiscreteScheduler", TRAILING, {}),
        ("lcm", "sd", 4, "LCMScheduler", {}, {}),
        ("hyper-sd", "sd", 1, "TCDScheduler", {}, {"eta": 1.0, "timesteps": [800]}),
        ("hyper-sd", "sd", 2, "TCDScheduler", {}, {"eta": 1.0}),
        ("dmd2", "sdxl", 1, "LCMScheduler", {}, {"timesteps": [399]}),
        ("dmd2", "sdxl", 4, "LCMScheduler", {}, {"timesteps": [999, 749, 499, 249]}),
    ],
    ids=["turbo", "lightning-1", "lightning", "lcm", "hyper-1", "hyper", "dmd2-1", "dmd2"],
)
def test_few_steps_are_drawn_as_diffusers_draws_them(
    recipe: str,
    family: str,
    n_steps: int,
    scheduler: str,
    how: Any,
    call: Any,
    generator: Callable[..., DiffusersGenerator],
    stock: Callable[..., Any],
) -> None:
    lora = RECIPES[recipe].in_place
    made = generator(family, recipe, steps=(n_steps,), lora="lora.safetensors" if lora else "")
    given = belief()
    steps = {} if "timesteps" in call else {"num_inference_steps": n_steps}
    expected = stock(
        family,
        scheduler,
        made.noise(1),
        lora=lora,
        how=how,
        ip_adapter_image_embeds=[torch.from_numpy(given.mean[:, None])],
        guidance_scale=0.0,
        **steps,
        **call,
    )
    if "TCD" in scheduler and n_steps > 1:
        # Its steps end at the first step of the table, ours at the picture before it.
        assert np.abs(drawn(made, n_steps, given) - 255 * expected).mean() < 4
    else:
        assert same(drawn(made, n_steps, given), expected)


def test_many_guided_steps_are_drawn_as_diffusers_draws_them(
    generator: Callable[..., DiffusersGenerator], stock: Callable[..., Any]
) -> None:
    given = belief(1, 3, 0.0)
    embeddings = torch.from_numpy(given.mean)
    made = generator("sd", "ip-adapter", steps=(5,))
    both = torch.cat([torch.zeros_like(embeddings), embeddings])[:, None]
    ended = {**TRAILING, "set_alpha_to_one": True}
    expected = stock(
        "sd", "DDIMScheduler", made.noise(1), how=ended, guidance_scale=7.5, num_inference_steps=5,
        ip_adapter_image_embeds=[both],
    )  # fmt: skip
    assert same(drawn(made, 5, given), expected)
    made = generator("kandinsky", "kandinsky", steps=(5,))
    neutral = torch.linspace(-1, 1, DIMENSION)[None]
    expected = stock(
        "kandinsky", "DDIMScheduler", made.noise(1), how=ended, guidance_scale=4.0, num_inference_steps=5,
        image_embeds=embeddings, negative_image_embeds=neutral,
    )  # fmt: skip
    assert same(drawn(made, 5, given), expected)


def test_unclip_is_told_how_much_is_open(
    generator: Callable[..., DiffusersGenerator], stock: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generator("unclip", "unclip", steps=(4,))
    networks = made.networks
    assert networks.noising is not None
    assert networks.normalizer is not None
    for share in (0.0, 0.02, 0.3, 0.8, 0.99):
        level = unclip_level(networks, share)
        signal = networks.noising.alpha(networks.noising.time(level)) ** 2
        assert 1 - signal == pytest.approx(share, abs=2e-3)
    assert unclip_level(networks, 1.0) == unclip_level(networks, 0.99)
    given = belief(1, 3, 0.3)
    level = unclip_level(networks, 0.3)
    signal = networks.noising.alpha(networks.noising.time(level)) ** 2
    mean, _ = networks.normalizer
    # Theirs shrinks the embedding and adds noise, none here; ours is told as the noisy one that it is.
    stretched = (torch.from_numpy(given.mean) - mean) / signal + mean
    ours = embeddings_told(networks, given.mean, given.open_share[:, 0])
    assert torch.allclose(
        ours[:, :DIMENSION], (torch.from_numpy(given.mean) - mean) / signal**0.5 + mean, atol=1e-5
    )
    module = "diffusers.pipelines.stable_diffusion.pipeline_stable_unclip_img2img"
    monkeypatch.setattr(f"{module}.randn_tensor", lambda shape, **_: torch.zeros(shape))
    expected = stock(
        "unclip", "DDIMScheduler", made.noise(1), how={**TRAILING, "set_alpha_to_one": True}, guidance_scale=10.0,
        num_inference_steps=4, image_embeds=stretched, noise_level=level, prompt="",
    )  # fmt: skip
    assert same(drawn(made, 4, given), expected)
    other = drawn(made, 4, belief(1, 3, 0.9))
    assert np.abs(other.astype(int) - drawn(made, 4, given)).max() > 3


def test_a_picture_depends_on_its_belief_and_noise_alone(
    generator: Callable[..., DiffusersGenerator],
) -> None:
    made = generator("sdxl", "sdxl-turbo", autoencoder="tiny")
    assert (made.name, made.provider, made.side_px, made.n_steps) == (
        "tiny sdxl-turbo",
        "CPU",
        SIDE_PX,
        (1, 2, 4),
    )
    assert made.space.dimension == made.pictures.dimension == DIMENSION
    three, one = made.noise(5, 3), made.noise(5)
    assert np.array_equal(three[:1], one)
    given = belief(3)
    together = made.draw(made.pictures.condition(given), three, 2)
    assert together.shape == (3, SIDE_PX, SIDE_PX, 3)
    assert together.dtype == np.uint8
    assert np.array_equal(made.draw(made.pictures.condition(given), three, 2), together)
    first = EmbeddingBelief(given.mean[:1], given.open_share[:1])
    assert np.abs(drawn(made, 2, first, 5).astype(int) - together[:1]).max() <= 1
    assert np.abs(drawn(made, 2, first, 6).astype(int) - together[:1]).max() > 3
    assert np.abs(drawn(made, 2, belief(1, 8), 5).astype(int) - together[:1]).max() > 1


@pytest.mark.parametrize("autoencoder", ["", "tiny"])
def test_drawing_may_begin_with_the_layout(
    autoencoder: str, generator: Callable[..., DiffusersGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generator("sdxl", "sdxl-turbo", steps=(1,), start=0.5, autoencoder=autoencoder)
    condition = made.pictures.condition(belief())
    others = Condition(condition.semantic, 1 - condition.layout, condition.open_share)
    assert not np.array_equal(*(made.draw(of, made.noise(1), 1) for of in (condition, others)))
    vae, still = made.networks.autoencoder, 0 * made.noise(1)
    monkeypatch.setattr(made.networks.unet, "forward", lambda latents, *_, **__: (torch.zeros_like(latents),))
    for of in (condition, others):
        # Without noise, and a network that finds none, it is the layout in large, through the autoencoder and back.
        large = torch.nn.functional.interpolate(
            torch.from_numpy(of.layout).movedim(-1, 1), (SIDE_PX, SIDE_PX), mode="bilinear"
        )
        with torch.inference_mode():
            encoded = vae.encode(2 * large - 1)
            latents = encoded.latents if autoencoder else encoded.latent_dist.mode()
            seen = vae.decode(latents).sample.movedim(1, -1)
        expected = 255 * (seen / 2 + 0.5).clamp(0, 1).numpy()
        assert np.abs(made.draw(of, still, 1) - expected).max() < 1
    plain = generator("sdxl", "sdxl-turbo", steps=(1,), autoencoder=autoencoder)
    assert np.array_equal(*(plain.draw(of, plain.noise(1), 1) for of in (condition, others)))


def test_no_picture_is_an_error_that_says_so(
    generator: Callable[..., DiffusersGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generator("sdxl", "sdxl-turbo")
    condition = made.pictures.condition(belief())
    with pytest.raises(GeneratorError, match="not finite"):
        made.draw(condition, np.full_like(made.noise(1), np.nan), 1)
    assert made.draw(condition, made.noise(1), 1).std() > 0
    for bad in (
        lambda: made.draw(condition, made.noise(1), 3),
        lambda: made.draw(condition, made.noise(1, 2), 1),
        lambda: made.draw(condition, made.noise(1)[:, :1], 1),
    ):
        with pytest.raises(ValueError, match="draws in"):
            bad()

    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(made.networks.unet, "forward", fail)
    with pytest.raises(GeneratorError, match="out of memory"):
        made.draw(condition, made.noise(1), 1)
