from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from decode_stream.stream.errors import StreamError
from decode_stream.stream.filters import CausalChain, ChainSpec, _filter_with_checks, _sosfilt, _trusted
from decode_stream.stream.types import Channel

NAMES = ("Fz", "Cz", "Pz", "Oz")
CHANNELS = tuple(Channel(name, "eeg", "uV") for name in ("Oz", "Pz", "AUX", "Cz", "Fz"))


def everything(sfreq_hz: float) -> ChainSpec:
    rng = np.random.default_rng(3)
    spatial = np.eye(4) - 0.25 + 0.01 * rng.standard_normal((4, 4))
    return ChainSpec(
        channels=NAMES,
        units=("uV",) * 4,
        sfreq_hz=sfreq_hz,
        spatial=tuple(map(tuple, spatial.tolist())),
        notch_hz=(50.0,),
        highpass_hz=1.0,
        lowpass_hz=40.0,
        center=(0.1, -0.2, 0.3, 0.0),
        scale=(2.0, 3.0, 1.5, 1.0),
    )


def in_pieces(chain: CausalChain, x: np.ndarray, sizes: list[int]) -> np.ndarray:
    out, at = [], 0
    for size in [*sizes, len(x)]:
        out.append(chain.process(x[at : at + size], at))
        at = min(at + size, len(x))
    return np.concatenate(out)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), max_size=30),
    decimation=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 99),
)
def test_output_does_not_depend_on_the_chunks(sizes: list[int], decimation: int, seed: int) -> None:
    x = 100 + 30 * np.random.default_rng(seed).standard_normal((400, 5)).astype(np.float32)
    x[37, 3] = np.nan
    x[41:44, 0] = np.inf
    spec = everything(200.0)
    whole = CausalChain(spec, CHANNELS, 200.0 * decimation).process(x, 0)
    pieces = in_pieces(CausalChain(spec, CHANNELS, 200.0 * decimation), x, sizes)
    single = in_pieces(CausalChain(spec, CHANNELS, 200.0 * decimation), x, [1] * 400)
    assert whole.dtype == np.float32
    assert len(whole) == -(-400 // decimation)
    assert whole.tobytes() == pieces.tobytes() == single.tobytes()


def test_the_kernel_and_the_public_filter_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((300, 5))
    spec = everything(200.0)
    fast = in_pieces(CausalChain(spec, CHANNELS, 1000.0), x, [7, 30, 1])
    monkeypatch.setattr("decode_stream.stream.filters._filter_in_place", _filter_with_checks)
    assert fast.tobytes() == in_pieces(CausalChain(spec, CHANNELS, 1000.0), x, [20, 3]).tobytes()


def test_a_kernel_that_another_scipy_has_changed_is_not_used() -> None:
    def wrong(sos: np.ndarray, x: np.ndarray, state: np.ndarray) -> None:
        _filter_with_checks(sos, x, state)
        state += 1e-15

    def with_other_arguments(sos: np.ndarray) -> None:
        raise AssertionError("never begun")

    assert _trusted(_sosfilt) is _sosfilt
    assert _trusted(wrong) is _filter_with_checks
    assert _trusted(with_other_arguments) is _filter_with_checks  # type: ignore[arg-type]


def test_a_wide_spatial_matrix_is_chunk_invariant_too() -> None:
    # 271 channels is where matrix products begin to round by the shape of the block.
    rng = np.random.default_rng(0)
    channels = tuple(Channel(f"M{i}", "mag", "fT") for i in range(271))
    spatial = tuple(map(tuple, rng.standard_normal((60, 271)).tolist()))
    spec = ChainSpec(tuple(c.name for c in channels), ("fT",) * 271, 1200.0, spatial=spatial)
    x = rng.standard_normal((64, 271))
    whole = CausalChain(spec, channels, 1200.0).process(x, 0)
    assert whole.tobytes() == in_pieces(CausalChain(spec, channels, 1200.0), x, [1] * 64).tobytes()
    assert whole.tobytes() == in_pieces(CausalChain(spec, channels, 1200.0), x, [7, 30, 3]).tobytes()


def test_it_computes_what_scipy_computes_offline() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2000, 5))
    spec = ChainSpec(NAMES, ("uV",) * 4, 250.0, highpass_hz=1.0, lowpass_hz=30.0)
    out = CausalChain(spec, CHANNELS, 1000.0).process(x, 0)
    sos = np.vstack(
        [
            signal.butter(4, (1, 30), "bandpass", fs=1000, output="sos"),
            signal.cheby2(8, 60, 125, fs=1000, output="sos"),
        ]
    )
    picked = x[:, [4, 3, 1, 0]]
    steady = signal.sosfilt_zi(sos)[:, :, None] * picked[0]
    expected = signal.sosfilt(sos, picked, axis=0, zi=steady)[0][::4].astype(np.float32)
    assert np.array_equal(out, expected)


def test_decimation_keeps_the_absolute_grid() -> None:
    x = np.arange(40, dtype=np.float64)[:, None]
    channels = (Channel("a", "misc", ""),)
    spec = ChainSpec(("a",), ("",), 100.0)
    chain = CausalChain(spec, channels, 100.0)
    assert chain.process(x[:10], 3)[:, 0].tolist() == list(range(10))
    slow = CausalChain(ChainSpec(("a",), ("",), 25.0), channels, 100.0)
    assert len(slow.process(x[:10], 3)) == 3  # sample indices 4, 8 and 12 of [3, 13)
    assert len(slow.process(x[:3], 13)) == 0


def test_aliases_are_60_db_down() -> None:
    n, fs = 8000, 1000.0
    t = np.arange(n) / fs
    chain = CausalChain(ChainSpec(("a",), ("uV",), 250.0), (Channel("a", "eeg", "uV"),), fs)
    out = chain.process(np.sin(2 * np.pi * 180 * t)[:, None], 0)
    assert np.abs(out[500:]).max() < 1.1e-3


def test_group_delay_is_the_measured_delay() -> None:
    fs = 1000.0
    spec = ChainSpec(("a",), ("uV",), 250.0, lowpass_hz=40.0)
    chain = CausalChain(spec, (Channel("a", "eeg", "uV"),), fs)
    t = np.arange(6000) / fs
    envelope = np.exp(-0.5 * ((t - 2) / 0.3) ** 2)
    out = chain.process((envelope * np.sin(2 * np.pi * 10 * t))[:, None], 0)[:, 0]
    power = np.abs(signal.hilbert(out)) ** 2
    measured = (power * np.arange(len(out)) / 250).sum() / power.sum() - 2
    assert chain.group_delay_s(10.0) == pytest.approx(measured, abs=1e-3)
    assert (
        CausalChain(ChainSpec(("a",), ("uV",), fs), (Channel("a", "eeg", "uV"),), fs).group_delay_s(10) == 0
    )


def test_a_constant_stays_settled_and_a_step_has_decayed_after_settling() -> None:
    spec = ChainSpec(("a",), ("uV",), 250.0, highpass_hz=1.0, lowpass_hz=30.0)
    chain = CausalChain(spec, (Channel("a", "eeg", "uV"),), 250.0)
    assert np.abs(chain.process(np.full((500, 1), 1e4), 0)).max() < 1e-6
    step = chain.process(np.full((2000, 1), 1e4 + 100), 500)[:, 0]
    assert np.abs(step[chain.settle_samples :]).max() < 10


def test_units_are_converted() -> None:
    channels = tuple(Channel(name, "eeg", "V") for name in NAMES)
    out = CausalChain(ChainSpec(NAMES, ("uV",) * 4, 100.0), channels, 100.0).process(np.full((3, 4), 5e-6), 0)
    assert np.allclose(out, 5)


def test_non_finite_values_are_counted_and_do_not_stay() -> None:
    x = np.random.default_rng(0).standard_normal((500, 5))
    bad = x.copy()
    bad[100, 4] = np.nan
    spec = ChainSpec(NAMES, ("uV",) * 4, 250.0, highpass_hz=1.0)
    clean, dirty = CausalChain(spec, CHANNELS, 250.0), CausalChain(spec, CHANNELS, 250.0)
    a, b = clean.process(x, 0), dirty.process(bad, 0)
    assert dirty.non_finite == 1
    assert dirty.non_finite_by_channel.tolist() == [1, 0, 0, 0]
    assert np.isfinite(b).all()
    assert np.array_equal(a[:, 1:], b[:, 1:])
    assert np.abs(a[-1] - b[-1]).max() < 0.05


def test_a_silent_channel_is_zero_and_the_others_as_they_are() -> None:
    x = np.random.default_rng(0).standard_normal((50, 5))
    spec = ChainSpec(NAMES, ("uV",) * 4, 250.0, running_mean_s=10.0, center=(1.0,) * 4, scale=(2.0,) * 4)
    all_, without = (
        CausalChain(one, CHANNELS, 250.0).process(x, 0) for one in (spec, replace(spec, silent=NAMES[2:3]))
    )
    assert not without[:, 2].any()
    assert np.array_equal(np.delete(all_, 2, axis=1), np.delete(without, 2, axis=1))
    with pytest.raises(ValueError, match="Silent channels are some of those picked"):
        replace(spec, silent=("nowhere",))


@pytest.mark.parametrize(
    ("channels", "sfreq_hz", "message"),
    [
        (
            [Channel("Oz", "eeg", "uV"), Channel("fz", "eeg", "uV")],
            200.0,
            r"lacks 3 .*Fz, Cz, Pz.*Did you mean 'fz'",
        ),
        ([Channel(n, "eeg", "uV") for n in (*NAMES, "Oz")], 200.0, "more than one channel called Oz"),
        ([Channel(n, "eeg", "T" if n == "Cz" else "uV") for n in NAMES], 200.0, "Cz comes with 'T'"),
        ([Channel(n, "eeg", "") for n in NAMES], 200.0, "Fz comes with no unit.*--unit"),
        ([Channel(n, "eeg", "uV") for n in NAMES], 250.0, "250 Hz and the decoder at 200 Hz.*200, 400, 600"),
    ],
)
def test_streams_that_do_not_fit_are_refused(channels: list[Channel], sfreq_hz: float, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        CausalChain(everything(200.0), channels, sfreq_hz)


@pytest.mark.parametrize(
    "change",
    [
        {"lowpass_hz": 100.0},
        {"highpass_hz": 50.0},
        {"scale": (1.0,)},
        {"scale": (0.0,) * 4},
        {"units": ("uV",)},
        {"channels": ("a", "a", "b", "c")},
        {"spatial": ((1.0,),)},
    ],
)
def test_impossible_specs_are_refused(change: dict[str, object]) -> None:
    good: dict[str, object] = {"channels": NAMES, "units": ("uV",) * 4, "sfreq_hz": 200.0, "lowpass_hz": 40.0}
    ChainSpec(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"."):
        ChainSpec(**(good | change))  # type: ignore[arg-type]
