"""Beliefs over embeddings against dense linear algebra, brute force, and the truth of simulated trials."""

from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.decoders.generation.embedding_belief import Posteriors
from decode_stream.decoders.generation.picture_evidence import EvidenceReader, PictureEvidence, pooled
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import BundleError
from tests.decoders.bundles import linear_onnx, small_bundle

_DIMENSION = 6


def picture_model(seed: int = 0) -> PictureModel:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((_DIMENSION, _DIMENSION)) * [1.0, 0.7, 0.5, 0.4, 0.3, 0.2]
    layout = LayoutMap(
        rng.standard_normal((12, _DIMENSION)).astype(np.float32), np.zeros(12, np.float32), 2, 2
    )
    mean = 0.3 * rng.standard_normal(_DIMENSION).astype(np.float32)
    return PictureModel(mean, (mixing @ mixing.T).astype(np.float32), (2, _DIMENSION), layout)


def gaussian_bundle(
    *,
    unit: bool = False,
    rho: bool = True,
    n_directions: int = 3,
    gain: float = 1.0,
    repeats: float | None = 0.2,
) -> Bundle:
    """Return a bundle whose evidence is Gaussian, in a space of six numbers."""
    rng = np.random.default_rng(1)
    bundle = small_bundle(n_latencies=3)
    projector = GalleryProjector(
        (gain * rng.standard_normal((n_directions, _DIMENSION))).astype(np.float32),
        rng.standard_normal(n_directions).astype(np.float32),
        unit,
        gaussian=True,
        rho=np.linspace(0.1, 0.8, n_directions).astype(np.float32) if rho else None,
    )
    calibration = Calibration((0.5, 1.0, 0.8), 1.0, (1.1, 1.2, 1.0), repeat_correlation=repeats)
    manifest = replace(bundle.manifest, space=EmbeddingSpace("test", "", _DIMENSION), calibration=calibration)
    weights = np.zeros((40, n_directions + 1), np.float32)
    gallery = projector.project(rng.standard_normal((2, _DIMENSION)))
    return replace(
        bundle, manifest=manifest, encoder=linear_onnx(weights), gallery=gallery, projector=projector
    )


def brute_force(
    bundle: Bundle, pictures: PictureModel, log_evidence: object, n: int = 100_000
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of embeddings drawn from the prior, weighed by what `log_evidence` says of each."""
    rng = np.random.default_rng(2)
    drawn = rng.multivariate_normal(pictures.mean, pictures.covariance, n)
    assert callable(log_evidence)
    said = log_evidence(drawn)
    weight = np.exp(said - said.max())
    weight /= weight.sum()
    assert 1 / (weight**2).sum() > 1000  # so many draws count
    mean = weight @ drawn
    return mean, (weight[:, None] * (drawn - mean)).T @ (drawn - mean)


def said_of_trial(seed: int, strength: float = 0.4) -> np.ndarray:
    """Return what an encoder gives for the three windows of a trial: three numbers, and the share."""
    rng = np.random.default_rng(seed)
    return np.concatenate([0.5 * rng.standard_normal((3, 3)), np.full((3, 1), strength)], axis=1)


@pytest.mark.parametrize("k", [0, 2])
def test_a_belief_is_the_posterior_that_the_gallery_s_evidence_implies(k: int) -> None:
    bundle, pictures, said = gaussian_bundle(), picture_model(), said_of_trial(3)
    projector, calibration = bundle.projector, bundle.manifest.calibration
    assert projector is not None

    def log_evidence(embeddings: np.ndarray) -> np.ndarray:
        return calibration.log_evidence(said @ projector.project(embeddings).T.astype(float), k)

    found = Posteriors(bundle, pictures)(EvidenceReader(bundle).read(said, k))
    mean, covariance = brute_force(bundle, pictures, log_evidence)
    assert found.mean == pytest.approx(mean, abs=0.02)
    assert found.covariance(pictures) == pytest.approx(covariance, abs=0.03)
    assert found.open_share == pytest.approx(pictures.open_shares(found.covariance(pictures)), abs=1e-5)
    assert 0 < found.open_share.min() < found.open_share.max() < 1


def test_showings_are_pooled_as_the_gallery_s_evidence_of_them_is() -> None:
    bundle, pictures = gaussian_bundle(), picture_model()
    projector, calibration = bundle.projector, bundle.manifest.calibration
    assert projector is not None
    trials = [said_of_trial(seed, 0.3) for seed in (4, 5, 6)]
    total = np.sum([calibration.log_evidence(trial) for trial in trials], axis=0)

    def log_evidence(embeddings: np.ndarray) -> np.ndarray:
        entries = projector.of_showings(projector.project(embeddings), 3).astype(float)
        return calibration.of_repeats(entries @ total, 3)

    reader = EvidenceReader(bundle)
    found = Posteriors(bundle, pictures)(pooled(reader.read(trial) for trial in trials))
    mean, covariance = brute_force(bundle, pictures, log_evidence)
    assert found.mean == pytest.approx(mean, abs=0.02)
    assert found.covariance(pictures) == pytest.approx(covariance, abs=0.03)


def test_showings_of_unknown_correlation_count_no_more_than_one() -> None:
    bundle, pictures = gaussian_bundle(rho=False, repeats=None), picture_model()
    one = EvidenceReader(bundle).read(said_of_trial(3))
    make = Posteriors(bundle, pictures)
    assert make(pooled([one] * 5)).mean == pytest.approx(make(one).mean)
    assert make(pooled([one] * 5)).open_share == pytest.approx(make(one).open_share)


def test_a_window_that_was_not_decoded_counts_nothing() -> None:
    bundle, pictures = gaussian_bundle(), picture_model()
    make, reader = Posteriors(bundle, pictures), EvidenceReader(bundle)
    nothing = make(reader.read(np.full((3, 4), np.nan)))
    assert nothing.mean == pytest.approx(pictures.mean)
    assert nothing.open_share == pytest.approx([1, 1])
    said = said_of_trial(3)
    said[1] = np.nan
    without = reader.read(said)
    assert without.strength == pytest.approx(0.4 * (0.5 + 0.8))


def test_beliefs_of_simulated_trials_are_as_far_from_the_truth_as_they_say() -> None:
    bundle, pictures = gaussian_bundle(rho=False, gain=2.0), picture_model()
    projector = bundle.projector
    assert projector is not None
    rng, strength, n = np.random.default_rng(7), 0.5, 2000
    make = Posteriors(bundle, pictures)
    true = rng.multivariate_normal(pictures.mean, pictures.covariance, n)
    expected = projector.project(true)[:, :-1]
    vectors = strength * expected + np.sqrt(strength) * rng.standard_normal(expected.shape)
    found = [make(PictureEvidence(vector, strength)) for vector in vectors]
    inverse = np.linalg.inv(found[0].covariance(pictures))
    away = true - np.array([one.mean for one in found])
    squared = np.einsum("ni,ij,nj->n", away, inverse, away)
    assert squared.mean() == pytest.approx(_DIMENSION, rel=0.05)  # chi squared: a standard error of 0.013
    assert np.var(squared) == pytest.approx(2 * _DIMENSION, rel=0.2)


def test_of_embeddings_brought_to_unit_length_a_belief_is_near_the_exact_one() -> None:
    bundle = gaussian_bundle(unit=True, rho=False, gain=3.0)
    rng = np.random.default_rng(8)
    # Lengths vary as they do in the space of the demos, by a tenth.
    mean = np.array([2.0, 0, 0, 0, 0, 0], np.float32)
    pictures = replace(
        picture_model(), mean=mean, covariance=np.diag([0.05, 0.5, 0.4, 0.3, 0.3, 0.2]).astype(np.float32)
    )
    projector = bundle.projector
    assert projector is not None
    true = rng.multivariate_normal(mean, pictures.covariance)
    vector = 1.5 * projector.project(true[None])[0, :-1] + rng.standard_normal(3)
    found = Posteriors(bundle, pictures)(PictureEvidence(vector, 1.5))

    def log_evidence(embeddings: np.ndarray) -> np.ndarray:
        entries = projector.project(embeddings)
        return entries[:, :-1] @ vector + 1.5 * entries[:, -1]

    exact, covariance = brute_force(bundle, pictures, log_evidence)
    away = (found.mean - exact) / np.sqrt(np.diag(pictures.covariance))
    assert np.abs(away).max() < 0.12  # of the prior's standard deviations
    spread = np.sqrt(np.diag(found.covariance(pictures)) / np.diag(covariance))
    assert np.abs(np.log(spread)).max() < 0.12


def test_what_does_not_fit_is_refused() -> None:
    bundle, pictures = gaussian_bundle(), picture_model()
    make = Posteriors(bundle, pictures)
    with pytest.raises(ValueError, match="Evidence of"):
        make(PictureEvidence(np.zeros(4), 1.0))
    with pytest.raises(ValueError, match="not finite"):
        make(PictureEvidence(np.full(3, np.nan), 1.0))
    other = replace(bundle.manifest, space=EmbeddingSpace("test", "", 7))
    with pytest.raises(ValueError, match="7 numbers, the generator of 6"):
        Posteriors(
            replace(bundle, manifest=other, projector=None, gallery=np.zeros((2, 7), np.float32)), pictures
        )
    with pytest.raises(ValueError, match="No showing"):
        pooled([])
    with pytest.raises(BundleError, match="Train the bundle anew"):
        EvidenceReader(small_bundle())
