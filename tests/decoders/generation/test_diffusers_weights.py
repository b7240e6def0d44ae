"""Weights that stand in the place of a pipeline's, or are added to them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors

from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator
from decode_stream.decoders.generation.diffusers_weights import merge_lora

from .tiny_pipelines import drawn, unet

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_whole_unet_stands_in_the_place_of_the_pipelines(
    root: Path, generator: Callable[..., DiffusersGenerator]
) -> None:
    other = unet(cross_attention_dim=8)
    torch.manual_seed(11)
    for value in other.parameters():
        value.data += 0.05 * torch.randn_like(value)
    other.save_pretrained(str(root / "sd" / "student"))
    save_tensors(other.state_dict(), root / "sd" / "student.safetensors")
    pictures = [
        drawn(generator("sd", "lcm", steps=(1,), **named), 1)
        for named in ({"unet": "student"}, {"unet": "student.safetensors"}, {"lora": "lora.safetensors"})
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert np.abs(pictures[0].astype(int) - pictures[2]).max() > 3


def test_additions_are_the_same_in_every_form_they_are_published_in(root: Path, tmp_path: Path) -> None:
    published = load_file(root / "sd" / "lora.safetensors")
    other = {}
    for name, value in published.items():
        layer, _, kind = name.removeprefix("unet.").partition(".lora_")
        key = f"lora_unet_{layer.replace('.', '_')}"
        other[f"{key}.lora_{'down' if kind.startswith('A') else 'up'}.weight"] = value
        other[f"{key}.alpha"] = torch.tensor(2.0)  # its rank, which scales it by one
    save_tensors(other, tmp_path / "kohya.safetensors")
    plain, one, two = (unet(cross_attention_dim=8).state_dict() for _ in range(3))
    for state, path in ((one, root / "sd" / "lora.safetensors"), (two, tmp_path / "kohya.safetensors")):
        network = unet(cross_attention_dim=8)
        merge_lora(network, path)
        state.update(network.state_dict())
    assert one.keys() == two.keys() == plain.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    changed = {name for name in one if not torch.equal(one[name], plain[name])}
    assert changed == {name for name in one if name.endswith("to_q.weight")}


def test_a_student_is_told_of_the_guidance_that_it_was_taught(
    root: Path, generator: Callable[..., DiffusersGenerator]
) -> None:
    unet(cross_attention_dim=8, time_cond_proj_dim=12).save_pretrained(str(root / "sd" / "guided"))
    low, high = (
        drawn(generator("sd", "lcm", steps=(2,), unet="guided", guidance=scale), 2) for scale in (1.0, 8.0)
    )
    assert np.abs(low.astype(int) - high).max() > 1
