import numpy as np
import pytest

from decode_stream.stream.window_chain import WindowChain, WindowSpec


def test_window_chain_baseline_gate_and_clamp() -> None:
    window = np.array([[1.0, 2.0], [3.0, 40.0]], dtype=np.float32)
    baseline = np.array([[1.0, 0.0], [1.0, 4.0]], dtype=np.float32)
    chain = WindowChain(WindowSpec(baseline_s=(-0.2, 0.0), clamp=5.0), 100.0)
    assert chain.baseline_span(1000) == (980, 1000)
    out = chain.apply(window, baseline)
    assert out is not None
    assert out.tolist() == [[0.0, 2.0], [0.0, 5.0]]
    assert out.flags.c_contiguous
    gate = WindowChain(WindowSpec(reject_peak=39.0), 100.0)
    assert gate.apply(window, None) is None
    assert gate.apply(window[:1], None) is not None
    assert gate.apply(np.full((2, 2), np.nan, np.float32), None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"baseline_s": (0.0, -0.1)},
        {"baseline_s": (-0.1, 0.1)},
        {"clamp": 0.0},
        {"reject_peak": float("nan")},
    ],
)
def test_a_window_spec_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="before the onset|above 0"):
        WindowSpec(**wrong)  # type: ignore[arg-type]


def test_a_baseline_without_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no sample at 10 Hz"):
        WindowChain(WindowSpec(baseline_s=(-0.02, 0.0)), 10.0)
