import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from decode_stream.decoders.encoders.atm import Atm, AtmConfig
from decode_stream.decoders.encoders.nice import ATTENTIONS, Nice, NiceConfig
from decode_stream.decoders.encoders.whole_trial import WholeTrial, embed_whole
from decode_stream.export.onnx import export_encoder

ATM = AtmConfig(n_channels=4, n_times=80, embedding_dim=6, n_subjects=3)
EPOCHS = np.random.default_rng(0).standard_normal((7, 4, 80), dtype=np.float32)
LATENCIES_S = np.array([0, -1, 0, 0.1, 0, -0.3, 0], np.float32)
KNOWN = LATENCIES_S >= 0


pytestmark = pytest.mark.usefixtures("one_thread")


class SideBySide(nn.Module):
    """Several encoders of whole trials, their embeddings one after the other: an export takes seconds."""

    def __init__(self, encoders: list[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(self, epoch: torch.Tensor, subject: torch.Tensor | None = None) -> torch.Tensor:
        return torch.cat([encoder(epoch, subject) for encoder in self.encoders], dim=1)


def test_onnx_gives_what_torch_gives_for_any_batch() -> None:
    encoders = [Atm(ATM), *(Nice(NiceConfig(4, 80, 6, attention)) for attention in ATTENTIONS)]
    graph = export_encoder(WholeTrial(SideBySide(encoders)), EPOCHS, LATENCIES_S)
    session = ort.InferenceSession(graph.graph, providers=["CPUExecutionProvider"])
    for n in (1, 2, 7):
        (got,) = session.run(["embedding"], {"window": EPOCHS[:n], "latency_s": LATENCIES_S[:n]})
        assert not got[~KNOWN[:n]].any()
        for encoder, part in zip(encoders, np.split(got, len(encoders), axis=1), strict=True):
            expected = embed_whole(encoder, EPOCHS[:n])
            np.testing.assert_allclose(part[KNOWN[:n]], expected[KNOWN[:n]], rtol=1e-4, atol=1e-5)


def test_a_window_of_unknown_latency_is_no_evidence_whatever_it_holds() -> None:
    windows = torch.from_numpy(EPOCHS.copy())
    windows[1] = float("nan")
    embedding = WholeTrial(Nice(NiceConfig(4, 80, 6)).eval())(windows, torch.from_numpy(LATENCIES_S))
    assert not embedding[~KNOWN].any()
    assert embedding[KNOWN].any(dim=1).all()


def test_embedding_goes_batch_by_batch_as_outside_training_and_changes_nothing() -> None:
    encoder = Atm(ATM).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    whole = embed_whole(encoder, EPOCHS)
    assert encoder.training
    assert (whole.dtype, whole.shape) == (np.float32, (7, 6))
    parts = embed_whole(encoder, EPOCHS.astype(np.float64), batch_size=3)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_no_trials_have_no_embeddings() -> None:
    assert embed_whole(Atm(ATM), EPOCHS[:0]).shape == (0, 6)


def test_the_training_mode_outlives_a_failure() -> None:
    encoder = Nice(NiceConfig(4, 80, 6))
    with pytest.raises(RuntimeError):
        embed_whole(encoder, EPOCHS[:, :3])
    assert encoder.training
