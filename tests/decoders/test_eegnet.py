"""EEGNet: what it computes, its constraints, and which trials are long enough."""

from dataclasses import replace

import pytest
import torch

from decode_stream.decoders.encoders.eegnet import EegNet, EegNetConfig

from .formula_weights import fill, trials

SMALL = EegNetConfig(n_channels=3, n_times=60, embedding_dim=4)

# What braindecode 0.8's EEGNetv4 gives, without its softmax, for the same weights and trials.
PUBLISHED = [
    (
        replace(SMALL, head_max_norm=None),
        [
            [0.9150218963623047, 0.5171593427658081, -0.04239989072084427, -0.5442189574241638],
            [0.8634272813796997, 0.5522935390472412, 0.06172652170062065, -0.4236653447151184],
        ],
    ),
    (
        # As ATM is compared with it on THINGS-EEG2 (Li et al. 2024, ATM-E).
        EegNetConfig(3, 40, 4, depth=20, n_pointwise=160, kernel_length=4, head_max_norm=None),
        [
            [3.3919224739074707, -8.81397533416748, 13.135730743408203, -14.006080627441406],
            [3.41634464263916, -8.845720291137695, 13.167317390441895, -14.030069351196289],
        ],
    ),
]


@pytest.mark.parametrize(("config", "expected"), PUBLISHED, ids=["original", "THINGS-EEG2"])
def test_it_gives_what_the_published_network_gives(config: EegNetConfig, expected: list[list[float]]) -> None:
    with torch.inference_mode():
        got = fill(EegNet(config))(trials(2, config.n_channels, config.n_times))
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_weights_that_have_grown_too_long_count_as_if_scaled_down() -> None:
    module, x = EegNet(SMALL).eval(), trials(3, 3, 60)
    with torch.no_grad():
        module.spatial.weight *= 100
        module.head.weight *= 100
        long = module(x)
        assert (module.spatial.weight.flatten(1).norm(dim=1) > 1).all()
        module.spatial.weight *= 1 / module.spatial.weight.flatten(1).norm(dim=1)[:, None, None, None]
        module.head.weight *= 0.25 / module.head.weight.norm(dim=1, keepdim=True)
        torch.testing.assert_close(module(x), long)
        module.head.weight *= 0.5
        assert not torch.allclose(module(x), long), "what is within the bound counts as it is"
        free = EegNet(replace(SMALL, spatial_max_norm=None, head_max_norm=None)).eval()
        free.head.weight *= 100
        assert free(x).abs().max() > 10 * long.abs().max()


@pytest.mark.parametrize(
    ("kernel_length", "separable_length", "least"), [(64, 16, 27), (63, 16, 28), (4, 15, 31)]
)
def test_a_trial_must_last_through_both_means(kernel_length: int, separable_length: int, least: int) -> None:
    size = replace(
        SMALL, n_times=least, kernel_length=kernel_length, separable_length=separable_length, n_channels=1
    )
    assert EegNet(size).eval()(trials(2, 1, least)).shape == (2, 4)
    with pytest.raises(ValueError, match=f"at least {least} samples; got {least - 1}"):
        replace(size, n_times=least - 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_channels": 0}, "n_channels is at least 1; got 0"),
        ({"depth": -1}, "depth is at least 1; got -1"),
        ({"kernel_length": 0}, "kernel_length is at least 1 sample"),
        ({"head_max_norm": 0.0}, "above 0, or None for any norm; got 0.0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **wrong)


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    x = trials(2, 3, 60)
    first, again, other = (EegNet(SMALL, seed).eval()(x) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected), "the global random state is left alone"
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_it_learns_to_tell_two_rhythms_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 2
    time = torch.arange(32) / 64
    hz = torch.where(labels == 1, 12.0, 4.0)[:, None]
    x = 0.5 * torch.randn(48, 2, 32, generator=generator)
    x[:, 1] += torch.sin(6.28 * (hz * time + torch.rand(48, 1, generator=generator)))
    size = replace(SMALL, n_channels=2, n_times=32, embedding_dim=2, n_temporal=2, kernel_length=8)
    module = EegNet(replace(size, dropout=0.0, head_max_norm=None))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(25):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x[:32]), labels[:32]).backward()
        optimizer.step()
    with torch.inference_mode():
        right = module(x[32:]).argmax(dim=1) == labels[32:]
    assert right.float().mean() > 0.8
