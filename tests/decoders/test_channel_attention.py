from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.export.onnx import export_encoder

EEG = ChannelAttentionConfig(n_channels=4, n_times=13, embedding_dim=2)
POSITIONS = ((0.0, 0.08, 0.0), (0.05, 0.0, 0.06), None, (-0.05, 0.0, 0.06))


def trained_looking(config: ChannelAttentionConfig) -> ChannelAttention:
    """Return an encoder whose paths all speak."""
    module = ChannelAttention(config).eval()
    with torch.no_grad():
        module.linear.weight.normal_(generator=torch.Generator().manual_seed(1))
        module.read_out.weight.normal_(generator=torch.Generator().manual_seed(2))
    return module


def example(config: ChannelAttentionConfig, n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    windows = torch.randn(n, config.n_channels, config.n_times, generator=generator)
    return windows, torch.tensor([0.0, 0.025, 0.5, -1.0, 0.18])[torch.arange(n) % 5]


@pytest.mark.parametrize(
    "config",
    [
        EEG,
        replace(EEG, positions_m=POSITIONS),
        replace(EEG, n_layers=0),
        replace(EEG, n_subjects=3, n_layers=2),
        ChannelAttentionConfig(
            n_channels=271,
            n_times=20,
            embedding_dim=512,
            d_model=32,
            n_heads=4,
            n_components=8,
            linear_rank=16,
        ),
    ],
    ids=["eeg", "positions", "linear only", "subjects", "meg"],
)
def test_an_embedding_for_each_window_and_the_same_from_onnx(config: ChannelAttentionConfig) -> None:
    module = trained_looking(config)
    windows, latencies_s = example(config)
    with torch.inference_mode():
        expected = module(windows, latencies_s)
    assert expected.shape == (5, config.embedding_dim)
    graph = export_encoder(module, windows.numpy(), latencies_s.numpy())
    session = ort.InferenceSession(graph.graph, providers=["CPUExecutionProvider"])
    feed = {"window": windows.numpy(), "latency_s": latencies_s.numpy()}
    np.testing.assert_allclose(session.run(["embedding"], feed)[0], expected, rtol=1e-4, atol=1e-4)
    one = session.run(["embedding"], {name: value[3:4] for name, value in feed.items()})[0]
    np.testing.assert_allclose(one, expected[3:4], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [EEG, replace(EEG, n_layers=0), replace(EEG, n_subjects=3, embedding_dim=40, linear_rank=6)],
    ids=["eeg", "linear only", "subjects"],
)
def test_whole_trials_are_read_as_their_windows_are(config: ChannelAttentionConfig) -> None:
    module = trained_looking(config)
    generator = torch.Generator().manual_seed(4)
    trials = torch.randn(3, 21, config.n_channels, config.n_times, generator=generator)
    hidden = torch.rand(3, 21, generator=generator) < 0.3
    subject = torch.tensor([0, 2, 1])
    latency_s = torch.where(hidden, -1.0, torch.arange(21) * config.step_s)
    with torch.inference_mode():
        expected = module(trials.flatten(0, 1), latency_s.flatten(), subject.repeat_interleave(21))
        torch.testing.assert_close(
            module.of_trials(trials, hidden, subject).flatten(0, 1), expected, rtol=1e-4, atol=1e-4
        )
        default = module.of_trials(trials, hidden)
        torch.testing.assert_close(default.flatten(0, 1), module(trials.flatten(0, 1), latency_s.flatten()))


def test_windows_that_are_attended_to_count_for_the_others() -> None:
    module = trained_looking(EEG)
    trials = torch.randn(3, 21, 4, 13, generator=torch.Generator().manual_seed(4))
    hidden = torch.zeros(3, 21, dtype=torch.bool)
    with torch.inference_mode():
        whole = module.of_trials(trials, hidden)
        thirds = [
            module.of_trials(trials, hidden, attended=(torch.arange(21) % 3 == first).expand(3, 21))
            for first in range(3)
        ]
    torch.testing.assert_close(sum(thirds) / 3, whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(thirds[1][:, ::3], thirds[2][:, ::3])
    assert not torch.allclose(thirds[0][:, ::3], thirds[2][:, ::3])


def test_it_starts_almost_silent_and_the_same_for_a_seed() -> None:
    windows, latencies_s = example(EEG)
    first, again, other = (ChannelAttention(EEG, seed).eval()(windows, latencies_s) for seed in (0, 0, 1))
    assert first.abs().max() < 0.05
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


def test_making_one_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    ChannelAttention(EEG)
    assert torch.equal(torch.rand(3), expected)


def test_the_linear_path_is_interpolated_between_latencies() -> None:
    module = trained_looking(replace(EEG, n_layers=0))
    window = example(EEG, 1)[0].repeat(3, 1, 1)
    left, middle, right = module(window, torch.tensor([0.1, 0.1125, 0.125]))
    torch.testing.assert_close(middle, (left + right) / 2, rtol=1e-4, atol=1e-5)
    last, beyond = module(window[:2], torch.tensor([0.5, 0.7]))
    torch.testing.assert_close(last, beyond)


def test_an_unknown_latency_is_read_in_its_own_way() -> None:
    module = trained_looking(EEG)
    window = example(EEG, 1)[0].repeat(22, 1, 1)
    latencies_s = torch.cat([torch.tensor([-1.0]), torch.arange(21) * 0.025])
    unknown, *known = module(window, latencies_s)
    assert all(not torch.allclose(unknown, one) for one in known)
    torch.testing.assert_close(module(window[:1], torch.tensor([-0.3]))[0], unknown)


def test_channels_speak_to_each_other() -> None:
    module = trained_looking(EEG)
    with torch.no_grad():
        module.linear.weight.zero_()
    windows, latencies_s = example(EEG, 1)

    def effect_of_first(second_channel: float) -> torch.Tensor:
        changed = windows.clone()
        changed[:, 1] *= second_channel
        silent = changed.clone()
        silent[:, 0] = 0
        out: torch.Tensor = module(changed, latencies_s) - module(silent, latencies_s)
        return out

    assert not torch.allclose(effect_of_first(1.0), effect_of_first(-3.0), rtol=1e-2)


def test_positions_and_subjects_matter() -> None:
    windows, latencies_s = example(EEG)
    moved = (POSITIONS[1], POSITIONS[0], *POSITIONS[2:])
    here, there = (
        trained_looking(replace(EEG, positions_m=p))(windows, latencies_s) for p in (POSITIONS, moved)
    )
    assert not torch.allclose(here, there)
    module = trained_looking(replace(EEG, n_subjects=2))
    stranger = module(windows, latencies_s)
    second = module(windows, latencies_s, torch.ones(5, dtype=torch.int64))
    assert not torch.allclose(stranger, second)
    module.subject = 1
    torch.testing.assert_close(module(windows, latencies_s), second)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_components": 14}, "at most as many components"),
        ({"d_model": 10}, "multiple of twice the heads"),
        ({"positions_m": POSITIONS[:3]}, "4 channels need as many positions"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(EEG, **wrong)
