import numpy as np
import pytest

from decode_stream.decoders.targets import selection
from decode_stream.decoders.targets.selection import (
    FeatureMask,
    best_decoded,
    decoded_correlation,
    select_features,
)
from decode_stream.stream.errors import BundleError, UsageError


def measured(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return trials that hold a quarter of the numbers of their pictures' embeddings, scattered, in noise."""
    rng = np.random.default_rng(seed)
    stimuli = np.repeat(np.arange(40), 2)
    wanted = rng.standard_normal((40, 24)).astype(np.float32)
    inputs = wanted[:, 1::4] @ rng.standard_normal((6, 30)) + 0.5 * rng.standard_normal((40, 30))
    return (inputs[stimuli] + rng.standard_normal((80, 30))).astype(np.float32), wanted[stimuli], stimuli


def test_what_can_be_decoded_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, wanted, stimuli = measured()
    mask = select_features(inputs.reshape(80, 5, 6), wanted, stimuli)
    assert mask.kept.tolist() == list(range(1, 24, 4))
    assert mask.correlation[mask.kept].min() > 0.5
    assert mask.weights.tolist() == [0, 1, 0, 0] * 6
    monkeypatch.setattr(selection, "_TARGETS_AT_ONCE", 7)
    np.testing.assert_allclose(
        select_features(inputs, wanted, stimuli).correlation, mask.correlation, atol=1e-5
    )


def test_a_repeat_of_a_picture_does_not_tell_its_embedding() -> None:
    rng = np.random.default_rng(1)
    stimuli = np.repeat(np.arange(40), 5)
    # Inputs tell which picture it was, and nothing that another picture's embedding has to do with.
    inputs = rng.standard_normal((40, 60))[stimuli] + 0.01 * rng.standard_normal((200, 60))
    mask = select_features(inputs, rng.standard_normal((40, 30))[stimuli], stimuli)
    assert abs(mask.correlation.mean()) < 0.15


def test_correlations_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    decoded, wanted = rng.standard_normal((2, 50, 4))
    wanted[:, 3] = 2.0
    expected = [np.corrcoef(decoded[:, k], wanted[:, k])[0, 1] for k in range(3)]
    np.testing.assert_allclose(decoded_correlation(decoded, wanted), [*expected, 0])


def test_a_mask_is_kept_and_applied() -> None:
    mask = best_decoded(np.array([0.1, 0.9, -0.2, 0.5, 0.3, 0.0, 0.2, 0.4]))
    assert mask.kept.tolist() == [1, 3]
    again = FeatureMask.from_bytes(mask.to_bytes())
    assert again.kept.tolist() == [1, 3]
    np.testing.assert_array_equal(again.correlation, mask.correlation)
    rows = np.arange(16, dtype=np.float32).reshape(2, 8)
    np.testing.assert_array_equal(mask.apply(rows), [[1, 3], [9, 11]])
    assert best_decoded(np.zeros(3)).kept.tolist() == [0]
    with pytest.raises(ValueError, match="Embeddings of 4 numbers for a mask of 8"):
        mask.apply(rows[:, :4])
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="A share lies above 0"):
            best_decoded(np.zeros(3), share)
    for kept in ([], [3, 1], [8]):
        with pytest.raises(ValueError, match="keeps ascending places"):
            FeatureMask(np.array(kept, np.int64), np.zeros(8, np.float32))
    for content in (b"", mask.to_bytes()[:20]):
        with pytest.raises(BundleError, match="mask of features is damaged"):
            FeatureMask.from_bytes(content)


def test_too_few_pictures_are_told() -> None:
    inputs, wanted, stimuli = measured()
    with pytest.raises(UsageError, match="18 trials of 9 pictures are too few"):
        select_features(inputs[:18], wanted[:18], stimuli[:18])
