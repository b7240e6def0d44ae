"""The networks of Mind Reader, MindEye and MindEye2: sizes, shapes, gradients, and people with voxels of their own."""

import pytest
import torch
from torch import nn

from decode_stream.decoders.encoders.mind_eye import MindEye, MindEyeConfig
from decode_stream.decoders.encoders.mind_eye2 import MindEye2, MindEye2Config
from decode_stream.decoders.encoders.mind_reader import MindReader, MindReaderConfig
from decode_stream.decoders.encoders.whole_trial import KnowsPeople

N_VOXELS, N_TIMES = 41, 3
SMALL = {"embedding_dim": 12, "n_tokens": 3, "width": 16, "n_blocks": 2, "projector_width": 8}
NETWORKS = {
    "Mind Reader": lambda seed=0: MindReader(
        MindReaderConfig(N_VOXELS, N_TIMES, 12, width=8, n_blocks=2, hidden=6), seed
    ),
    "MindEye": lambda seed=0: MindEye(MindEyeConfig(N_VOXELS, N_TIMES, **SMALL), seed),
    "MindEye2": lambda seed=0: MindEye2(MindEye2Config(N_VOXELS, N_TIMES, **SMALL), seed),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def volumes(n: int = 6, n_voxels: int = N_VOXELS, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, n_voxels, N_TIMES, generator=torch.Generator().manual_seed(seed))


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_sizes_are_as_published() -> None:
    with torch.device("meta"):
        reader, eye = MindReader(MindReaderConfig(15_724)), MindEye(MindEyeConfig(15_724))
        eye2 = {width: MindEye2(MindEye2Config(15_724, width=width)) for width in (1024, 4096)}
    assert n_parameters(reader) == pytest.approx(1.16e6, rel=0.003)
    assert n_parameters(eye) == pytest.approx(948e6, rel=0.001)
    assert n_parameters(eye.leave.tokens) == pytest.approx(809e6, rel=0.001)
    assert n_parameters(eye2[1024]) == pytest.approx(0.47e9, rel=0.01)
    assert n_parameters(eye2[4096]) == pytest.approx(1.95e9, rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_decodes_the_mean_volume_alike_from_one_seed(name: str) -> None:
    module, again, other = (NETWORKS[name](seed).eval() for seed in (0, 0, 1))
    epochs = volumes()
    with torch.inference_mode():
        got = module(epochs)
        torch.testing.assert_close(module(epochs.mean(dim=2, keepdim=True)), got)
        torch.testing.assert_close(again(epochs), got, rtol=0, atol=0)
        assert (other(epochs) - got).abs().max() > 1e-3
    assert got.shape == (6, 12)
    assert got.std(dim=0).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter_from_every_voxel(name: str) -> None:
    module = NETWORKS[name]()
    epochs = volumes(32).requires_grad_()
    (module(epochs) ** 2).sum().backward()
    for own, parameter in module.named_parameters():
        assert parameter.grad is not None, own
        assert parameter.grad.abs().max() > 0, own
    assert epochs.grad is not None
    assert (epochs.grad.abs().amax(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("n_voxels", [1, 2, 21, 22])
def test_mind_reader_takes_any_number_of_voxels(n_voxels: int) -> None:
    module = MindReader(MindReaderConfig(n_voxels, embedding_dim=5, width=4, n_blocks=1, hidden=3))
    assert module(torch.zeros(2, n_voxels, 1)).shape == (2, 5)


@pytest.mark.parametrize("kind", [MindEye, MindEye2])
def test_a_second_embedding_stands_behind_the_tokens(kind: type[nn.Module]) -> None:
    config = (MindEyeConfig if kind is MindEye else MindEye2Config)(
        N_VOXELS, N_TIMES, **SMALL, structure_dim=5
    )
    module = kind(config).eval()
    plain = NETWORKS[kind.__name__]().eval()
    epochs = volumes()
    compared, tokens = module.token_heads(epochs)
    assert compared.shape == (6, 17)
    assert tokens.shape == (6, 12)
    # What is drawn for the second one comes last.
    torch.testing.assert_close(compared[:, :12], plain(epochs))
    compared[:, 12:].sum().backward()
    assert not module.leave.tokens.weight.grad.any()
    assert module.leave.structure.weight.grad.any()


def test_tokens_are_projected_one_by_one() -> None:
    projector = NETWORKS["MindEye"]().leave.projector
    tokens = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 4] += 1.0  # in the second of three
    moved = (projector(changed) - projector(tokens)).abs().amax(dim=0) > 1e-6
    assert moved.reshape(3, 4).any(dim=1).tolist() == [False, True, False]


def people(n_voxels: int = N_VOXELS, n_subjects: int = 3, seed: int = 0) -> MindEye2:
    return MindEye2(MindEye2Config(n_voxels, N_TIMES, **SMALL, n_subjects=n_subjects), seed).eval()


def test_each_person_has_a_layer_and_all_share_the_rest() -> None:
    module, epochs = people(), volumes()
    whose = torch.tensor([2, 0, 1, 1, 2, 0])
    got = module(epochs, whose)
    each = torch.cat([module(epochs[i : i + 1], whose[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(got, each)
    others = module(epochs, (whose + 1) % 3)
    assert ((got - others).abs().amax(dim=1) > 0.01).all()
    got[whose == 1].sum().backward()
    grad = module.people.grad
    assert grad is not None
    assert (grad.abs().amax(dim=(1, 2)) > 0).tolist() == [False, True, False]


def test_zeros_behind_the_voxels_of_whoever_has_fewer_change_nothing() -> None:
    wide, n_fewer = people(), N_VOXELS - 11
    weights = wide.state_dict()
    own = people(n_fewer, 1)
    own.load_state_dict(
        weights | {"people": weights["people"][1:2, :, :n_fewer], "people_bias": weights["people_bias"][1:2]}
    )
    epochs = volumes(n_voxels=n_fewer)
    padded = torch.cat([epochs, torch.zeros(6, 11, N_TIMES)], dim=1)
    torch.testing.assert_close(wide(padded, torch.full((6,), 1)), own(epochs))


def test_somebody_new_has_a_layer_that_knows_nothing_and_takes_all_else() -> None:
    known, new = people(), people(17, 1, seed=5)
    assert isinstance(new, KnowsPeople)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    weights = new.for_new_people(known.state_dict())
    new.load_state_dict(weights)
    for name, value in new.state_dict().items():
        kept = before if name in ("people", "people_bias") else known.state_dict()
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "wrong", "told"),
    [
        (MindEyeConfig, {"embedding_dim": 10, "n_tokens": 3}, "10 numbers cannot be 3 tokens of one size"),
        (MindEyeConfig, {"width": 0}, "width is at least 1; got 0"),
        (MindEyeConfig, {"structure_dim": -1}, "structure_dim and n_blocks are 0 or more; got -1 and 4"),
        (MindEye2Config, {"n_subjects": 0}, "n_subjects is at least 1; got 0"),
        (MindReaderConfig, {"hidden": 0}, "hidden is at least 1; got 0"),
    ],
)
def test_sizes_that_make_no_network_are_refused(kind: type, wrong: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kind(4, **wrong)
