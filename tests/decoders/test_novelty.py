"""Novelty: ordinary windows are spread evenly, damaged and foreign ones lie far out."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from decode_stream.decoders.novelty import Novelty, fit_familiar, fit_novelty

N_CHANNELS, N_TIMES, N_LATENCIES = 24, 20, 4


def person(seed: int) -> Callable[[int, int], np.ndarray]:
    """Return what draws trials of somebody: a few sources seen by all channels, of power that comes and goes."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((6, N_CHANNELS))
    maps /= np.sqrt((maps**2).sum(axis=0) + 0.3)  # channels are scaled to unit spread

    def draw(n: int, draw_seed: int) -> np.ndarray:
        rng = np.random.default_rng(draw_seed)
        power = np.exp(0.4 * rng.standard_normal((n, 1, 6, 1)))
        slow = np.repeat(rng.standard_normal((n, N_LATENCIES, 6, N_TIMES // 4)), 4, axis=3)
        sources = np.einsum("nlst,sc->nlct", power * slow, maps)
        noise = 0.5 * rng.standard_normal((n, N_LATENCIES, N_CHANNELS, N_TIMES))
        return (sources + noise).astype(np.float32)

    return draw


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    draw = person(1)
    runs = [draw(150, seed) for seed in (1, 2, 3)]
    held_out = []
    for out in range(3):
        others = fit_familiar(np.concatenate([run for i, run in enumerate(runs) if i != out]))
        held_out += [others.distances(trial) for trial in runs[out]]
    return fit_novelty(fit_familiar(np.concatenate(runs)), np.stack(held_out))


def scores(novelty: Novelty, trials: np.ndarray) -> np.ndarray:
    latencies = np.tile(np.arange(N_LATENCIES), len(trials))
    return novelty.score(trials.reshape(-1, *trials.shape[2:]), latencies)


def test_ordinary_windows_are_spread_evenly(novelty: Novelty) -> None:
    told = np.sort(scores(novelty, person(1)(250, 9)))
    assert 0 <= told[0] < told[-1] <= 1
    # Kolmogorov and Smirnov's distance; windows of one trial share their power, so that 250 count, not 1000.
    steps = np.arange(1, len(told) + 1) / len(told)
    assert np.abs(told - steps).max() < 1.63 / np.sqrt(250)


def dead(trials: np.ndarray) -> np.ndarray:
    trials[:, :, 7] = 0
    return trials


def loud(trials: np.ndarray) -> np.ndarray:
    return 3 * trials


def permuted(trials: np.ndarray) -> np.ndarray:
    return trials[:, :, np.random.default_rng(0).permutation(N_CHANNELS)]


def shifted(trials: np.ndarray) -> np.ndarray:
    return trials + np.float32(3)


@pytest.mark.parametrize("damage", [dead, loud, permuted, shifted])
def test_damaged_windows_lie_far_out(novelty: Novelty, damage: Callable[[np.ndarray], np.ndarray]) -> None:
    assert np.median(scores(novelty, damage(person(1)(60, 9)))) > 0.95


def test_somebody_else_lies_far_out(novelty: Novelty) -> None:
    assert np.median(scores(novelty, person(2)(60, 9))) > 0.95


def test_what_has_not_happened_yet_is_not_silence() -> None:
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((300, 1, 6, 40)).astype(np.float32)
    part = whole.copy()
    part[..., 10:] = 0
    familiar = fit_familiar(whole[:100])
    # A window that grows: the same trials after a quarter, and whole.
    held_out = np.stack([familiar.distances(trials[100:200, 0]) for trials in (part, whole)], axis=1)
    novelty = fit_novelty(familiar, held_out)
    for k, trials in enumerate((part, whole)):
        told = novelty.score(trials[200:, 0], np.full(100, k))
        assert np.median(told) == pytest.approx(0.5, abs=0.2)
        silent = trials[200:, 0].copy()
        silent[:, 2] = 0
        assert np.median(novelty.score(silent, np.full(100, k))) > 0.95


@pytest.mark.parametrize(("n_channels", "n_trials"), [(1, 40), (2, 40), (300, 12)])
def test_few_channels_and_fewer_trials_than_channels_do(n_channels: int, n_trials: int) -> None:
    rng = np.random.default_rng(0)
    trials = rng.standard_normal((2 * n_trials, 2, n_channels, 3)).astype(np.float32)
    trials[:, :, 0] = 0  # a channel that was always dead is nothing new
    familiar = fit_familiar(trials[:n_trials])
    held_out = np.stack([familiar.distances(trial) for trial in trials[n_trials:]])
    told = fit_novelty(familiar, held_out).score(trials[n_trials:, 1], np.ones(n_trials, np.int64))
    assert np.isfinite(told).all()
    assert np.median(told) == pytest.approx(0.5, abs=0.26)


def test_a_window_of_a_whole_helmet_takes_less_than_a_tenth_of_a_millisecond() -> None:
    rng = np.random.default_rng(0)
    trials = rng.standard_normal((30, 8, 271, 20)).astype(np.float32)
    familiar = fit_familiar(trials)
    novelty = fit_novelty(familiar, np.stack([familiar.distances(trial) for trial in trials]))
    latencies = np.arange(8)
    took = []
    for trial in trials:
        began = time.thread_time()
        novelty.score(trial, latencies)
        took.append((time.thread_time() - began) / 8)
    assert np.min(took) < 1e-4
