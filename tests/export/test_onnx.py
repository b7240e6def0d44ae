import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.export.onnx import OPSET, export_encoder
from decode_stream.stream.errors import ExportError


def encoder(**changes: object) -> ChannelAttention:
    size = {"n_channels": 5, "n_times": 13, "embedding_dim": 7, "n_latencies": 6}
    module = ChannelAttention(ChannelAttentionConfig(**(size | changes)), seed=1)
    with torch.no_grad():
        # As initialised, the attention path says nothing.
        module.read_out.weight.normal_()
        module.linear.weight.normal_()
    return module


def windows(n: int, n_channels: int = 5, n_times: int = 13) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    latencies_s = (np.arange(n) % 6 * 0.025).astype(np.float32)
    latencies_s[1::4] = -1
    return rng.standard_normal((n, n_channels, n_times)).astype(np.float32), latencies_s


POSITIONS = tuple((0.01 * i, 0.02, 0.03) for i in range(4))


@pytest.mark.parametrize("changes", [{}, {"positions_m": (*POSITIONS, None)}, {"linear_rank": 3}])
def test_the_graph_gives_what_torch_gives_for_any_batch(changes: dict[str, object]) -> None:
    module = encoder(**changes)
    model = export_encoder(module, *windows(12))
    session = ort.InferenceSession(model.graph, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["window", "latency_s"]
    assert [o.name for o in session.get_outputs()] == ["embedding"]
    assert onnx.load_model_from_string(model.graph).opset_import[0].version == OPSET
    for n in (1, 2, 5, 33):
        x, latencies_s = windows(n)
        (got,) = session.run(None, {"window": x, "latency_s": latencies_s})
        with torch.inference_mode():
            expected = module(torch.tensor(x), torch.tensor(latencies_s)).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_network_that_export_changes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = encoder()
    real = torch.onnx.export

    def tampered(exported: torch.nn.Module, *args: object, **kwargs: object) -> object:
        program = real(exported, *args, **kwargs)
        exported.linear.weight = torch.nn.Parameter(1.01 * exported.linear.weight.detach())
        return program

    monkeypatch.setattr(torch.onnx, "export", tampered)
    with pytest.raises(ExportError, match="differs from the trained one"):
        export_encoder(module, *windows(12))
