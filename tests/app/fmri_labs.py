"""Betas of pictures and bundles that decode them, made without training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest, Training
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.stored import store
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec

from ..decoders.bundles import linear_onnx

N_VOXELS, DIM = 6, 4
VOXELS = tuple(f"{i},0,0" for i in range(N_VOXELS))


def looks(n: int, seed: int = 5) -> np.ndarray:
    """Return the embeddings of pictures."""
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def weights(seed: int = 6) -> np.ndarray:
    """Return what voxels answer to a picture, (DIM, N_VOXELS)."""
    return np.random.default_rng(seed).standard_normal((DIM, N_VOXELS))


def bent_onnx(matrix: np.ndarray) -> bytes:
    """Return an encoder that is not linear: averages before it and after it differ."""
    model = onnx.load_model_from_string(linear_onnx(matrix))
    graph = model.graph
    graph.node[-1].output[0] = "straight"
    graph.initializer.append(numpy_helper.from_array(np.array([3], np.float32), "power"))
    graph.node.append(helper.make_node("Pow", ["straight", "power"], ["embedding"]))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def fmri_bundle(
    path: Path,
    names: Sequence[str],
    embeddings: np.ndarray,
    *,
    encoder: bytes | None = None,
    labels: dict[str, str] | None = None,
    asked: dict[str, str] | None = None,
    weight: float = 5.0,
) -> Path:
    """Save a bundle that decodes betas; by default the least-squares map from voxels back to embeddings."""
    manifest = Manifest(
        name=path.name.removesuffix(".bundle"),
        modality="fmri",
        chain=ChainSpec(VOXELS, ("%",) * N_VOXELS, 0.25),
        window=WindowSpec(),
        length_s=4.0,
        step_s=4.0,
        n_latencies=1,
        space=EmbeddingSpace("test", "all", DIM),
        gallery=tuple(names),
        labels={str(i): name for i, name in enumerate(names)} if labels is None else labels,
        calibration=Calibration((weight,), 1.0),
        training=Training("ridge", asked=asked or {}),
    )
    code = linear_onnx(np.linalg.pinv(weights())) if encoder is None else encoder
    save_bundle(Bundle(manifest, code, np.asarray(embeddings, np.float32)), path)
    return path


def betas(
    path: Path, shown: Sequence[int], embeddings: np.ndarray, *, noise: float, seed: int, **columns: object
) -> Path:
    """Write a session of betas, one row a picture shown."""
    which = np.asarray(shown)
    rng = np.random.default_rng(seed)
    answers = embeddings[which] @ weights() + noise * rng.standard_normal((len(which), N_VOXELS))
    table = replace(StimulusTable(np.arange(len(which)), which), **columns)  # type: ignore[arg-type]
    recording = ArrayRecording(
        answers,
        tuple(Channel(name, "voxel", "%") for name in VOXELS),
        0.25,
        name=path.name.removesuffix(".recording"),
        stimuli=table,
        epoch=Epoch(1, 0, in_order=True),
    )
    store(recording, path)
    return path
