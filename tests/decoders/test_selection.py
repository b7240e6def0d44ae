import numpy as np
import pytest

from decode_stream.decoders.encoders.channel_attention import ChannelAttentionConfig
from decode_stream.decoders.training.fitting import FitSettings
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


def test_windows_are_never_copied_as_a_whole() -> None:
    windows, labels = simulate(GALLERY, 240)
    fetched = []

    class Watched:
        shape = windows.shape

        def __len__(self) -> int:
            return len(windows)

        def __getitem__(self, index: np.ndarray) -> np.ndarray:
            fetched.append(len(index))
            return windows[index]

    settings = FitSettings(n_epochs=4, batch_size=32)
    choose_prior(
        CONFIG, Watched(), labels, np.arange(240) // 80, GALLERY, candidates=(0.1,), settings=settings
    )
    assert max(fetched) <= 80  # the run left out, in one batch
    assert sum(fetched) == 4 * 3 * 160 + 240


def test_one_run_leaves_nothing_to_choose_by() -> None:
    windows, labels = simulate(GALLERY, 20)
    settings = FitSettings(prior_std=0.07)
    assert choose_prior(CONFIG, windows, labels, np.zeros(20), GALLERY, settings=settings) is settings
