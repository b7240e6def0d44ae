"""`decode-stream train-generator` makes a generator that a session can run, and goes on where it was stopped."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from decode_stream.cli import main
from decode_stream.decoders.distillation.flow_weights import load_flow_network
from decode_stream.decoders.distillation.parts import PartsConfig
from decode_stream.decoders.generation.embedded import load_embedded
from decode_stream.decoders.generation.embedded_files import load_parts
from decode_stream.generation import flow_samples, object_scenes
from decode_stream.generation import train_generator as command
from decode_stream.generation.generator_pictures import FolderPictures, folder_pictures
from decode_stream.generation.object_scenes import ObjectScenes
from decode_stream.pictures.targets import objects_space
from decode_stream.stream.errors import DecodeStreamError

FEW = [
    "--parts-updates=2",
    "--teacher-updates=4",
    "--pairs-updates=2",
    "--consistency-updates=2",
    "--batch-size=2",
    "--save-every=4",
]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of few channels: what is tested is that all goes together."""
    torch.set_num_threads(1)
    whole = command.FlowUnetConfig

    def small(semantic_dim: int, side_px: int) -> command.FlowUnetConfig:
        parts = PartsConfig(n_kinds=201, part_px=8, width=8, place_width=8)
        return whole(
            semantic_dim, side_px, widths=(8, 16), n_tokens=4, token_dim=8, condition_dim=16, parts=parts
        )

    monkeypatch.setattr(command, "FlowUnetConfig", small)
    monkeypatch.setattr(command, "_N_NEAREST", 40)
    monkeypatch.setattr(object_scenes, "_N_FOR_MODEL", 400)
    monkeypatch.setattr(object_scenes, "_N_SCENES", 100)
    # Looked at while it trains, in the time that all the rest takes here.
    monkeypatch.setattr(flow_samples, "_N", 2)
    monkeypatch.setattr(flow_samples, "_TEACHER_STEPS", (1, 2))


def run(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as here:
        here.setattr(sys, "argv", ["decode-stream", "train-generator", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def test_a_generator_comes_out_that_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scenes.zip"
    assert run("--out", str(out), *FEW) == 0
    assert str(out) in capsys.readouterr().out
    generator = load_embedded(out)
    assert generator.space == objects_space()
    embeddings = ObjectScenes().draw(3, np.random.default_rng(5)).embeddings
    condition = generator.pictures.condition(generator.pictures.known(embeddings))
    for n_steps in generator.n_steps:
        drawn = generator.draw(condition, generator.noise(0, 3), n_steps)
        assert drawn.shape == (3, 64, 64, 3)
    nearest = generator.nearest_pictures()
    assert nearest is not None
    assert len(np.unique(nearest.directions, axis=0)) == 40  # none of them twice
    assert [path.name for path in tmp_path.iterdir()] == ["scenes.zip"]


@pytest.fixture
def plain_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights in the place of the ONNX model, which takes seconds to write."""
    monkeypatch.setattr(command, "export_generator", lambda network, _: save(network.state_dict()))


@pytest.mark.usefixtures("plain_export")
def test_a_training_that_was_stopped_comes_to_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str) -> int:
        teacher = tmp_path / f"{name}.safetensors"
        return run("--out", str(tmp_path / f"{name}.zip"), "--keep-teacher", str(teacher), *FEW)

    assert trained("whole") == 0

    def cut(*_: object, **__: object) -> None:
        raise DecodeStreamError("no room")

    with monkeypatch.context() as here:
        here.setattr(command, "export_generator", cut)
        assert trained("stopped") == 1
    states = sorted(p.name for p in (tmp_path / "stopped.zip.training").iterdir())
    assert states == ["consistency", "pairs", "parts", "samples", "teacher"]
    assert not (tmp_path / "stopped.safetensors").exists()
    assert trained("stopped") == 0
    networks = [load_parts(tmp_path / name).network for name in ("whole.zip", "stopped.zip")]
    assert networks[0] == networks[1]
    teachers = [(tmp_path / name).read_bytes() for name in ("whole.safetensors", "stopped.safetensors")]
    assert teachers[0] == teachers[1]
    assert load_flow_network(teachers[0], tmp_path).config.side_px == 64


def folder_source(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    source = folder_pictures(folder, "colour-layout:4x4", 32, lambda done, of: None).source
    assert isinstance(source, FolderPictures)
    return source.pictures, source.embeddings


@pytest.mark.usefixtures("plain_export")
def test_a_folder_of_pictures_is_learnt_from(tmp_path: Path) -> None:
    shown = ObjectScenes().draw(100, np.random.default_rng(1)).pictures
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(shown):
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    out = tmp_path / "own"
    assert run(str(folder), "--target=colour-layout:4x4", "--side-px=32", "--out", str(out), *FEW) == 0
    parts = load_parts(out)
    assert (parts.manifest.side_px, parts.manifest.space.dimension) == (32, 48)
    _, told = folder_source(folder)
    # These embeddings tell where colours are, but for how they count them.
    layouts = parts.pictures.layout.layout(told)
    true = shown.reshape(100, 8, 8, 8, 8, 3).mean(axis=(2, 4)) / 255
    assert np.corrcoef(layouts.ravel(), true.ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--target=open_clip:a:b"], "without a folder of pictures"),
        (["--teacher-updates=0"], "--teacher-updates is 0"),
        (["--side-px=50"], "multiple of 32"),
        (["--guidance=0.5"], "--guidance is 0.5"),
        (["--bundle=nowhere.bundle"], "no bundle at nowhere.bundle"),
        (["missing-folder", "--target=objects"], "There is no missing-folder"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--out", str(tmp_path / "out.zip")) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_nothing_but_a_generator_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    assert run("--out", str(thesis), "--overwrite", *FEW) == 2
    assert "exists already" in capsys.readouterr().err
    kept = tmp_path / "kept.safetensors"
    kept.write_bytes(b"of months")
    assert run("--out", str(tmp_path / "new.zip"), "--keep-teacher", str(kept), *FEW) == 2
    assert "another --keep-teacher" in " ".join(capsys.readouterr().err.split())
    assert kept.read_bytes() == b"of months"
