"""The open-set ideal observer: against a plain Gaussian of everything, and against the gallery's posterior."""

import numpy as np
import pytest
from scipy.special import log_softmax

from decode_stream.decoders.ideal.embedding_posterior import KnownDrives, embedding_posterior
from decode_stream.decoders.ideal.ideal_observer import Sufficient, log_likelihood

N_DIMS, N_SOURCES = 5, 4


def given(n: int = 6) -> tuple[Sufficient, KnownDrives, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    halves = rng.standard_normal((2, N_SOURCES, 3))
    # A window tells nothing of one direction of the drives.
    grams = halves @ halves.transpose(0, 2, 1)
    counts = np.array([[1, 0], [0, 1], [2, 1]] * (n // 3))
    drives = KnownDrives(
        rng.standard_normal((N_DIMS, N_SOURCES)), rng.standard_normal(N_SOURCES), rng.random(N_SOURCES)
    )
    mean, half = rng.standard_normal(N_DIMS), rng.standard_normal((N_DIMS, N_DIMS))
    covariance = half @ half.T + 0.1 * np.eye(N_DIMS)
    b = np.empty((n, N_SOURCES))
    for i in range(n):
        gram = np.tensordot(counts[i], grams, 1)
        embedding = rng.multivariate_normal(mean, covariance)
        driven = embedding @ drives.weights + drives.bias + drives.specific * rng.standard_normal(N_SOURCES)
        b[i] = rng.multivariate_normal(gram @ driven, gram, method="svd")
    return Sufficient(np.arange(n), b, counts, grams), drives, mean, covariance


def test_it_is_the_conditional_of_one_large_gaussian() -> None:
    seen, drives, mean, covariance = given()
    found = embedding_posterior(seen, drives, mean, covariance)
    assert found.covariances.shape == (3, N_DIMS, N_DIMS)
    for i in range(len(seen.b)):
        gram = np.tensordot(seen.counts[i], seen.grams, 1)
        reads = gram @ drives.weights.T
        spread = reads @ covariance @ reads.T + gram @ np.diag(drives.specific**2) @ gram + gram
        gain = covariance @ reads.T @ np.linalg.pinv(spread, rcond=1e-10)
        expected = mean + gain @ (seen.b[i] - reads @ mean - gram @ drives.bias)
        assert found.mean[i] == pytest.approx(expected, abs=1e-6)
        after = covariance - gain @ reads @ covariance
        np.testing.assert_allclose(found.covariances[found.kind[i]], after, atol=1e-6)


def test_it_orders_pictures_as_the_gallerys_posterior_does() -> None:
    seen, drives, mean, covariance = given()
    found = embedding_posterior(seen, drives, mean, covariance)
    gallery = np.random.default_rng(1).multivariate_normal(mean, covariance, 7)
    expected = log_likelihood(seen, gallery @ drives.weights + drives.bias, drives.specific)
    off = gallery - mean
    prior = -0.5 * np.einsum("ij,jk,ik->i", off, np.linalg.inv(covariance), off)
    for i in range(len(seen.b)):
        away = gallery - found.mean[i]
        precision = np.linalg.inv(found.covariances[found.kind[i]])
        density = -0.5 * np.einsum("ij,jk,ik->i", away, precision, away)
        # The density over the prior's is the likelihood, whatever was in the gallery.
        np.testing.assert_allclose(log_softmax(density - prior), log_softmax(expected[i]), atol=1e-6)
