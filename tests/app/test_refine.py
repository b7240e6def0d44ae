"""`decode-stream refine` draws recorded trials and leads the pictures to what was decoded of their structure."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from decode_stream.cli import main
from decode_stream.decoders.bundle import save_bundle
from decode_stream.decoders.distillation.flow_unet import FlowUnet, FlowUnetConfig
from decode_stream.decoders.distillation.flow_weights import flow_weights, load_flow_network
from decode_stream.decoders.distillation.parts import PartsConfig
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.generation.embedded_files import (
    EmbeddedManifest,
    EmbeddedParts,
    GeneratorTraining,
    load_parts,
    save_parts,
)
from decode_stream.decoders.generation.embedding_belief import EmbeddingPosterior, Posteriors
from decode_stream.decoders.generation.picture_evidence import PictureEvidence
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.colour_layout import colour_layout_target
from decode_stream.generation.config import RefineConfig
from decode_stream.generation.refine_structure import layout_structure, structure_of
from decode_stream.pictures.targets import objects_space
from decode_stream.stream.errors import BundleError, UsageError
from tests.app.recordings import write_csv
from tests.decoders.generation.picture_bundle import picture_bundle
from tests.decoders.generation.plain_generator import plain_picture_model

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE_PX = 16


def onnx_network() -> bytes:
    """Return a graph with the inputs and the output of an embedded generator's, which gives x back."""
    sizes: dict[str, list[str | int]] = {
        "x": ["n", 3, SIDE_PX, SIDE_PX],
        "t": ["n"],
        "r": ["n"],
        "semantic": ["n", 128],
        "layout": ["n", 8, 8, 3],
        "open_share": ["n", 2],
    }
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["clean"])],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()],
        [helper.make_tensor_value_info("clean", TensorProto.FLOAT, sizes["x"])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    made.ir_version = 10
    return bytes(made.SerializeToString())


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights, as a generator's folder."""
    model = plain_picture_model()
    torch.manual_seed(0)
    sizes = FlowUnetConfig(
        128,
        SIDE_PX,
        2,
        widths=(8,),
        n_tokens=2,
        token_dim=4,
        condition_dim=8,
        heads=2,
        parts=PartsConfig(2, 8, 8, 16, 8),
    )
    network = FlowUnet(sizes, 0.1)
    torch.nn.init.normal_(network.out.weight, std=0.2)
    manifest = EmbeddedManifest("tiny", objects_space(), SIDE_PX, (1, 2), GeneratorTraining("nothing"))
    path = tmp_path_factory.mktemp("refine") / "tiny.generator"
    save_parts(EmbeddedParts(manifest, onnx_network(), model, weights=flow_weights(network)), path)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refine") / "small.bundle"
    save_bundle(picture_bundle(), path)
    return path


def run(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as here:
        here.setattr(sys, "argv", ["decode-stream", "refine", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def shape(path: Path) -> tuple[int, ...]:
    with Image.open(path) as picture:
        return np.asarray(picture).shape


def test_trials_are_drawn_and_led_to_their_layout(
    generator: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording, out = write_csv(tmp_path / "run.csv"), tmp_path / "refined"
    asked = ("--trials", 1, "--trials", 3, "--iterations", 8, "--learning-rate", 0.05)
    assert run(bundle, recording, "--generator", generator, "--out", out, *asked) == 0
    told = json.loads((out / "refined.json").read_text())
    assert [one["trial"] for one in told["trials"]] == [1, 3]
    for one in told["trials"]:
        losses = np.array(one["structure_loss"])
        assert losses.shape == (9,)
        assert losses[-1] < 0.8 * losses[0]
        assert one["led_by"] == "the layout, 25% of its numbers"
        for stage in ("stage-1", "stage-2"):
            assert shape(out / f"trial-{one['trial']:04d}-{stage}.png") == (SIDE_PX, SIDE_PX, 3)
    assert shape(out / "refined.png") == (2 * SIDE_PX, 4 * SIDE_PX, 3)
    assert "trial 3" in capsys.readouterr().out
    again = tmp_path / "again"
    assert run(bundle, recording, "--generator", generator, "--out", again, *asked) == 0
    for name in ("refined.png", "refined.json"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_what_does_not_go_together_is_refused_with_what_to_do(
    generator: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording, out = write_csv(tmp_path / "run.csv"), tmp_path / "refined"
    parts = load_parts(generator)
    save_parts(replace(parts, weights=b""), tmp_path / "bare")
    other = EmbeddingSpace("other", "pooled", 192)
    save_parts(replace(parts, manifest=replace(parts.manifest, space=other)), tmp_path / "other")
    flags = ("--out", out, "--iterations", 1)
    for given, said in (
        (("--generator", tmp_path / "bare", *flags), "does not hold its network's weights"),
        (("--generator", tmp_path / "other", *flags), "Give a generator of the same space"),
        (("--generator", generator, *flags, "--trials", 99), "There is no trial 99"),
        (("--generator", tmp_path / "none", *flags), "There is no generator at"),
        (("--generator", generator, *flags, "--shallow", "open_clip:a:b:block-1"), "Leave it out"),
        (("--generator", generator, *flags, "--strength", 0), "--strength is 0"),
        (("--generator", generator, "--out", tmp_path), "exists already"),
    ):
        assert run(bundle, recording, *given) != 0
        err = " ".join(capsys.readouterr().err.split())
        assert said in err
        assert "Traceback" not in err


def test_weights_come_back_as_they_were_written(generator: Path, tmp_path: Path) -> None:
    network = load_flow_network(load_parts(generator).weights, generator)
    given = [torch.rand(2, *shape) for shape in ((3, SIDE_PX, SIDE_PX), (), (), (128,), (8, 8, 3), (2,))]
    twin = load_flow_network(flow_weights(network), generator)
    torch.testing.assert_close(twin(*given), network(*given))
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    with pytest.raises(BundleError, match="cannot be read.*train-generator"):
        load_flow_network(b"what", tmp_path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_flow_network(load_parts(generator).weights[:5000], tmp_path)


def believed() -> EmbeddingPosterior:
    bundle = picture_bundle()
    vector = np.random.default_rng(0).standard_normal(4) * 10
    return Posteriors(bundle, plain_picture_model())(PictureEvidence(vector, 40.0))


def test_the_numbers_of_the_layout_that_are_known_best_lead() -> None:
    pictures, posterior = plain_picture_model(), believed()
    structure = layout_structure(posterior, pictures, 0.25)
    assert structure.mask.sum() == 48
    weight = pictures.layout.weight.astype(np.float64)
    before = np.diag(weight @ pictures.covariance @ weight.T)
    after = np.diag(weight @ posterior.covariance(pictures) @ weight.T)
    open_ = after / before
    assert open_[structure.mask].max() <= open_[~structure.mask].min()
    layout = pictures.layout.layout(posterior.mean[None])
    drawn = torch.from_numpy(layout.repeat(4, axis=1).repeat(4, axis=2)).permute(0, 3, 1, 2)
    assert structure.loss(drawn).item() < 1e-10


def test_a_second_head_leads_by_what_it_decodes() -> None:
    target = colour_layout_target("colour-layout:4x4")
    bundle, config = picture_bundle(), RefineConfig(generator=Path("g"), out=Path("o"))
    manifest = replace(bundle.manifest, structure=target.space, calibration=Calibration((1.0,) * 9, 1.0))
    mask = np.arange(48) % 4 == 0
    with_head = replace(bundle, manifest=manifest, features=mask)
    picture = np.random.default_rng(0).integers(256, size=(SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    (found,) = target.encode([picture])
    aim = structure_of(with_head, found, believed(), plain_picture_model(), config)
    np.testing.assert_array_equal(aim.structure.mask, mask)
    drawn = torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1)[None]
    assert aim.structure.loss(drawn).item() < 1e-6
    assert aim.words.endswith("12 of 48 numbers")
    latents = EmbeddingSpace("vae 0123", "latents of 64 px", 4 * 8 * 8, shape=(4, 8, 8))
    of_latents = replace(with_head, manifest=replace(manifest, structure=latents), features=None)
    begun = structure_of(of_latents, np.ones(256, np.float32), believed(), plain_picture_model(), config)
    assert begun.latents is not None
    assert begun.latents.shape == (1, 4, 8, 8)
    blind = plain_picture_model()
    blind = replace(blind, layout=replace(blind.layout, weight=np.zeros_like(blind.layout.weight)))
    with pytest.raises(UsageError, match="do not tell where colours are.*--structure"):
        structure_of(bundle, None, believed(), blind, config)
    unseen = replace(with_head, manifest=replace(manifest, structure=objects_space("layout")), features=None)
    with pytest.raises(UsageError, match="not seen in a picture"):
        structure_of(unseen, np.ones(64, np.float32), believed(), plain_picture_model(), config)
    clip = EmbeddingSpace("open_clip ViT-B-32 0123", "block 2", 48)
    with pytest.raises(UsageError, match="--shallow open_clip:MODEL:WEIGHTS:block-K"):
        structure_of(
            replace(with_head, manifest=replace(manifest, structure=clip)),
            found,
            believed(),
            plain_picture_model(),
            config,
        )
