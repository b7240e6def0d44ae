import numpy as np
import pytest
import torch

from decode_stream.decoders.encoders.atm import Atm, AtmConfig
from decode_stream.decoders.encoders.public_weights import load_public_weights
from tests.decoders import public_states

SMALL = AtmConfig(n_channels=4, n_times=80, embedding_dim=6, n_subjects=3)

#: What the public code gives of three trials at dimensions 0, 250, 500 and 750, by the trials' subjects.
GOLDEN = {
    (1, 1, 1): [
        [-1.745536, 1.617468, 0.566167, 0.18257],
        [-0.652148, -0.376798, 0.617634, 0.107267],
        [-0.751683, 0.526127, 0.691651, 0.278124],
    ],
    (4, 0, 9): [
        [-1.770064, 1.619361, 0.550256, 0.178575],
        [-0.664914, -0.382079, 0.598956, 0.120813],
        [-0.77232, 0.523561, 0.657418, 0.255947],
    ],
    (10, 10, 10): [
        [-1.742171, 1.622624, 0.559465, 0.188068],
        [-0.651452, -0.36703, 0.597825, 0.110022],
        [-0.751714, 0.543713, 0.67681, 0.272049],
    ],
}
#: The same for the newest public code, which drops the subject's token, of subject 1.
GOLDEN_EVERY_CHANNEL = [
    [-1.70028, 1.069308, 1.428862, -1.261872],
    [-1.587524, 0.365813, 0.465239, -0.085188],
    [-1.431275, 1.116326, 1.376355, -0.621054],
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return public_states.filled(public_states.atm())


def embedded(module: Atm, subject: torch.Tensor | None) -> np.ndarray:
    with torch.inference_mode():
        return module.eval()(public_states.epochs(3), subject)[:, ::250][:, :4].numpy()


@pytest.fixture(scope="module")
def published(weights: dict[str, torch.Tensor]) -> Atm:
    module = Atm(AtmConfig())
    load_public_weights(module, weights)
    return module


@pytest.mark.parametrize("subjects", GOLDEN)
def test_public_weights_give_what_public_code_gives(published: Atm, subjects: tuple[int, ...]) -> None:
    got = embedded(published, torch.tensor(subjects))
    np.testing.assert_allclose(got, GOLDEN[subjects], rtol=0, atol=1e-5)


@pytest.mark.parametrize("subject", [None, torch.tensor([3, 10, 4])])
def test_one_stranger_makes_a_batch_take_the_shared_token(
    published: Atm, subject: torch.Tensor | None
) -> None:
    np.testing.assert_allclose(embedded(published, subject), GOLDEN[10, 10, 10], rtol=0, atol=1e-5)


def test_with_every_channel_kept_it_gives_what_the_newest_public_code_gives(
    weights: dict[str, torch.Tensor],
) -> None:
    module = Atm(AtmConfig(keep_every_channel=True))
    load_public_weights(module, weights)
    got = embedded(module, torch.tensor([1, 1, 1]))
    np.testing.assert_allclose(got, GOLDEN_EVERY_CHANNEL, rtol=0, atol=1e-5)


def effect_of_channel(module: Atm, channel: int) -> float:
    """Return how far the tokens behind the attention move if a channel does."""
    kept: list[torch.Tensor] = []
    hook = module.convolution.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    epochs = torch.randn(2, 4, 80, generator=torch.Generator().manual_seed(0))
    moved = epochs.clone()
    moved[:, channel] = torch.randn(2, 80, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        module(epochs), module(moved)
    hook.remove()
    return float((kept[0] - kept[1]).abs().mean())


@pytest.mark.parametrize("keep", [False, True])
def test_the_last_channel_speaks_for_itself_only_where_every_channel_is_kept(keep: bool) -> None:
    module = Atm(AtmConfig(4, 80, 6, keep_every_channel=keep)).eval()
    last, others = effect_of_channel(module, 3), [effect_of_channel(module, i) for i in range(3)]
    if keep:
        assert last > 0.5 * min(others)
    else:
        assert last < 0.3 * min(others)


@pytest.mark.parametrize(("n_channels", "n_times", "dimension"), [(1, 75, 3), (5, 101, 8), (271, 128, 16)])
def test_any_shape_of_trial_is_embedded(n_channels: int, n_times: int, dimension: int) -> None:
    module = Atm(AtmConfig(n_channels, n_times, dimension)).eval()
    assert module(torch.zeros(2, n_channels, n_times)).shape == (2, dimension)


def test_a_trial_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 75 samples at least.*got 74"):
        Atm(AtmConfig(n_times=74))


def test_the_seed_decides_the_weights_and_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (Atm(SMALL, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])


def test_without_subjects_all_share_a_token() -> None:
    module = Atm(AtmConfig(4, 80, 6, n_subjects=0)).eval()
    epochs = torch.randn(2, 4, 80)
    torch.testing.assert_close(module(epochs), module(epochs, torch.tensor([0, 5])))


def test_every_weight_learns_but_those_of_absent_subjects() -> None:
    module = Atm(SMALL)
    module(torch.randn(4, 4, 80), torch.tensor([0, 0, 2, 2])).square().mean().backward()
    silent = [name for name, weight in module.named_parameters() if not weight.grad.any()]
    # Where all of a batch are known, nobody takes the shared token.
    assert silent == ["shared_subject"]
    assert [bool(row.any()) for row in module.subjects.grad] == [True, False, True]
