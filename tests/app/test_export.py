"""The command that exports: what it writes runs by the same commands, and what cannot be is refused."""

import errno
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from decode_stream import export_networks as module
from decode_stream.cli import main
from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.decoders.generation.embedded import load_embedded
from decode_stream.decoders.generation.embedded_files import (
    EmbeddedManifest,
    EmbeddedParts,
    GeneratorTraining,
    load_generator_manifest,
    load_parts,
    save_parts,
)
from decode_stream.decoders.inference import tensorrt_engine
from decode_stream.decoders.manifest import EmbeddingSpace, PriorTraining
from decode_stream.decoders.novelty import fit_familiar, fit_novelty
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.prior_part import PriorPart
from decode_stream.decoders.runtime import LIVE_BATCHES, Encoder
from decode_stream.export.sample_inputs import drawn_windows
from decode_stream.stream.filters import ChainSpec
from tests.app.export_networks import generator_onnx, prior_onnx
from tests.app.recordings import write_csv
from tests.decoders.bundles import small_bundle
from tests.decoders.distillation.small_flows import SIDE_PX, picture_model
from tests.decoders.inference.networks import encoder

N_TIMES = 13
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run command lines in this process."""
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*tokens: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["decode-stream", *map(str, tokens)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the path of a bundle with a prior and a picture of its training, for the recordings of `write_csv`."""
    small = small_bundle(chain=ChainSpec(("Oz", "Pz"), ("uV", "uV"), 128.0))
    seen = 3 + 10 * np.random.default_rng(0).standard_normal((40, 5, 2, N_TIMES)).astype(np.float32)
    familiar = fit_familiar(seen)
    distances = familiar.distances(seen.reshape(-1, 2, N_TIMES)).reshape(40, 5, 4)
    manifest = replace(small.manifest, prior=PriorTraining(1, 40, "held-out trials"))
    prior = PriorPart(prior_onnx(2), 1, np.zeros(2, np.float32), np.zeros(2, np.float32))
    weights = {"layer.weight": np.ones((2, 2), np.float32)}
    novelty = fit_novelty(familiar, distances)
    whole = replace(small, manifest=manifest, novelty=novelty, prior=prior, weights=weights)
    save_bundle(whole, tmp_path / "small.bundle")
    return tmp_path / "small.bundle"


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    space = EmbeddingSpace("squares", "all", picture_model().dimension)
    manifest = EmbeddedManifest("squares", space, SIDE_PX, (1, 2), GeneratorTraining("squares"))
    save_parts(EmbeddedParts(manifest, generator_onnx(), picture_model()), tmp_path / "squares.zip")
    return tmp_path / "squares.zip"


def windows(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(5).standard_normal((n, 2, N_TIMES)).astype(np.float32)
    return drawn, np.zeros(n, np.float32)


def test_plain_files_say_what_they_are(run: Run, bundle: Path, tmp_path: Path) -> None:
    code, text = run("export", bundle, "--to", "onnx", "--out", tmp_path / "plain")
    assert code == 0, text
    assert "encoder.onnx, prior.onnx" in text
    assert "none of them is real" in text
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {"encoder.onnx", "prior.onnx"}
    before = load_bundle(bundle)
    for name in ("encoder", "prior"):
        proto = onnx.load(tmp_path / "plain" / f"{name}.onnx")
        said = {entry.key: entry.value for entry in proto.metadata_props}
        assert said["name"] == "small"
        assert said["precision"] == "fp32"
        assert said["source_sha256"] == before.sha256
        assert "onnx" in json.loads(said["exported_with"])
        assert said["opset"] == str(proto.opset_import[0].version)
    own = Encoder(replace(before, encoder=(tmp_path / "plain" / "encoder.onnx").read_bytes()))
    assert np.array_equal(own.encode(*windows()), Encoder(before).encode(*windows()))


@pytest.mark.parametrize("to", ["fp16", "int8"])
def test_a_converted_bundle_runs_by_the_same_commands(
    run: Run, bundle: Path, tmp_path: Path, to: str
) -> None:
    recording, out = write_csv(tmp_path / "run.csv"), tmp_path / "small.zip"
    code, text = run("export", bundle, "--to", to, "--recording", recording, "--out", out)
    assert code == 0, text
    assert "windows of run.csv and 64 windows drawn from the bundle's own statistics" in text
    before, after = load_bundle(bundle, weights=True), load_bundle(out, weights=True)
    assert after.weights.keys() == before.weights.keys()
    said = after.manifest.conversion
    assert said is not None
    assert (said.precision, said.source) == (to, before.sha256)
    assert set(said.error) == {"encoder", "prior"}
    assert said.cosine is not None
    assert 0.99 < said.cosine <= 1.0001
    assert replace(after.manifest, conversion=None, files={}) == replace(before.manifest, files={})
    assert (Encoder(before).encode(*windows()) != Encoder(after).encode(*windows())).any()
    assert before.prior is not None
    assert after.prior is not None
    embeddings = np.eye(2, dtype=np.float32)
    own, plain = (Prior(part).samples(embeddings, [1, 2], 3) for part in (after.prior, before.prior))
    assert 0 < np.abs(own - plain).max() < 0.05 * np.abs(plain).max()
    told = [run("evaluate", recording, "--bundle", one, "--provider", "cpu") for one in (bundle, out)]
    assert told[0][0] == told[1][0] == 0
    assert "top-1 0.8" in told[0][1]
    assert told[0][1] == told[1][1]
    code, text = run("inspect", out)
    assert f"{to}, off by encoder" in text
    code, text = run("export", out, "--to", "int8", "--out", tmp_path / "again")
    assert code == 2
    assert f"is in {to} already" in text
    assert before.sha256[:12] in text


@pytest.mark.parametrize("to", ["fp16", "int8"])
def test_a_converted_generator_draws(run: Run, generator: Path, tmp_path: Path, to: str) -> None:
    code, text = run("export", generator, "--to", to, "--out", tmp_path / "out")
    assert code == 0, text
    assert "conditions drawn as in training" in text
    said = load_generator_manifest(tmp_path / "out").conversion
    assert said is not None
    assert said.cosine is None
    assert 0 < said.error["network"] < 0.05
    before, after = load_embedded(generator), load_embedded(tmp_path / "out")
    nothing = before.pictures.condition(before.pictures.nothing())
    drawn = [one.draw(nothing, one.noise(3), 1).astype(int) for one in (before, after)]
    assert np.abs(drawn[0] - drawn[1]).max() <= 6
    assert load_parts(tmp_path / "out").network != load_parts(generator).network
    code, text = run("export", generator, "--to", "onnx", "--out", tmp_path / "plain")
    assert code == 0, text
    assert (tmp_path / "plain" / "network.onnx").is_file()


def test_an_engine_is_built_for_every_network_and_copied_where_it_is_asked_for(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = list[tuple[OnnxModel, int, str]]()

    def build_engine(model: OnnxModel, *, most_batch: int, library: str, report: object) -> Path:
        built.append((model, most_batch, library))
        path = tmp_path / f"{len(built)}.engine"
        path.write_bytes(b"engine")
        return path

    monkeypatch.setattr(tensorrt_engine, "build_engine", build_engine)
    code, text = run("export", bundle, "--to", "tensorrt-rtx", "--out", tmp_path / "engines")
    assert code == 0, text
    before = load_bundle(bundle)
    assert before.prior is not None
    assert built == [
        (OnnxModel(before.encoder), max(LIVE_BATCHES), "tensorrt-rtx"),
        (OnnxModel(before.prior.model), 1, "tensorrt-rtx"),
    ]
    assert {path.name for path in (tmp_path / "engines").iterdir()} == {"1.engine", "2.engine"}
    code, text = run("export", bundle, "--to", "tensorrt")
    assert code == 0, text
    assert str(tmp_path / "3.engine") in text
    assert run("export", bundle, "--to", "int8", "--out", tmp_path / "small")[0] == 0
    code, text = run("export", tmp_path / "small", "--to", "tensorrt")
    assert code == 2
    assert "is in int8, which is for CPUs" in text


def test_without_the_library_an_engine_is_refused_with_what_to_install(
    run: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    code, text = run("export", bundle, "--to", "tensorrt")
    assert code == 2
    assert "pip install 'decode-stream[tensorrt]'" in text


def test_a_generator_is_compared_with_its_own_network_where_it_is_kept(
    generator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from decode_stream.decoders.distillation import flow_weights

    def blur(x: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 3)).astype(np.float32) / 9
        return torch.tanh(torch.nn.functional.conv2d(x, torch.from_numpy(kernel), padding=1))

    monkeypatch.setattr(flow_weights, "load_flow_network", lambda *_: blur)
    parts = replace(load_parts(generator), weights=b"its weights")
    (network,) = module.generator_networks(parts, generator).networks
    assert network.compared_with == "PyTorch"
    (own,) = module.generator_networks(load_parts(generator), generator).networks
    assert own.compared_with == "the float32 ONNX model"
    np.testing.assert_allclose(network.expected["clean"], own.expected["clean"], atol=1e-5)


@pytest.mark.parametrize(
    ("network", "tells"),
    [
        (b"no network", "is no ONNX file, or a damaged one"),
        (encoder(operator="Foreign").graph, "it needs operators of 'com.example'"),
        (encoder().graph.replace(b"Flatten", b"Flotten"), "Flotten"),
        (encoder().graph.replace(b"window", b"widnow"), "widnow"),
    ],
)
def test_a_network_that_cannot_be_run_is_refused_as_sessions_refuse_it(
    run: Run, bundle: Path, tmp_path: Path, network: bytes, tells: str
) -> None:
    save_bundle(replace(load_bundle(bundle), encoder=network), tmp_path / "bad.zip")
    code, text = run("export", tmp_path / "bad.zip", "--to", "fp16", "--out", tmp_path / "out")
    assert code == 2, text
    assert "The encoder cannot be run: " in text
    assert tells in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["onnx", "fp16", "tensorrt"])
def test_a_full_disk_is_told(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    def build_engine(*_: object, **__: object) -> Path:
        (tmp_path / "1.engine").write_bytes(b"engine")
        return tmp_path / "1.engine"

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensorrt_engine, "build_engine", build_engine)
    monkeypatch.setattr("decode_stream.decoders.bundle_files.write_files", full)
    monkeypatch.setattr("decode_stream.export_bundle.shutil.copy2", full)
    code, text = run("export", bundle, "--to", to, "--out", tmp_path / "out")
    assert code == 2, text
    assert "out cannot be written: No space left on device. Make room there, or give another --out" in text
    assert (str(tmp_path / "1.engine") in text) == (to == "tensorrt")


def test_drawn_windows_are_as_strong_as_those_of_the_training(bundle: Path) -> None:
    drawn, latencies_s = drawn_windows(load_bundle(bundle), 64)
    assert drawn.shape == (64, 2, N_TIMES)
    assert 8 < np.sqrt(np.mean(drawn**2)) < 14
    assert set(latencies_s[7::8].tolist()) == {-1}
    assert len(set(latencies_s.tolist())) == 6
    plain, _ = drawn_windows(replace(load_bundle(bundle), novelty=None), 64)
    assert np.sqrt(np.mean(plain**2)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("tokens", "tells"),
    [
        (("small.bundle", "--to", "fp16"), ("--to fp16 writes the new bundle", "--out PATH")),
        (("small.bundle", "--to", "onnx"), ("--to onnx writes a new folder", "--out PATH")),
        (("small.bundle", "--to", "fp8", "--out", "x"), ('"fp8"', "int8")),
        (("small.bundle", "--to", "onnx", "--out", "squares.zip"), ("squares.zip exists already",)),
        (("missing.bundle", "--to", "onnx", "--out", "x"), ("missing.bundle is neither a bundle nor",)),
        (("text.zip", "--to", "onnx", "--out", "x"), ("text.zip is neither a bundle nor",)),
        (("squares.zip", "--recording", "a.csv", "--to", "int8", "--out", "x"), ("is a generator",)),
        (("small.bundle", "--recording", "a.csv", "--to", "tensorrt"), ("--recording is to", "Leave it out")),
        (("small.bundle", "--recording", "no.csv", "--to", "int8", "--out", "x"), ("no.csv",)),
        (("small.bundle", "--recording", "empty.csv", "--to", "int8", "--out", "x"), ("No trial of empty",)),
    ],
)
def test_what_cannot_be_exported_is_refused(
    run: Run,
    bundle: Path,
    generator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokens: tuple[str, ...],
    tells: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.zip").write_text("no archive")
    write_csv(tmp_path / "empty.csv", codes=(7,))
    before = {path.name for path in tmp_path.iterdir()}
    code, text = run("export", *tokens)
    assert code == 2, text
    assert "Traceback" not in text
    for words in tells:
        assert words in text
    assert {path.name for path in tmp_path.iterdir()} == before
