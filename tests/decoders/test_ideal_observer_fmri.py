"""The ideal observer of fMRI against brute force, and against what can be known in closed form."""

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import multivariate_normal, norm

from decode_stream.decoders.ideal.ideal_observer import log_likelihood
from decode_stream.decoders.ideal.ideal_observer_fmri import (
    VoxelModel,
    alone,
    betas_observer,
    volumes_observer,
)

N_VOXELS, N_DIMS, N_SHARED, N_ENTRIES = 7, 3, 2, 5


def model(rng: np.random.Generator) -> VoxelModel:
    return VoxelModel(
        tuning=rng.standard_normal((N_VOXELS, N_DIMS)),
        common=rng.standard_normal(N_VOXELS),
        origin=rng.standard_normal(N_DIMS),
        own_noise=rng.uniform(0.5, 2, N_VOXELS),
        shared_noise=rng.standard_normal((N_VOXELS, N_SHARED)),
    )


def covariance(of: VoxelModel) -> np.ndarray:
    return np.diag(of.own_noise**2) + of.shared_noise @ of.shared_noise.T


def answers(of: VoxelModel, embeddings: np.ndarray) -> np.ndarray:
    return of.common + (embeddings - of.origin) @ of.tuning.T


def test_the_posterior_from_betas_is_bayes_rule() -> None:
    rng = np.random.default_rng(0)
    truth, gallery = model(rng), rng.standard_normal((N_ENTRIES, N_DIMS))
    betas = 3 * rng.standard_normal((4, N_VOXELS))
    expected = np.array(
        [
            [multivariate_normal.logpdf(beta, mean, covariance(truth)) for mean in answers(truth, gallery)]
            for beta in betas
        ]
    )
    got = log_likelihood(betas_observer(betas, truth), gallery)
    assert log_softmax(got, axis=1) == pytest.approx(log_softmax(expected, axis=1), abs=1e-8)


def test_the_posterior_from_volumes_is_bayes_rule() -> None:
    rng = np.random.default_rng(1)
    truth, gallery, ar = model(rng), rng.standard_normal((N_ENTRIES, N_DIMS)), 0.6
    course = np.array([0.0, 0.3, 1.0, 0.7])
    volumes = 2 * rng.standard_normal((3, 4, N_VOXELS))
    over_time = ar ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    whole = np.kron(over_time, covariance(truth))
    means = [np.outer(course, mean).ravel() for mean in answers(truth, gallery)]
    expected = np.array(
        [[multivariate_normal.logpdf(y.ravel(), mean, whole) for mean in means] for y in volumes]
    )
    got = log_likelihood(volumes_observer(volumes, course, ar, truth), gallery)
    assert log_softmax(got, axis=1) == pytest.approx(log_softmax(expected, axis=1), abs=1e-8)


def test_volumes_before_the_one_before_the_onset_tell_nothing_more() -> None:
    rng = np.random.default_rng(2)
    truth, gallery = model(rng), rng.standard_normal((N_ENTRIES, N_DIMS))
    course = np.array([0.0, 0.0, 0.0, 0.4, 1.0])
    volumes = rng.standard_normal((3, 5, N_VOXELS))
    whole, part = (
        log_softmax(log_likelihood(volumes_observer(volumes[:, k:], course[k:], 0.5, truth), gallery), axis=1)
        for k in (0, 2)
    )
    assert whole == pytest.approx(part, abs=1e-9)


def test_two_entries_are_told_apart_as_often_as_theory_says() -> None:
    rng = np.random.default_rng(3)
    truth, gallery = model(rng), 0.4 * rng.standard_normal((2, N_DIMS))
    means = answers(truth, gallery)
    n = 20_000
    betas = means[0] + rng.multivariate_normal(np.zeros(N_VOXELS), covariance(truth), n)
    log_p = log_likelihood(betas_observer(betas, truth), gallery)
    apart = means[0] - means[1]
    distance = np.sqrt(apart @ np.linalg.solve(covariance(truth), apart))
    expected = norm.cdf(distance / 2)
    assert 0.6 < expected < 0.95
    assert (log_p[:, 0] > log_p[:, 1]).mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / n))


def test_repeats_add_up() -> None:
    rng = np.random.default_rng(4)
    truth, gallery = model(rng), rng.standard_normal((N_ENTRIES, N_DIMS))
    betas = rng.standard_normal((6, N_VOXELS))
    seen = betas_observer(betas, truth)
    pooled = log_likelihood(seen.pooled(np.array([0, 0, 0, 1, 1, 1])), gallery)
    assert log_softmax(pooled, axis=1) == pytest.approx(
        log_softmax(log_likelihood(seen, gallery).reshape(2, 3, -1).sum(axis=1), axis=1)
    )


def test_answers_to_neighbours_are_taken_off() -> None:
    rng = np.random.default_rng(5)
    course, onsets = np.array([0.2, 1.0, 0.5, -0.1]), np.array([0, 2, 5, 9])
    given, noise = rng.standard_normal((4, 3)), rng.standard_normal((12, 3))
    volumes = noise.copy()
    for onset, answer in zip(onsets, given, strict=True):
        n = min(4, 12 - onset)
        volumes[onset : onset + n] += course[:n, None] * answer
    cut, kept = alone(volumes, onsets, given, course, 1, 3)
    assert kept.tolist() == [1, 2, 3]
    for span, i in zip(cut, kept, strict=True):
        own = np.concatenate([[0.0], course[:3]])[:, None] * given[i]
        assert span == pytest.approx(noise[onsets[i] - 1 : onsets[i] + 3] + own)


def test_what_does_not_fit_is_refused() -> None:
    truth = model(np.random.default_rng(0))
    with pytest.raises(ValueError, match="do not fit a course"):
        volumes_observer(np.zeros((2, 4, N_VOXELS)), np.ones(3), 0.5, truth)
    with pytest.raises(ValueError, match="is no correlation"):
        volumes_observer(np.zeros((2, 4, N_VOXELS)), np.ones(4), 1.0, truth)
    with pytest.raises(ValueError, match="no answer in these volumes"):
        volumes_observer(np.zeros((2, 4, N_VOXELS)), np.zeros(4), 0.5, truth)
    with pytest.raises(ValueError, match="common has shape"):
        VoxelModel(truth.tuning, truth.common[1:], truth.origin, truth.own_noise, truth.shared_noise)
    with pytest.raises(ValueError, match="spread above 0"):
        VoxelModel(truth.tuning, truth.common, truth.origin, 0 * truth.own_noise, truth.shared_noise)
