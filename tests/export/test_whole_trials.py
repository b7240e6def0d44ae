"""Encoders of whole trials as graphs: EEGNet, the flat projection network and Meta's MEG decoder."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from decode_stream.decoders.encoders.eegnet import EegNet, EegNetConfig
from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.encoders.spatial_attention import SpatialAttention, SpatialAttentionConfig
from decode_stream.decoders.encoders.whole_trial import WholeTrial
from decode_stream.export.onnx import export_encoder

POSITIONS = ((0.0, 0.08, 0.02), (0.07, 0.0, 0.03), (-0.07, 0.0, 0.03), None)
SPATIAL = SpatialAttentionConfig(
    4,
    30,
    5,
    POSITIONS,
    n_subjects=2,
    n_virtual=6,
    fourier_dim=32,
    hidden_dim=8,
    n_convolutions=2,
    feature_dim=12,
    aggregation="attention",
    head_dim=6,
    causal=True,
)


@pytest.mark.parametrize(
    "encoder",
    [
        EegNet(EegNetConfig(4, 30, 5)),
        Projection(ProjectionConfig(4, 30, 7, shared_dim=5)),
        SpatialAttention(SPATIAL),
    ],
    ids=["EEGNet", "projection", "spatial attention"],
)
def test_the_graph_gives_what_torch_gives(encoder: nn.Module) -> None:
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((6, 4, 30)).astype(np.float32)
    windows[2:, :, 20:] = 0.0  # not happened yet
    latencies_s = np.array([0, 0, 0, -1, 0, -1], dtype=np.float32)
    module = WholeTrial(encoder)
    session = ort.InferenceSession(
        export_encoder(module, windows, latencies_s).graph, providers=["CPUExecutionProvider"]
    )
    (got,) = session.run(["embedding"], {"window": windows[1:], "latency_s": latencies_s[1:]})
    with torch.inference_mode():
        expected = encoder(torch.tensor(windows[1:])).numpy()
    expected[latencies_s[1:] < 0] = 0.0
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected).max() > 1e-3
