"""The command that measures: each stage by all that runs it, and the reason where something does not."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from decode_stream import bench, bench_torch
from decode_stream.bench_linear import linear_module
from decode_stream.bench_timing import peak_bytes, resident_bytes, timed
from decode_stream.cli import main
from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.conversion import Conversion
from decode_stream.decoders.distillation.flow_weights import flow_weights
from decode_stream.decoders.encoders.lda import LinearReadout
from decode_stream.decoders.encoders.linear_windows import GrowingReadout
from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.encoders.ridge import RidgeReadout
from decode_stream.decoders.encoders.whole_trial import WholeTrial
from decode_stream.decoders.generation.embedded import EmbeddedGenerator
from decode_stream.decoders.generation.embedded_files import (
    EmbeddedManifest,
    EmbeddedParts,
    GeneratorTraining,
    save_parts,
)
from decode_stream.decoders.manifest import EmbeddingSpace, Training
from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.decoders.runtime import Encoder
from decode_stream.export.linear import export_growing, export_linear, export_ridge
from decode_stream.export.onnx import export_encoder
from tests.decoders.bundles import small_bundle
from tests.decoders.distillation.small_flows import SIDE_PX, picture_model, small_network

SPACE = EmbeddingSpace("squares", "all", picture_model().dimension)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run command lines in this process, where nothing can be compiled and there is no GPU."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(bench, "missing", lambda name: None if name == "cpu" else "no NVIDIA driver")

    def compile_nothing(*_: object, **__: object) -> Callable[..., None]:
        def fail(*_: object) -> None:
            raise RuntimeError("no compiler of C++\nand a page of words")

        return fail

    monkeypatch.setattr(torch, "compile", compile_nothing)

    def run(*tokens: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["decode-stream", *map(str, tokens)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


@pytest.fixture(scope="module")
def network() -> Bundle:
    """Return a bundle of a network that keeps its weights, and decodes what the small generator draws."""
    small = small_bundle()
    n_times = small.manifest.schedule.n_times
    module = Projection(ProjectionConfig(2, n_times, SPACE.dimension), 0).eval()
    windows = np.random.default_rng(0).standard_normal((4, 2, n_times)).astype(np.float32)
    model = export_encoder(WholeTrial(module), windows, np.array([0, 0.1, -1, 0], np.float32))
    gallery = np.random.default_rng(1).standard_normal((2, SPACE.dimension)).astype(np.float32)
    return replace(
        small,
        manifest=replace(small.manifest, space=SPACE, training=Training("projection")),
        encoder=model.graph,
        gallery=gallery,
        weights={name: value.numpy() for name, value in module.state_dict().items()},
    )


def fading() -> bytes:
    """Return a graph that takes what a generator's network does and limits its noise."""
    inputs = {
        "x": ["n", 3, SIDE_PX, SIDE_PX],
        "t": ["n"],
        "r": ["n"],
        "semantic": ["n", 4],
        "layout": ["n", 2, 2, 3],
        "open_share": ["n", 2],
    }
    graph = helper.make_graph(
        [helper.make_node("Tanh", ["x"], ["clean"])],
        "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("clean", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(made.SerializeToString())


def parts(weights: bytes = b"") -> EmbeddedParts:
    manifest = EmbeddedManifest("squares", SPACE, SIDE_PX, (1, 2), GeneratorTraining("squares"))
    return EmbeddedParts(manifest, fading(), picture_model(), weights=weights)


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    save_parts(parts(), tmp_path / "squares.zip")
    return tmp_path / "squares.zip"


def test_pictures_are_drawn_by_torch_as_by_the_generator() -> None:
    drawer = EmbeddedGenerator(parts())
    condition = drawer.pictures.condition(drawer.pictures.nothing())
    for n_steps in (1, 2):
        got = bench_torch.drawing(lambda x, *_: x.tanh(), drawer, n_steps)()
        expected = drawer.draw(condition, drawer.noise(0), n_steps)
        assert np.abs(np.asarray(got, int) - expected).max() <= 1
    network = small_network().eval()
    assert np.asarray(bench_torch.drawing(network, drawer, 1)()).shape == (1, SIDE_PX, SIDE_PX, 3)


def test_a_generator_is_rebuilt_from_its_own_weights_alone(tmp_path: Path) -> None:
    for made, words in (
        (parts(), "keeps no weights"),
        (parts(b"damaged"), "cannot be read"),
        (parts(flow_weights(small_network())), "is not what the ONNX graph gives"),
    ):
        with pytest.raises(bench_torch.RebuildError, match=words):
            bench_torch.generator_module(made, tmp_path)


def test_each_stage_is_timed_or_says_why_not(
    run: Run, network: Bundle, generator: Path, tmp_path: Path
) -> None:
    save_bundle(network, tmp_path / "n.bundle")
    out = tmp_path / "found.json"
    code, text = run(
        "bench", tmp_path / "n.bundle", "--generator", generator, "--seconds", "0.01", "--json", out
    )
    assert code == 0, text
    found = json.loads(out.read_bytes())
    rows = {(row["stage"], row["at_once"], row["by"]): row for row in found["rows"]}
    for n in (1, 5, 64):
        assert rows["encoder", n, "cuda"]["left_out"] == "no NVIDIA driver"
        assert rows["encoder", n, "torch.compile"]["left_out"] == "torch.compile failed: no compiler of C++"
    measured = [row for row in rows.values() if row["left_out"] is None]
    assert {(row["stage"], row["at_once"], row["by"]) for row in measured} == {
        ("preprocessing", 1, "NumPy"),
        ("evidence and ranking", 1, "NumPy"),
        ("best five alone", 1, "NumPy"),
        *(("encoder", n, by) for n in (1, 5, 64) for by in ("cpu", "torch eager")),
        ("generator, 1 step", 1, "cpu"),
        ("generator, 2 steps", 1, "cpu"),
    }
    assert "keeps no weights of its network" in rows["generator, 1 step", 1, "torch eager"]["left_out"]
    assert rows["generator, 4 steps", 1, "cpu"]["left_out"] == "it draws in 1, 2 steps"
    for row in measured:
        assert row["n"] >= 20
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["per_s"] == pytest.approx(1e3 * row["at_once"] / row["p50_ms"])
        assert f"{row['p50_ms']:.3f}" in text
    assert set(found["memory"]) == {"cpu"}
    assert found["bundle"]["n_entries"] == 2


def test_a_bundle_alone_is_measured(run: Run, tmp_path: Path) -> None:
    save_bundle(small_bundle(), tmp_path / "s.bundle")
    code, text = run("bench", tmp_path / "s.bundle", "--seconds", "0.01", "--provider", "cpu")
    assert code == 0, text
    assert "pictures: not measured: the generator that comes with the program does not draw" in text
    assert "torch eager: encoder: not measured: the bundle keeps no weights of its encoder" in text
    assert "cuda" not in text


def test_times_of_a_provider_that_was_lost_are_not_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(small_bundle(), tmp_path / "s.bundle")
    monkeypatch.setattr(Encoder, "lost", "the device is gone; the encoder goes on on the CPU")
    code, text = run("bench", tmp_path / "s.bundle", "--seconds", "0.01", "--provider", "cpu")
    assert code == 0, text
    assert "cpu: encoder: not measured: the device is gone" in text
    assert "preprocessing" in text


def test_what_cannot_be_measured_is_refused(run: Run, generator: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.bundle"
    save_bundle(small_bundle(), path)
    for tokens, words in (
        (("--provider", "cuda"), "cuda: no NVIDIA driver"),
        (("--generator", generator), "draws embeddings of squares"),
        (("--generator", tmp_path / "none.zip"), "none.zip"),
        (("--seconds", "0"), "--seconds is 0"),
        (("--seconds", "nan"), "--seconds is nan"),
        (("--json", tmp_path / "no" / "x.json"), "cannot be written"),
    ):
        code, text = run("bench", path, *tokens)
        assert code in (1, 2), text
        assert words in text
        assert "Traceback" not in text


def test_other_weights_and_fewer_bits_are_not_passed_off_as_the_encoder(network: Bundle) -> None:
    encoder = Encoder(network)
    assert isinstance(bench_torch.encoder_module(network, encoder), WholeTrial)
    others = {
        name: value + 1 if value.dtype == np.float32 else value for name, value in network.weights.items()
    }
    for bundle, words in (
        (replace(network, weights=others), "is not what the ONNX graph gives"),
        (replace(network, weights={"x": np.zeros(1)}), "cannot be rebuilt"),
        (replace(network, weights={}), "keeps no weights"),
        (replace(network, manifest=replace(network.manifest, training=Training("mine"))), "rebuilds 'mine'"),
        (
            replace(
                network,
                manifest=replace(
                    network.manifest,
                    conversion=Conversion("fp16", "0" * 64, "PyTorch", {"encoder": 0.0}, 1.0),
                ),
            ),
            "is in fp16",
        ),
    ):
        with pytest.raises(bench_torch.RebuildError, match=words):
            bench_torch.encoder_module(bundle, encoder)


def linear_models() -> list[OnnxModel]:
    rng = np.random.default_rng(0)
    sliding = LinearReadout(rng.standard_normal((3, 4, 2, 5)), rng.standard_normal((3, 4)), 0.025)
    growing = GrowingReadout(
        rng.standard_normal((4, 2, 5)), rng.standard_normal((3, 4)), np.array([0.1, 0.2, 0.4])
    )
    ridge = RidgeReadout(rng.standard_normal((2, 4)), rng.standard_normal(4), np.ones(4))
    windows = rng.standard_normal((2, 3, 2, 5)).astype(np.float32)
    return [
        export_linear(sliding, windows),
        export_growing(growing, windows),
        export_ridge(ridge, windows[:, :1]),
    ]


@pytest.mark.parametrize("model", linear_models(), ids=["sliding", "growing", "ridge"])
def test_linear_decoders_are_rebuilt_from_their_graphs(model: OnnxModel) -> None:
    rng = np.random.default_rng(2)
    window = rng.standard_normal((6, 2, 5)).astype(np.float32)
    latency_s = np.array([-1, 0, 0.03, 0.125, 0.3, 2], np.float32)
    (expected,) = load_model(model).run(None, {"window": window, "latency_s": latency_s})
    module = linear_module(model)
    assert module is not None
    got = module(torch.from_numpy(window), torch.from_numpy(latency_s)).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert linear_module(replace(model, data=b"x")) is None


def test_calls_are_timed_by_turns() -> None:
    order: list[str] = []
    found = timed({name: lambda name=name: order.append(name) for name in "ab"}, 1e-9)  # type: ignore[misc]
    counted = order[10:]
    assert counted == ["a", "b"] * 20
    assert found["a"].n == found["b"].n == 20
    assert timed({}, 1.0) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no memory")
def test_memory_that_is_taken_is_told() -> None:
    before = resident_bytes()
    taken = np.ones(1 << 23)
    after, most = resident_bytes(), peak_bytes()
    assert before is not None
    assert after is not None
    assert most is not None
    assert after - before > 0.9 * taken.nbytes
    assert most >= after - (1 << 20)
