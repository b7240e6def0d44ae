"""What outputs that are no likelihoods tell of pictures, on simulated trials whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.decoded import unit_rows
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.decoders.generation.embedding_belief import EmbeddingPosterior, Posteriors
from decode_stream.decoders.generation.picture_evidence import EvidenceReader, pooled
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.picture_readout import PictureReadout, fit_picture_readout
from decode_stream.stream.errors import BundleError
from tests.decoders.bundles import linear_onnx, small_bundle

_DIMENSION, _N_LATENCIES = 12, 3


def picture_model() -> PictureModel:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((_DIMENSION, _DIMENSION)) / np.sqrt(_DIMENSION)
    covariance = mixing @ np.diag(np.linspace(2, 0.1, _DIMENSION)) @ mixing.T
    layout = LayoutMap(np.eye(12, _DIMENSION, dtype=np.float32), np.zeros(12, np.float32), 2, 2)
    return PictureModel(
        rng.standard_normal(_DIMENSION).astype(np.float32), covariance.astype(np.float32), (6, 12), layout
    )


def simulated(
    n: int, seed: int, signal: float = 1.0, *, again: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of pictures and what a decoder gives for a trial of each, in growing windows.

    Some numbers are not decoded at all, all are too small, and the errors of all go together.
    """
    rng = np.random.default_rng(seed)
    pictures = picture_model()
    true = rng.multivariate_normal(pictures.mean, pictures.covariance, n) if again is None else again
    gain = signal * np.linspace(0.6, 0, _DIMENSION)
    errs = np.random.default_rng(9).standard_normal((_DIMENSION, _DIMENSION)) * 0.3
    said = [
        part * gain * (true - pictures.mean) + rng.standard_normal((n, _DIMENSION)) @ errs + 0.3
        for part in (0.2, 0.6, 1.0)
    ]
    return true, np.stack(said, axis=1)


def read_bundle(norm: str = "none", signal: float = 1.0) -> Bundle:
    """Return a bundle whose readout was measured on 400 trials."""
    calibration = Calibration(
        (1.0,) * _N_LATENCIES, 1.0, (2.0, 3.0, 3.0), growing=True, repeat_correlation=0.0
    )
    bundle = small_bundle(n_latencies=_N_LATENCIES)
    true, said = simulated(400, 1, signal)
    rows = unit_rows(said, norm)
    after = np.stack([calibration.log_evidence(rows, k) for k in range(_N_LATENCIES)], axis=1)
    manifest = replace(
        bundle.manifest,
        space=EmbeddingSpace("test", "", _DIMENSION, norm),
        calibration=calibration,
        first_s=0.05,
    )
    return replace(
        bundle,
        manifest=manifest,
        encoder=linear_onnx(np.zeros((40, _DIMENSION), np.float32)),
        gallery=true[:2].astype(np.float32),
        readout=fit_picture_readout(after, np.arange(400), true),
    )


def believed(bundle: Bundle, said: np.ndarray, k: int) -> list[EmbeddingPosterior]:
    make, reader = Posteriors(bundle, picture_model()), EvidenceReader(bundle)
    return [make(reader.read(trial, k)) for trial in said]


@pytest.mark.parametrize("norm", ["none", "unit"])
def test_beliefs_of_new_trials_are_as_far_from_the_truth_as_they_say(norm: str) -> None:
    bundle, pictures = read_bundle(norm), picture_model()
    true, said = simulated(500, 2)
    shares, errors = [], []
    for k in range(_N_LATENCIES):
        found = believed(bundle, said, k)
        away = true - np.array([one.mean for one in found])
        squared = np.einsum("ni,ij,nj->n", away, np.linalg.inv(found[0].covariance(pictures)), away)
        assert squared.mean() / _DIMENSION == pytest.approx(1, abs=0.15)
        shares.append(found[0].open_share.mean())
        errors.append((away**2).sum() / ((true - pictures.mean) ** 2).sum())
    assert shares == sorted(shares, reverse=True)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.85
    # What is open is what is left of the pictures' variance.
    assert np.trace(found[0].covariance(pictures)) / np.trace(pictures.covariance) == pytest.approx(
        errors[-1], abs=0.1
    )


def test_outputs_that_tell_nothing_settle_nothing() -> None:
    bundle, pictures = read_bundle(signal=0.0), picture_model()
    _, said = simulated(50, 3, 0.0)
    for found in believed(bundle, said, 2):
        assert found.open_share.min() > 0.97
        away = (found.mean - pictures.mean) / np.sqrt(np.diag(pictures.covariance))
        assert np.abs(away).max() < 0.5


def test_showings_together_tell_more_than_one() -> None:
    bundle = read_bundle()
    true, first = simulated(300, 4)
    _, second = simulated(300, 5, again=true)
    make, reader = Posteriors(bundle, picture_model()), EvidenceReader(bundle)
    one = np.array([make(reader.read(trial)).mean for trial in first])
    two = np.array(
        [make(pooled([reader.read(a), reader.read(b)])).mean for a, b in zip(first, second, strict=True)]
    )
    assert ((two - true) ** 2).sum() < 0.97 * ((one - true) ** 2).sum()


def test_a_readout_travels_in_the_bundle(tmp_path: Path) -> None:
    bundle = save_bundle(read_bundle(), tmp_path / "b.bundle")
    assert "readout.safetensors" in bundle.manifest.files
    read = load_bundle(tmp_path / "b.bundle").readout
    assert read is not None
    assert bundle.readout is not None
    for name, array in bundle.readout.tensors().items():
        assert np.array_equal(read.tensors()[name], array)


def test_a_bundle_without_a_readout_loads_and_says_that_it_cannot_be_drawn(tmp_path: Path) -> None:
    save_bundle(replace(read_bundle(), readout=None), tmp_path / "b.bundle")
    old = load_bundle(tmp_path / "b.bundle")
    assert old.readout is None
    with pytest.raises(BundleError, match="Train the bundle anew"):
        EvidenceReader(old)


def test_a_readout_of_another_bundle_is_refused(tmp_path: Path) -> None:
    bundle = read_bundle()
    readout = bundle.readout
    assert readout is not None
    other = replace(readout, precision=readout.precision[:2], offset=readout.offset[:2])
    with pytest.raises(BundleError, match=r"readout\.safetensors .* 2 numbers .* says 3"):
        replace(bundle, readout=other)
    save_bundle(bundle, tmp_path / "b.bundle")
    (tmp_path / "b.bundle" / "readout.safetensors").write_bytes(b"not tensors")
    with pytest.raises(BundleError, match="readout"):
        load_bundle(tmp_path / "b.bundle")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain": np.zeros(3, np.float32)}, "do not fit"),
        ({"variance": np.zeros(_DIMENSION, np.float32)}, "variances above 0"),
        ({"precision": np.full(_N_LATENCIES, np.nan, np.float32)}, "not finite"),
        ({"precision": np.full(_N_LATENCIES, -1, np.float32)}, "precisions of at least 0"),
    ],
)
def test_impossible_readouts_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    readout = read_bundle().readout
    assert readout is not None
    with pytest.raises(ValueError, match=words):
        PictureReadout(**(readout.tensors() | change))


def test_of_few_trials_nothing_is_measured() -> None:
    true, said = simulated(19, 1)
    with pytest.raises(ValueError, match="19 trials"):
        fit_picture_readout(said, np.arange(19), true)
