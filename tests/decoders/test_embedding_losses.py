import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decode_stream.decoders.training.embedding_losses import (
    Mixture,
    bimixco,
    clip_mse,
    cosine_distance,
    draw_mixture,
    info_nce,
    mse_cosine,
    soft_clip,
)
from decode_stream.decoders.training.loss_spec import PUBLISHED_LOSSES, LossSpec, make_loss

torch.set_num_threads(1)
EYE = torch.eye(2)
# Cosines of the rows: (1, 0) and (0.6, 0.8) against the unit vectors.
PREDICTED = torch.tensor([[2.0, 0.0], [3.0, 4.0]])


def random_pair(n: int = 7, dimension: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, n, dimension, generator=generator, dtype=torch.float64))  # type: ignore[return-value]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def test_info_nce_of_two_rows_is_as_computed_by_hand() -> None:
    # Logits [[1, 0], [0.6, 0.8]] times 2.
    rows = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-0.4))
    columns = math.log(1 + math.exp(-0.8)) + math.log(1 + math.exp(-1.6))
    got = info_nce(PREDICTED, EYE, 2.0)
    assert float(got) == pytest.approx((rows + columns) / 4, rel=1e-6)


@pytest.mark.parametrize("normalise", ["both", "target", "none"])
def test_info_nce_equals_its_formula_whichever_side_is_normalised(normalise: str) -> None:
    predicted, target = random_pair()
    got = info_nce(predicted, 3 * target, 0.7, normalise)  # type: ignore[arg-type]
    p, t = predicted.numpy(), 3 * target.numpy()
    logits = 0.7 * (unit(p) if normalise == "both" else p) @ (t if normalise == "none" else unit(t)).T
    want = -(np.diag(log_softmax(logits)).mean() + np.diag(log_softmax(logits.T)).mean()) / 2
    assert float(got) == pytest.approx(want, rel=1e-9)


def test_repeats_of_a_picture_share_what_is_right_without_being_named() -> None:
    predicted, target = (x.requires_grad_() for x in random_pair())
    labels = torch.tensor([0, 1, 2, 1, 4, 1, 0])
    target = target.detach()[labels]
    mixture = Mixture(torch.tensor([1, 0, 3, 4, 2, 5, 6]), torch.linspace(0.1, 0.7, 7).double())
    shared = (labels[:, None] == labels) / (labels[:, None] == labels).sum(1, keepdim=True)
    share = mixture.share[:, None]
    logits = nn.functional.normalize(predicted, dim=1) @ nn.functional.normalize(target, dim=1).T / 0.2
    for got, right in (
        (info_nce(predicted, target, 5.0), shared),
        (bimixco(predicted, target, mixture, 0.2), share * shared + (1 - share) * shared[mixture.partner]),
    ):
        want = -((logits.log_softmax(1) + logits.log_softmax(0)) * right).sum() / 14
        torch.testing.assert_close(got, want)
        gradients = (torch.autograd.grad(loss, predicted, retain_graph=True) for loss in (got, want))
        torch.testing.assert_close(*gradients)


def test_soft_clip_equals_its_formula_and_is_least_where_predictions_are_right() -> None:
    predicted, target = random_pair()
    p, t = unit(predicted.numpy()), unit(target.numpy())
    right = np.exp(log_softmax(t @ t.T / 0.3))
    want = -((log_softmax(p @ t.T / 0.3) * right).sum(1) + (log_softmax(t @ p.T / 0.3) * right).sum(1)).mean()
    assert float(soft_clip(predicted, target, 0.3)) == pytest.approx(want / 2, rel=1e-9)
    assert soft_clip(target, target, 0.3) < soft_clip(predicted, target, 0.3)


def test_soft_clip_of_two_rows_is_as_computed_by_hand() -> None:
    # The targets are at right angles: what is right is softmax((2, 0)) with temperature 0.5.
    p = 1 / (1 + math.exp(-2))
    here = [(2.0, 0.0), (1.6, 1.2)]  # own target first: logits of the rows
    there = [(2.0, 1.2), (1.6, 0.0)]  # and of the columns
    want = -sum(p * own + (1 - p) * other - np.logaddexp(own, other) for own, other in here + there) / 4
    assert float(soft_clip(PREDICTED, EYE, 0.5)) == pytest.approx(want, rel=1e-6)


def test_bimixco_without_mixing_is_info_nce_and_mixed_rows_look_for_both() -> None:
    predicted, target = random_pair()
    partner = torch.tensor([1, 0, 3, 4, 2, 5, 0])
    pure = Mixture(partner, torch.ones(7))
    torch.testing.assert_close(bimixco(predicted, target, pure, 0.1), info_nce(predicted, target, 10.0))
    share = torch.linspace(0.1, 0.7, 7, dtype=torch.float64)
    weights = np.zeros((7, 7))
    for i in range(7):
        for j, part in ((i, share[i]), (int(partner[i]), 1 - share[i])):
            weights[i, j] += float(part)
    logits = unit(predicted.numpy()) @ unit(target.numpy()).T / 0.1
    want = -((weights * log_softmax(logits)).sum() + (weights.T * log_softmax(logits.T)).sum()) / 14
    got = bimixco(predicted, target, Mixture(partner, share), 0.1)
    assert float(got) == pytest.approx(want, rel=1e-6)
    assert weights[5, 5] == pytest.approx(1), "a row that is its own partner counts once"


def test_a_mixture_keeps_to_one_person_and_to_its_distribution() -> None:
    subjects = np.random.default_rng(0).integers(4, size=4000)
    drawn = draw_mixture(subjects, np.random.default_rng(1))
    partner, share = drawn.partner.numpy(), drawn.share.numpy()
    assert sorted(partner) == list(range(4000))
    np.testing.assert_array_equal(subjects[partner], subjects)
    assert (partner != np.arange(4000)).mean() > 0.99
    mixed = share < 1
    assert 0.4 < mixed.mean() < 0.52  # some shares of Beta(0.15, 0.15) round to 1
    assert abs(share[mixed].mean() - 0.5) < 0.1
    inputs = torch.randn(4000, 2, 3)
    want = share[7] * inputs[7] + (1 - share[7]) * inputs[partner[7]]
    torch.testing.assert_close(drawn.of(inputs)[7], want)
    torch.testing.assert_close(drawn.of(inputs)[~mixed], inputs[~mixed])


def test_regressions_are_as_computed_by_hand() -> None:
    # Squared errors (1, 0) and (9, 9); cosines 1 and 0.8.
    assert float(cosine_distance(PREDICTED, EYE)) == pytest.approx(0.1)
    assert float(mse_cosine(PREDICTED, EYE, 0.6)) == pytest.approx(0.4 * 19 / 4 + 0.6 * 0.1)
    assert float(clip_mse(torch.tensor(2.0), PREDICTED, EYE, 0.75)) == pytest.approx(1.5 + 0.25 * 19 / 4)


def scale_of(name: str) -> float:
    return float(make_loss(PUBLISHED_LOSSES[name]).logit_scale().detach())


def test_published_losses_have_the_published_numbers() -> None:
    assert scale_of("nice") == pytest.approx(14.2857, abs=1e-4)
    assert scale_of("atm-s") == pytest.approx(2.6593, abs=1e-4)
    assert scale_of("ubp") == scale_of("neurobridge") == pytest.approx(math.log1p(math.exp(2.6593)), abs=1e-4)
    learn = {name for name, spec in PUBLISHED_LOSSES.items() if make_loss(spec).log_scale.requires_grad}
    assert learn == {"atm-s", "atm-s-reconstruction", "ubp", "benchetrit"}
    predicted, target = (x.float() for x in random_pair())
    squared = nn.functional.mse_loss(predicted, target)
    raw = info_nce(predicted, target, math.log(1 / 0.07), "target")
    losses = {name: make_loss(spec)(predicted, target) for name, spec in PUBLISHED_LOSSES.items()}
    torch.testing.assert_close(losses["atm-s"], raw)
    torch.testing.assert_close(losses["atm-s-reconstruction"], 10 * (0.9 * squared + 0.1 * raw))
    mixed = 0.4 * squared + 0.6 * cosine_distance(predicted, target)
    torch.testing.assert_close(losses["mind-reader"], mixed)
    contrast = info_nce(predicted, target, 2.0)
    torch.testing.assert_close(losses["mind-reader-contrastive"], (mixed + contrast) / 2)
    torch.testing.assert_close(
        losses["benchetrit"], 0.75 * info_nce(predicted, target, 1 / 0.07) + 0.25 * squared
    )


def test_a_head_of_its_own_takes_the_squared_error() -> None:
    predicted, target = (x.float() for x in random_pair())
    loss = make_loss(PUBLISHED_LOSSES["benchetrit"])
    with_head = loss(predicted, target, regressed=target)
    torch.testing.assert_close(with_head, 0.75 * info_nce(predicted, target, 1 / 0.07))


def test_mindeye_mixes_for_a_third_of_the_epochs_and_then_softens() -> None:
    loss = make_loss(PUBLISHED_LOSSES["mind-eye"])
    predicted, target = random_pair()
    seen = []
    for epoch in range(1, 13):
        loss.begin_epoch(epoch, 12)
        seen.append(loss.mixes)
    assert seen == [True] * 3 + [False] * 9
    for epoch, temperature in ((4, 0.004), (8, 0.00575), (12, 0.0075)):
        loss.begin_epoch(epoch, 12)
        assert loss.soft_temperature == pytest.approx(temperature)
        torch.testing.assert_close(loss(predicted, target), soft_clip(predicted, target, temperature))
    # Judged, it is one loss throughout, so that epochs compare.
    torch.testing.assert_close(loss.eval()(predicted, target), info_nce(predicted, target, 1 / 0.006))


@pytest.mark.parametrize("name", PUBLISHED_LOSSES)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    loss = make_loss(PUBLISHED_LOSSES[name]).double()
    predicted, target = random_pair(4, 3)
    mixture = Mixture(torch.tensor([2, 0, 1, 3]), torch.tensor([0.4, 1.0, 0.9, 0.2]).double())
    mixed = mixture if name == "mind-eye" else None

    def of(p: Tensor, scale: Tensor) -> Tensor:
        return torch.func.functional_call(  # type: ignore[no-any-return]
            loss, {"log_scale": scale}, (p, target), {"mixture": mixed}
        )

    scale = loss.log_scale.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, (predicted.requires_grad_(), scale))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"name": "nce"}, "There is no loss 'nce'; losses are info-nce, bimixco"),
        ({"temperature": 0.0}, "Temperatures are above 0"),
        ({"soft_temperatures": (0.1, -0.1)}, "Temperatures are above 0"),
        ({"weight": 1.5}, "between 0 and 1"),
        ({"scale": "log"}, "A scale is exp, raw or softplus"),
        ({"normalise": "predicted"}, "both, target or none; got 'exp' and 'predicted'"),
    ],
)
def test_impossible_numbers_are_refused(numbers: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossSpec(**numbers)  # type: ignore[arg-type]
