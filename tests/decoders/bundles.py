"""Small bundles for tests: a linear encoder as ONNX, built without training."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest, Training
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.window_chain import WindowSpec


def linear_onnx(weights: np.ndarray, bias: np.ndarray | None = None) -> bytes:
    """Return a graph that flattens the window and multiplies it with `weights`, (n_channels * n_times, dimension)."""
    nodes = [
        helper.make_node("Flatten", ["window"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
        # The latency is taken, and has no influence.
        helper.make_node("Unsqueeze", ["latency_s", "one"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "bias"], ["constant"]),
        helper.make_node("Add", ["product", "constant"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", "channels", "times"]),
            helper.make_tensor_value_info("latency_s", TensorProto.FLOAT, ["batch"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
            numpy_helper.from_array(np.zeros(1, np.float32) if bias is None else bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model.SerializeToString()


def small_bundle(
    channels: tuple[str, ...] = ("Oz", "Pz"),
    sfreq_hz: float = 200.0,
    *,
    units: tuple[str, ...] | None = None,
    chain: ChainSpec | None = None,
    window: WindowSpec | None = None,
    n_latencies: int = 5,
    weights: np.ndarray | None = None,
    labels: dict[str, str] | None = None,
) -> Bundle:
    """Return a two-entry bundle whose evidence is the mean of the first channel."""
    chain = chain or ChainSpec(channels, units or ("uV",) * len(channels), sfreq_hz)
    n_times = round(0.1 * chain.sfreq_hz)
    if weights is None:
        weights = np.zeros((chain.n_out * n_times, 2), np.float32)
        weights[:n_times, 0], weights[:n_times, 1] = -1 / n_times, 1 / n_times
    manifest = Manifest(
        name="small",
        modality="eeg",
        chain=chain,
        window=window or WindowSpec(),
        length_s=0.1,
        step_s=0.025,
        n_latencies=n_latencies,
        space=EmbeddingSpace("categories", "one-hot", 2, "none"),
        gallery=("house", "face"),
        labels=labels if labels is not None else {"1": "house", "2": "face"},
        calibration=Calibration((1.0,) * n_latencies, 1.0),
        training=Training("linear"),
    )
    return Bundle(manifest, linear_onnx(weights), np.eye(2, dtype=np.float32), {"face": b"\x89PNG"})


def weighing(bundle: Bundle) -> Bundle:
    """Return a small bundle whose showings are weighed for what comes again with a picture."""
    rng = np.random.default_rng(0)
    chain, n_times = bundle.manifest.chain, round(0.1 * bundle.manifest.chain.sfreq_hz)
    weights = 0.1 * rng.standard_normal((chain.n_out * n_times, 3)).astype(np.float32)
    projector = GalleryProjector(
        rng.standard_normal((2, 2)).astype(np.float32),
        rng.standard_normal(2).astype(np.float32),
        gaussian=True,
        rho=np.array([0.6, 0.1], np.float32),
    )
    weights_by_latency = tuple(np.linspace(0.5, 1.5, bundle.manifest.n_latencies).tolist())
    calibration = Calibration(weights_by_latency, 1.0, repeat_correlation=0.1)
    return replace(
        bundle,
        manifest=replace(bundle.manifest, calibration=calibration),
        encoder=linear_onnx(weights),
        gallery=projector.project(np.eye(2)),
        projector=projector,
    )


def edit_manifest(path: Path, **changes: object) -> None:
    """Change the manifest of a saved bundle as someone does who means to: its hash is right again."""
    text = json.dumps(json.loads((path / "bundle.json").read_text()) | changes).encode()
    (path / "bundle.json").write_bytes(text)
    (path / "bundle.sha256").write_text(hashlib.sha256(text).hexdigest())
