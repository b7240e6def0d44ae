from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.decoders.training import selection
from decode_stream.decoders.training.batches import TrialArray
from decode_stream.decoders.training.fitting import FitSettings, embed_trials
from decode_stream.decoders.training.selection import choose_prior

from .test_fitting import N_LATENCIES, SCHEDULE, simulate

GALLERY = np.eye(2, dtype=np.float32)
CONFIG = ChannelAttentionConfig(4, SCHEDULE.n_times, 2, n_latencies=N_LATENCIES)


@pytest.mark.parametrize(("level", "expected"), [(0.0, 0.01), (0.5, 0.1)])
def test_a_clear_response_is_believed_and_noise_is_not(level: float, expected: float) -> None:
    windows, labels = simulate(GALLERY, 240, level=level)
    runs = np.arange(240) // 80
    settings = FitSettings(n_epochs=20)
    chosen = choose_prior(CONFIG, windows, labels, runs, GALLERY, candidates=(0.01, 0.1), settings=settings)
    assert chosen.prior_std == expected
    assert chosen.n_epochs == 20


def test_windows_are_read_once_and_never_as_a_whole() -> None:
    windows, labels = simulate(GALLERY, 300)
    fetched = []

    class Watched:
        shape = windows.shape

        def __len__(self) -> int:
            return len(windows)

        def __getitem__(self, index: slice) -> np.ndarray:
            fetched.append(len(windows[index]))
            return windows[index]

    settings = FitSettings(n_epochs=1)
    choose_prior(
        CONFIG, Watched(), labels, np.arange(300) // 100, GALLERY, candidates=(0.1,), settings=settings
    )
    assert max(fetched) < sum(fetched) == 300


def test_what_is_chosen_by_is_what_the_whole_windows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, labels = simulate(GALLERY, 60)
    seen = []

    def kept(module: ChannelAttention, some: TrialArray, **how: Any) -> np.ndarray:
        embeddings = embed_trials(module, some, **how)
        whole = ChannelAttention(replace(module.config, n_times=SCHEDULE.n_times))
        whole.load_state_dict({**module.state_dict(), "cosines": whole.cosines})
        seen.append((embeddings, embed_trials(whole, windows[runs == len(seen)])))
        return embeddings

    monkeypatch.setattr(selection, "embed_trials", kept)
    runs = np.arange(60) // 20
    settings = FitSettings(n_epochs=2)
    choose_prior(CONFIG, windows, labels, runs, GALLERY, candidates=(0.1,), settings=settings)
    assert len(seen) == 3
    for short, long in seen:
        np.testing.assert_allclose(short, long, rtol=1e-4, atol=1e-5)


def test_one_run_leaves_nothing_to_choose_by() -> None:
    windows, labels = simulate(GALLERY, 20)
    settings = FitSettings(prior_std=0.07)
    assert choose_prior(CONFIG, windows, labels, np.zeros(20), GALLERY, settings=settings) is settings
