"""Responses whose courses have maps of their own, held against responses that were drawn so."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import log_softmax

from decode_stream.decoders.encoders import encoding_model
from decode_stream.decoders.encoders.encoding_model import fit_encoding_model
from decode_stream.decoders.encoders.own_maps import FEWEST_AXES, _Problem, fit_own_maps
from decode_stream.decoders.encoders.tuning_prior import (
    Measured,
    Tuning,
    fit_tuning,
    refined_responses,
    smooth_courses,
)
from decode_stream.decoders.encoders.window_noise import ForwardWhitening
from decode_stream.stream.windows import WindowSchedule

N_TIMES, N_CHANNELS, N_AXES, N_MAPS_EACH = 8, 16, 80, 3
STOPS = (8, 16, 24, 32)
PEAKS = (6, 13, 22)


@dataclass
class Drawn:
    """Responses of three courses with three maps each, measured in noise of variance 1; the truth is beside them."""

    measured: Measured
    truth: np.ndarray
    whitening: ForwardWhitening
    span: np.ndarray
    product: Tuning


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    rng = np.random.default_rng(2)
    times = np.arange(STOPS[-1])
    courses = np.array([np.exp(-0.5 * ((times - peak) / 2.5) ** 2) for peak in PEAKS])
    maps = rng.standard_normal((len(PEAKS), N_MAPS_EACH, N_CHANNELS)) / 2
    drives = rng.standard_normal((N_AXES, len(PEAKS), N_MAPS_EACH))
    truth = np.einsum("kcr,ct,crm->ktm", drives, courses, maps, optimize=True).reshape(N_AXES, -1)
    measured = Measured(truth + rng.standard_normal(truth.shape), np.ones(N_AXES))
    whitening = ForwardWhitening.of(np.eye(N_TIMES * N_CHANNELS), N_TIMES, STOPS)
    span = smooth_courses(STOPS[-1], 100.0, 0.02)
    product = fit_tuning(measured, whitening, span, np.eye(N_CHANNELS), 6).ordered(len(PEAKS))
    product = fit_tuning(measured, whitening, product.courses, product.maps, 6)
    return Drawn(measured, truth, whitening, span, product)


def misfit(responses: np.ndarray, truth: np.ndarray) -> float:
    return float(((responses - truth) ** 2).sum() / (truth**2).sum())


def test_maps_of_their_own_find_what_one_product_cannot(drawn: Drawn) -> None:
    own = fit_own_maps(drawn.measured, drawn.whitening, drawn.span, drawn.product).responses
    product = misfit(drawn.product.responses, drawn.truth)
    refined = misfit(refined_responses(drawn.measured, drawn.whitening, drawn.product, 6), drawn.truth)
    assert misfit(own, drawn.truth) < 0.75 * min(product, refined)


def test_noise_alone_is_shrunk_to_little(drawn: Drawn) -> None:
    noise = np.random.default_rng(4).standard_normal(drawn.truth.shape)
    measured = Measured(noise, drawn.measured.precision)
    own = fit_own_maps(measured, drawn.whitening, drawn.span, drawn.product).responses
    assert (own**2).sum() < 0.02 * (noise**2).sum()


def test_courses_with_a_map_to_spare_or_none_too_few_can_be_fitted(drawn: Drawn) -> None:
    maps = drawn.product.maps.copy()
    maps[:, 4:] = 0
    few = Tuning(drawn.product.courses[:, :1], maps, drawn.product.responses, 0.0)
    own = fit_own_maps(drawn.measured, drawn.whitening, drawn.span, few).responses
    assert np.isfinite(own).all()
    assert misfit(own, drawn.truth) < 1


def test_what_little_tells_of_is_left_to_the_product(drawn: Drawn) -> None:
    noise = np.random.default_rng(8).standard_normal(drawn.truth.shape)
    measured = Measured(drawn.truth + noise / np.sqrt(0.1), np.full(N_AXES, 0.1))
    cautious = replace(measured, precision=measured.precision / 1.5)
    product = fit_tuning(cautious, drawn.whitening, drawn.product.courses, drawn.product.maps, 6)
    own = fit_own_maps(measured, drawn.whitening, drawn.product.courses, product).responses
    chosen = encoding_model._responses(measured, drawn.whitening, drawn.product)
    assert misfit(chosen, drawn.truth) < 0.95 * misfit(own, drawn.truth)


def test_the_gradient_is_that_of_the_evidence() -> None:
    rng = np.random.default_rng(1)
    shape = (3, 4, 2, 3)
    basis = rng.standard_normal((12, 40))
    problem = _Problem(basis @ basis.T, rng.standard_normal((7, 40)) @ basis.T, rng.uniform(0.1, 2, 7), shape)
    numbers = rng.standard_normal(3 * 2 + 2 * 4 * 3)
    error = check_grad(lambda x: problem.loss(x)[0], lambda x: problem.loss(x)[1], numbers)
    assert error < 1e-4 * np.linalg.norm(problem.loss(numbers)[1])


def test_the_evidence_is_that_of_a_gaussian() -> None:
    rng = np.random.default_rng(6)
    basis, seen, precision = rng.standard_normal((6, 9)), rng.standard_normal((2, 9)), np.array([0.5, 2.0])
    problem = _Problem(basis @ basis.T, seen @ basis.T, precision, (2, 3, 1, 2))
    factor = problem.factor(rng.standard_normal((2, 1)), rng.standard_normal((1, 3, 2)))
    root = basis.T @ factor
    expected = 0.0
    for row, one in zip(seen, precision, strict=True):
        covariance = root @ root.T + np.eye(9) / one
        expected -= 0.5 * (row @ np.linalg.solve(covariance, row) - one * row @ row)
        expected -= 0.5 * np.linalg.slogdet(one * covariance)[1]
    assert problem.posterior(factor).log_evidence == pytest.approx(expected)


def test_pictures_are_told_apart_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, n_latencies = WindowSchedule(Fraction(100)), 13
    stops = [schedule.stop(k) for k in range(n_latencies)]
    rng = np.random.default_rng(5)
    courses = np.array([np.exp(-0.5 * ((np.arange(stops[-1]) - at) / 3) ** 2) for at in (8, 18, 30)])
    maps = rng.standard_normal((3, 2, N_CHANNELS)) / 60
    responses = np.einsum(
        "ct,crm,kcr->ktm", courses, maps, rng.standard_normal((N_AXES, 3, 2)), optimize=True
    )

    def seen(shown: np.ndarray) -> np.ndarray:
        epochs = np.tensordot(shown, responses, 1) + rng.standard_normal((len(shown), stops[-1], N_CHANNELS))
        parts = [epochs[:, stop - schedule.n_times : stop].transpose(0, 2, 1) for stop in stops]
        return np.stack(parts, axis=1, dtype=np.float32)

    shown, gallery = rng.standard_normal((600, N_AXES)), rng.standard_normal((20, N_AXES))
    labels = np.arange(600) % len(gallery)
    windows, unseen = seen(shown), seen(gallery[labels])
    losses = []
    for fewest in (FEWEST_AXES, N_AXES + 1):
        monkeypatch.setattr(encoding_model, "FEWEST_AXES", fewest)
        readout = fit_encoding_model(windows, shown, schedule, n_latencies)
        said = readout.embed(unseen).sum(axis=1) @ readout.projector(unit=False).project(gallery).T
        losses.append(-log_softmax(said, axis=1)[np.arange(len(labels)), labels].mean())
    assert losses[0] < 0.97 * losses[1]
