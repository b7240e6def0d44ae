"""Meta's MEG decoder: sizes as published, attention over places, subjects, causality, both heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from decode_stream.decoders.encoders.sensor_plane import flatten_positions
from decode_stream.decoders.encoders.spatial_attention import SpatialAttention, SpatialAttentionConfig

POSITIONS = (
    (0.0, 0.08, 0.02),
    (0.07, 0.0, 0.03),
    (-0.07, 0.0, 0.03),
    (0.0, -0.08, 0.02),
    (0.0, 0.0, 0.09),
    None,
)
SMALL = SpatialAttentionConfig(
    n_channels=6,
    n_times=20,
    embedding_dim=3,
    positions_m=POSITIONS,
    n_subjects=2,
    n_virtual=8,
    fourier_dim=32,
    hidden_dim=10,
    feature_dim=12,
    head_dim=5,
)


def trials(n: int = 4, n_times: int = 20) -> Tensor:
    return torch.randn(n, 6, n_times, generator=torch.Generator().manual_seed(1))


def n_parameters(part: torch.nn.Module | Tensor) -> int:
    return part.numel() if isinstance(part, Tensor) else sum(p.numel() for p in part.parameters())


def test_the_published_sizes() -> None:
    """Benchetrit et al. 2024 list the parameters of each part, for 272 channels, 181 samples and 4 subjects."""
    positions = ((0.0, 0.0, 0.1), *((0.1, 0.0, 0.0),) * 271)
    size = SpatialAttentionConfig(272, 181, 768, positions_m=positions, n_subjects=4)
    module = SpatialAttention(size)
    blocks = [n_parameters(c) for c in module.convolutions]
    assert n_parameters(module.queries) == 552_960
    assert n_parameters(module.mix) == 73_170
    assert n_parameters(module.subject_layers) == 291_600
    assert (blocks[0] + blocks[1], blocks[2] + blocks[3]) == (1_183_360, 1_231_360)
    assert n_parameters(module.aggregate) == 182


@pytest.mark.parametrize("aggregation", ["linear", "mean", "attention"])
@pytest.mark.parametrize("causal", [False, True])
def test_an_embedding_from_either_head(aggregation: str, causal: bool) -> None:
    module = SpatialAttention(replace(SMALL, aggregation=aggregation, causal=causal)).eval()
    x = trials()
    clip, mse = module.heads(x)
    assert clip.shape == mse.shape == (4, 3)
    torch.testing.assert_close(module(x), clip)
    assert not torch.allclose(clip, mse)
    torch.testing.assert_close(module(x[2:3]), clip[2:3], msg="a trial does not depend on its batch")


@pytest.mark.parametrize("n_times", [1, 2, 63])
def test_any_length_and_any_kernel(n_times: int) -> None:
    size = replace(SMALL, n_times=n_times, kernel_length=5, n_convolutions=6, gate_every=0, embedding_dim=1)
    assert SpatialAttention(size).eval()(trials(2, n_times)).shape == (2, 1)


def test_a_channel_without_a_place_says_nothing() -> None:
    module, x = SpatialAttention(SMALL).eval(), trials()
    expected = module(x)
    x[:, 5] = 100.0
    torch.testing.assert_close(module(x), expected)
    x[:, 4] += 1.0
    assert not torch.allclose(module(x), expected)


def test_attention_follows_the_place_not_the_order() -> None:
    order = [3, 0, 5, 1, 4, 2]
    moved = replace(SMALL, positions_m=tuple(POSITIONS[i] for i in order))
    x = trials()
    torch.testing.assert_close(
        SpatialAttention(moved).eval()(x[:, order]), SpatialAttention(SMALL).eval()(x), rtol=1e-4, atol=1e-5
    )


def test_weights_go_to_another_montage_whose_places_stay_its_own() -> None:
    first, x = SpatialAttention(SMALL, seed=1).eval(), trials()
    fewer = SpatialAttention(replace(SMALL, n_channels=3, positions_m=POSITIONS[2:5])).eval()
    places = fewer.plane.clone()
    fewer.load_state_dict(first.state_dict())
    assert torch.equal(fewer.plane, places)
    assert fewer(x[:, 2:5]).shape == (4, 3)
    same = SpatialAttention(SMALL).eval()
    same.load_state_dict(first.state_dict())
    torch.testing.assert_close(same(x), first(x))


def test_an_unknown_subject_takes_the_mean_of_all_layers() -> None:
    module, x = SpatialAttention(SMALL).eval(), trials()
    first, second, unknown = (module(x, torch.full((4,), who)) for who in (0, 1, 2))
    torch.testing.assert_close(unknown, module(x))
    assert not torch.allclose(first, second)
    mixed = module(x, torch.tensor([0, 1, 2, 1]))
    torch.testing.assert_close(mixed, torch.stack([first[0], second[1], unknown[2], second[3]]))
    with torch.no_grad():
        module.subject_layers[:] = module.subject_layers.mean(dim=0)
    torch.testing.assert_close(module(x, torch.zeros(4, dtype=torch.int64)), unknown)


@pytest.mark.parametrize("n_subjects", [1, 3])
def test_new_people_begin_at_the_mean_of_those_known(n_subjects: int) -> None:
    module, x = SpatialAttention(SMALL).eval(), trials()
    other = SpatialAttention(replace(SMALL, n_subjects=n_subjects), seed=1).eval()
    other.load_state_dict(other.for_new_people(module.state_dict()))
    for who in range(n_subjects):
        torch.testing.assert_close(other(x, torch.full((4,), who)), module(x))
    other(x, torch.zeros(4, dtype=torch.int64)).square().sum().backward()
    gradient = other.subject_layers.grad
    assert gradient is not None
    assert gradient[0].any(), "the new layer learns"
    assert not gradient[1:].any(), "the others stay as they were"
    assert module.subject_layers.shape[0] == 2, "the first encoder is another"


def test_causal_convolutions_leave_the_past_as_it_was() -> None:
    later = trials()
    later[:, :, 12:] = 0.0

    def features(causal: bool, x: Tensor) -> Tensor:
        module = SpatialAttention(replace(SMALL, causal=causal)).eval()
        y = module.mix(module._attention() @ x)
        for convolution in module.convolutions:
            y = convolution(y)
        return y

    torch.testing.assert_close(features(True, later)[:, :, :12], features(True, trials())[:, :, :12])
    assert not torch.allclose(features(False, later)[:, :, :12], features(False, trials())[:, :, :12])


def test_channels_near_a_random_place_are_left_out_while_training_only() -> None:
    module = SpatialAttention(replace(SMALL, dropout_radius=0.4))
    torch.manual_seed(0)
    left_out = torch.stack([module._attention().sum(dim=0) == 0 for _ in range(60)])
    assert left_out[:, 5].all(), "a channel without a place never counts"
    assert left_out[:, :5].any(dim=0).all(), "every place comes to be left out"
    assert not left_out[:, :5].all(dim=0).any()
    module.eval()
    assert (module._attention()[:, :5] > 0).all()


def test_of_a_small_montage_never_all_is_left_out() -> None:
    size = replace(SMALL, dropout_radius=2.0)
    module = SpatialAttention(size)
    assert torch.isfinite(module(trials())).all()
    assert (module._attention()[:, :5] > 0).all()


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (SpatialAttention(SMALL, seed).eval()(trials()) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected), "the global random state is left alone"
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_subjects": 0}, "n_subjects is at least 1; got 0"),
        ({"kernel_length": 4}, "kernel_length is odd.*got 4"),
        ({"fourier_dim": 100}, "twice a square.*got 100"),
        ({"fourier_dim": 0}, "twice a square.*got 0"),
        ({"gate_every": -1}, "0 for no gate, or more; got -1"),
        ({"aggregation": "median"}, "'linear', 'mean' or 'attention'; got 'median'"),
        ({"positions_m": POSITIONS[:5]}, "6 channels need as many positions; got 5"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **wrong)


@pytest.mark.parametrize("positions", [None, (None,) * 6])
def test_without_any_place_it_says_what_to_give(positions: tuple[None, ...] | None) -> None:
    with pytest.raises(
        ValueError, match=r"no position is known. Give positions_m, one \(x, y, z\) in metres"
    ):
        SpatialAttention(replace(SMALL, positions_m=positions))


def cap(angles: np.ndarray, azimuths: np.ndarray, centre: tuple[float, float, float]) -> np.ndarray:
    around = [np.sin(angles) * np.cos(azimuths), np.sin(angles) * np.sin(azimuths), np.cos(angles)]
    return np.array(centre) + 0.09 * np.stack(around, axis=1)


def test_a_cap_is_rolled_out_by_the_angle_from_its_pole() -> None:
    angles, azimuths = (a.ravel() for a in np.meshgrid(np.linspace(0.2, 1.4, 5), np.arange(8) * np.pi / 4))
    for centre in ((0.0, 0.0, 0.0), (0.01, -0.02, 0.04)):
        flat = flatten_positions([tuple(p) for p in cap(angles, azimuths, centre)])
        from_pole = np.linalg.norm(flat - 0.5, axis=1)
        np.testing.assert_allclose(from_pole, angles / 1.4 / 2, atol=1e-9)
        np.testing.assert_allclose(np.cos(azimuths), (flat - 0.5)[:, 0] / from_pole, atol=1e-6)


def test_sensors_of_one_plane_stay_as_they_are() -> None:
    seen = np.random.default_rng(0).uniform(-0.1, 0.1, (12, 2))
    for level, upright in ((True, [0, 1]), (False, [0, 2])):
        xyz = np.zeros((12, 3))
        xyz[:, upright] = seen
        flat = flatten_positions([tuple(p) for p in xyz])
        expected = (seen - seen.min(axis=0)) / np.ptp(seen, axis=0)
        np.testing.assert_allclose(flat, expected, atol=1e-9, err_msg=f"level: {level}")


def test_few_sensors_have_places_too() -> None:
    np.testing.assert_array_equal(flatten_positions([None, (0.1, 0.2, 0.3)]), [[np.nan, np.nan], [0.5, 0.5]])
    two = flatten_positions([(0.1, 0.0, 0.3), (0.2, 0.0, 0.3)])
    np.testing.assert_allclose(two, [[0.0, 0.5], [1.0, 0.5]])


def test_a_position_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="three finite numbers in metres"):
        flatten_positions([(0.0, 0.0, 0.1), (0.0, float("nan"), 0.1)])
