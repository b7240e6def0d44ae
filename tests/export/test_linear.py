from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pytest

from decode_stream.decoders.encoders.lda import LinearReadout, fit_lda
from decode_stream.export.linear import export_linear
from decode_stream.export.parity import require_parity
from decode_stream.stream.errors import ExportError
from decode_stream.stream.windows import WindowSchedule

N_LATENCIES = 21


@pytest.fixture
def fitted() -> tuple[LinearReadout, np.ndarray, ort.InferenceSession]:
    schedule = WindowSchedule(Fraction(128))
    rng = np.random.default_rng(5)
    labels = np.arange(120) % 3
    epochs = rng.normal(size=(120, 3, schedule.stop(N_LATENCIES - 1))) + labels[:, None, None] * 0.3
    stops = [schedule.stop(k) for k in range(N_LATENCIES)]
    windows = np.stack([epochs[:, :, s - schedule.n_times : s] for s in stops], axis=1).astype(np.float32)
    readout = fit_lda(epochs, labels, schedule, N_LATENCIES, n_entries=3)
    model = export_linear(readout, windows[:3])
    return readout, windows, ort.InferenceSession(model.graph, providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, windows: np.ndarray, latencies_s: np.ndarray) -> np.ndarray:
    feed = {"window": windows, "latency_s": latencies_s.astype(np.float32)}
    return session.run(["embedding"], feed)[0]


def test_the_graph_gives_what_the_readout_gives(fitted) -> None:
    readout, windows, graph = fitted
    latencies_s = np.tile(np.arange(N_LATENCIES) * 0.025, 10)
    got = run(graph, windows[:10].reshape(-1, *windows.shape[2:]), latencies_s).reshape(10, N_LATENCIES, 3)
    np.testing.assert_allclose(got, readout.embed(windows[:10]), rtol=0, atol=1e-5)


def test_no_evidence_where_the_latency_is_unknown_or_off_the_grid(fitted) -> None:
    _, windows, graph = fitted
    off = np.array([-1.0, -0.01, N_LATENCIES * 0.025 + 0.001, 2.0])
    assert not run(graph, windows[:4, 8], off).any()
    halfway = run(graph, windows[:1, 8], np.array([0.2125]))
    ends = [run(graph, windows[:1, 8], np.array([latency_s])) for latency_s in (0.2, 0.225)]
    np.testing.assert_allclose(halfway, np.mean(ends, axis=0), atol=1e-5)


def test_a_graph_that_gives_something_else_is_refused(fitted) -> None:
    readout, windows, _ = fitted
    model = export_linear(readout, windows[:2])
    flat, latencies_s = windows[0], (np.arange(N_LATENCIES) * 0.025).astype(np.float32)
    expected = readout.embed(windows[:1])[0]
    assert require_parity(model, flat, latencies_s, expected) < 1e-5
    for wrong in (expected * 1.001, np.where(expected == expected.max(), np.nan, expected)):
        with pytest.raises(ExportError, match="Nothing was written"):
            require_parity(model, flat, latencies_s, wrong)
