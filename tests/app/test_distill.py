"""Students of tiny pipelines with random weights, by the command, from pictures to a generator that draws."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from decode_stream.decoders.generation.load import load_generator
from decode_stream.generation.config import DistillConfig
from decode_stream.generation.distill import distill_pipeline
from decode_stream.stream.errors import DecodeStreamError, UsageError
from tests.decoders.generation.tiny_pipelines import DIMENSION, unet, write_adapter, write_pipeline

pytestmark = pytest.mark.usefixtures("one_thread")

N_PICTURES = 4
#: Without pictures the pipeline draws its own, of any side.
DRAWN = ("embeddings.safetensors", 16)
SMALL: dict[str, Any] = {
    "updates": 2,
    "save_every": 2,
    "batch_size": 1,
    "rank": 2,
    "steps": 2,
    "guidance": (2.0, 3.0),
}


@pytest.fixture(autouse=True)
def few_steps_of_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decode_stream.generation.distill.TEACHER_STEPS", 3)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures, their embeddings, pipelines and an adapter."""
    folder = tmp_path_factory.mktemp("lab")
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(N_PICTURES):
        picture = np.full((70, 64, 3), random.integers(256, size=3), np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"p{i}.png")
    names = {"names": json.dumps([f"p{i}" for i in range(N_PICTURES)])}
    embeddings = random.standard_normal((N_PICTURES, DIMENSION), np.float32)
    save_file({"embeddings": embeddings}, folder / "embeddings.safetensors", names)
    save_file(
        {"embeddings": np.repeat(embeddings, 2, axis=1)[:, :7].copy()}, folder / "seven.safetensors", names
    )
    for family in ("sd", "unclip", "kandinsky"):
        write_pipeline(family, folder / family)
    write_adapter(folder / "adapter.safetensors", unet())
    return folder


def made(lab: Path, out: Path, family: str, source: str = "pictures", side_px: int = 64, **more: Any) -> Path:
    given = {
        "side_px": side_px,
        **SMALL,
        **({"target": f"file:{lab / 'embeddings.safetensors'}"} if source == "pictures" else {}),
    }
    if family == "sd":
        given["ip_adapter"] = lab / "adapter.safetensors"
    pipeline = more.pop("pipeline", lab / family)
    assert distill_pipeline(pipeline, lab / source, DistillConfig(out=out, **{**given, **more})) == 0
    return out


def drawn(folder: Path) -> np.ndarray[Any, Any]:
    generator = load_generator(folder)
    assert generator.n_steps == (1, 2)
    belief = generator.pictures.known(generator.pictures.mean[None])
    return generator.draw(generator.pictures.condition(belief), generator.noise(0), 1)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_additions_to_stable_diffusion_load_by_diffusers_own_loader_and_draw(
    lab: Path, tmp_path: Path
) -> None:
    before = files(lab / "sd")
    out = made(lab, tmp_path / "student", "sd", learning_rate=0.05)
    assert {path.name for path in out.iterdir()} == {
        "generator.json",
        "lora.safetensors",
        "pictures.safetensors",
        "samples.png",
        "training.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert files(lab / "sd") == before
    assert drawn(out).shape == (1, 64, 64, 3)
    from diffusers import StableDiffusionPipeline

    kind: Any = StableDiffusionPipeline
    pipeline = kind.from_pretrained(str(lab / "sd"), safety_checker=None)
    inputs = (torch.ones(1, 4, 8, 8), torch.tensor([500]), torch.ones(1, 2, 8))
    with torch.no_grad():
        plain = pipeline.unet(*inputs).sample
        pipeline.load_lora_weights(str(out), weight_name="lora.safetensors")
        assert not torch.allclose(pipeline.unet(*inputs).sample, plain, atol=1e-6)
        pipeline.unload_lora_weights()
        assert torch.equal(pipeline.unet(*inputs).sample, plain)
    training = json.loads((out / "training.json").read_text())
    assert (training["n_pictures"], len(training["loss"])) == (N_PICTURES, 1)
    picture = np.asarray(Image.open(out / "samples.png"))
    assert picture.shape == (4 * 192, N_PICTURES * 192, 3)  # pictures, teacher, student in 1 and in 2 steps


def test_all_of_a_unet_learns_beside_an_adapter_that_stays(lab: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = made(lab, tmp_path / "student", "sd", *DRAWN, method="full", learning_rate=0.01)
    learnt = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    base = load_file(lab / "sd" / "unet" / "diffusion_pytorch_model.safetensors")
    # What tells it the guidance is new; nothing of the adapter is in it.
    assert learnt.keys() - base.keys() == {"time_embedding.cond_proj.weight"}
    assert base.keys() <= learnt.keys()
    assert not torch.equal(learnt["conv_in.weight"], base["conv_in.weight"])
    assert json.loads((out / "generator.json").read_text())["guidance"] == 2.5
    assert drawn(out).shape == (1, 16, 16, 3)


@pytest.mark.parametrize(("family", "more"), [("unclip", {}), ("kandinsky", {"guidance": (1.0, 1.0)})])
def test_pipelines_draw_what_their_students_learn_from(
    lab: Path, tmp_path: Path, family: str, more: dict[str, Any]
) -> None:
    out = made(lab, tmp_path / "student", family, *DRAWN, **more)
    generator = load_generator(out)
    assert generator.side_px == 16
    belief = generator.pictures.nothing()
    assert generator.draw(generator.pictures.condition(belief), generator.noise(0), 2).shape[1:] == (
        16,
        16,
        3,
    )


def test_a_command_that_was_stopped_goes_on_to_the_same_student(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(lab, tmp_path / "whole", "sd", *DRAWN)
    from decode_stream.generation import distill

    writes = distill._write
    monkeypatch.setattr(distill, "_write", lambda *of: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        made(lab, tmp_path / "again", "sd", *DRAWN)
    assert [path.name for path in tmp_path.glob("again*")] == ["again.training"]
    monkeypatch.setattr(distill, "_write", writes)
    again = made(lab, tmp_path / "again", "sd", *DRAWN)
    assert (again / "lora.safetensors").read_bytes() == (whole / "lora.safetensors").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        made(lab, again, "sd", *DRAWN)


def without(lab: Path, place: Path, part: str, pickled: bool = False) -> Path:
    copy = shutil.copytree(lab / "sd", place)
    weights = copy / part / "diffusion_pytorch_model.safetensors"
    if pickled:
        weights.rename(weights.with_suffix(".bin"))
    else:
        shutil.rmtree(copy / part)
    return copy


def test_what_cannot_be_distilled_is_refused_by_name(lab: Path, tmp_path: Path) -> None:
    out = tmp_path / "student"

    def refused(words: str, family: str = "sd", **more: Any) -> None:
        with pytest.raises(DecodeStreamError, match=words):
            made(lab, out, family, **more)
        assert not out.exists()

    refused("lacks its vae", pipeline=without(lab, tmp_path / "a", "vae"))
    refused("pickled weights", pipeline=without(lab, tmp_path / "b", "unet", pickled=True))
    refused("no .safetensors file; pickled", ip_adapter=tmp_path / "adapter.bin")
    write_adapter(tmp_path / "seven.safetensors", unet(), dimension=7)
    refused(
        "embeddings of 6 numbers, and this pipeline is conditioned on 7 numbers",
        ip_adapter=tmp_path / "seven.safetensors",
    )
    write_adapter(tmp_path / "wide.safetensors", unet(cross_attention_dim=16))
    refused("adapter of another network", ip_adapter=tmp_path / "wide.safetensors")
    refused("embeddings of 7 numbers", "unclip", target=f"file:{lab / 'seven.safetensors'}")
    refused("conditioned on tokens of 8 numbers", ip_adapter=None)
    refused("conditioned on embeddings by itself", "unclip", ip_adapter=lab / "adapter.safetensors")
    refused("not known from a file of embeddings", "kandinsky")
    refused("--target embeds pictures", source="embeddings.safetensors", target="objects")
    refused("Pictures need --target", target=None)
    refused("There is no", source="nowhere")
    refused("a multiple of 2", side_px=65)
    refused("needs a GPU", precision="float16")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("--steps is 5; a student draws in 1 to 4", {"steps": 5}),
        ("--guidance is 8 3", {"guidance": (8.0, 3.0)}),
        ("--guidance is nan", {"guidance": (float("nan"), 3.0)}),
        ("--batch-size is 0", {"batch_size": 0}),
        ("--learning-rate is 2", {"learning_rate": 2.0}),
        ("--seed is -1", {"seed": -1}),
    ],
)
def test_settings_that_cannot_be_are_refused(words: str, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=words):
        DistillConfig(out=Path("x"), **given)
