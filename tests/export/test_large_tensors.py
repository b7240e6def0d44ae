"""Encoders above the size of one ONNX file: the same, with their large tensors in a file beside it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.decoders.bundles import small_bundle
from torch import nn

from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.encoders.ridge import RidgeReadout
from decode_stream.decoders.onnx_model import DATA_FILE, OnnxModel, load_model
from decode_stream.decoders.runtime import Encoder
from decode_stream.export.large_tensors import laid_outside
from decode_stream.export.linear import export_ridge
from decode_stream.export.onnx import export_encoder
from decode_stream.export.parity import require_parity
from decode_stream.stream.errors import BundleError, ExportError

N_CHANNELS, N_TIMES, DIMENSION = 30, 20, 40


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 2 kB be what fits into one file."""
    monkeypatch.setattr("decode_stream.export.large_tensors.MOST_INSIDE_BYTES", 2000)


def trials() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5, 1, N_CHANNELS, N_TIMES)).astype(np.float32)


def readout() -> RidgeReadout:
    rng = np.random.default_rng(1)
    weights, offset = rng.standard_normal((N_CHANNELS, DIMENSION)), rng.standard_normal(DIMENSION)
    return RidgeReadout(weights, offset, np.ones(DIMENSION))


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(N_CHANNELS * N_TIMES, 64)
        self.second = nn.Linear(64, DIMENSION)

    def forward(self, window: torch.Tensor, latency_s: torch.Tensor) -> torch.Tensor:
        known = (latency_s >= 0).float().unsqueeze(1)
        return self.second(torch.relu(self.first(window.flatten(1)))) * known


def outputs(model: OnnxModel, windows: np.ndarray) -> np.ndarray:
    given = {"window": windows, "latency_s": np.zeros(len(windows), np.float32)}
    return np.asarray(load_model(model).run(["embedding"], given)[0])


def test_what_fits_into_one_file_stays_in_it() -> None:
    assert laid_outside({"a": np.zeros(10_000)}) == ({}, b"")
    assert export_ridge(readout(), trials()).data == b""


@pytest.mark.usefixtures("tiny")
def test_small_tensors_stay_inside_and_the_others_lie_end_to_end() -> None:
    tensors = {"a": np.arange(300.0), "axis": np.array([1]), "b": np.arange(500, dtype=np.float32)}
    offsets, data = laid_outside(tensors)
    assert offsets == {"a": 0, "b": 2400}
    assert data == tensors["a"].tobytes() + tensors["b"].tobytes()


def test_a_linear_model_gives_the_same_from_two_files(request: pytest.FixtureRequest) -> None:
    whole = export_ridge(readout(), trials())
    request.getfixturevalue("tiny")
    parted = export_ridge(readout(), trials())
    assert len(parted.data) == N_CHANNELS * DIMENSION * 4
    assert len(parted.graph) < len(whole.graph) / 4
    assert (outputs(parted, trials()[:, 0]) == outputs(whole, trials()[:, 0])).all()


def test_a_network_gives_the_same_from_two_files(request: pytest.FixtureRequest) -> None:
    torch.manual_seed(0)
    module, windows, latencies_s = TwoLayers(), trials()[:, 0], np.zeros(5, np.float32)
    whole = export_encoder(module, windows, latencies_s)
    request.getfixturevalue("tiny")
    parted = export_encoder(module, windows, latencies_s)
    assert whole.data == b""
    outside = [
        tensor.name
        for tensor in onnx.load_model_from_string(parted.graph).graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    assert len(outside) == 2
    assert len(parted.data) == 4 * (N_CHANNELS * N_TIMES * 64 + 64 * DIMENSION)
    assert (outputs(parted, windows) == outputs(whole, windows)).all()


@pytest.mark.usefixtures("tiny")
def test_numbers_outside_that_are_not_those_of_the_encoder_are_refused() -> None:
    model = export_ridge(readout(), trials())
    wrong = OnnxModel(model.graph, model.data[4:] + model.data[:4])
    expected = readout().embed(trials())[:, 0]
    with pytest.raises(ExportError, match="differs from the trained one"):
        require_parity(wrong, trials()[:, 0], np.zeros(5, np.float32), expected)


def parted_bundle() -> tuple[Bundle, np.ndarray]:
    """Return a bundle whose matrix lies outside the graph, and windows."""
    small = small_bundle()
    windows = np.random.default_rng(0).standard_normal((3, 1, 2, 20)).astype(np.float32)
    weights = np.random.default_rng(1).standard_normal((2, 2))
    model = export_ridge(RidgeReadout(weights, np.zeros(2), np.ones(2)), windows)
    return replace(small, encoder=model.graph, encoder_data=model.data), windows[:, 0]


@pytest.mark.parametrize("name", ["large.bundle", "large.zip"])
def test_a_bundle_of_two_files_is_saved_loaded_and_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decode_stream.export.large_tensors.MOST_INSIDE_BYTES", 0)
    monkeypatch.setattr("decode_stream.export.large_tensors._SMALL_BYTES", 8)
    bundle, windows = parted_bundle()
    assert bundle.encoder_data
    saved = save_bundle(bundle, tmp_path / name)
    assert DATA_FILE in saved.manifest.files
    again = load_bundle(tmp_path / name)
    assert again.encoder_data == bundle.encoder_data
    expected = outputs(OnnxModel(bundle.encoder, bundle.encoder_data), windows)
    latencies_s = np.zeros(len(windows), np.float32)
    assert (Encoder(again).encode(windows, latencies_s) == expected).all()
    if name == "large.bundle":
        data = (tmp_path / name / DATA_FILE).read_bytes()
        (tmp_path / name / DATA_FILE).write_bytes(data[:-1] + b"\x00")
        with pytest.raises(BundleError, match=r"encoder\.onnx\.data in .* is not the file that was saved"):
            load_bundle(tmp_path / name)
        (tmp_path / name / DATA_FILE).unlink()
        with pytest.raises(BundleError, match=r"encoder\.onnx\.data in .* is missing"):
            load_bundle(tmp_path / name)


def test_a_graph_whose_numbers_are_not_in_the_bundle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decode_stream.export.large_tensors.MOST_INSIDE_BYTES", 0)
    monkeypatch.setattr("decode_stream.export.large_tensors._SMALL_BYTES", 8)
    bundle, _ = parted_bundle()
    with pytest.raises(BundleError, match="cannot be run"):
        Encoder(replace(bundle, encoder_data=b""))
