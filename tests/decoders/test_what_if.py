"""Silence and stimulation of voxels, what decoders listen to, the way between two scans and the one there and back."""

from collections.abc import Callable

import numpy as np
import pytest

from decode_stream.decoders.brain.cycle import cycle
from decode_stream.decoders.brain.interpolation import interpolate
from decode_stream.decoders.brain.readout import Readout, readout_of
from decode_stream.decoders.brain.weight_maps import activation_pattern, entry_pattern, sensitivity, summaries
from decode_stream.decoders.brain.what_if import region_effects, stimulated, what_if
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.runtime import Encoder
from decode_stream.stream.errors import UsageError
from tests.decoders.bundles import small_bundle

N_VOXELS, N_TIMES = 40, 3
#: Voxels 0 to 9 tell the first number of an embedding, 10 to 19 the second, the rest nothing.
WEIGHTS = np.zeros((N_VOXELS, 2))
WEIGHTS[:10, 0] = WEIGHTS[10:20, 1] = 0.1
FIRST = np.arange(N_VOXELS) < 10
SECOND = ~FIRST & (np.arange(N_VOXELS) < 20)


def readout(encode: Callable | None = None, clamp: float | None = 5.0) -> Readout:
    return Readout(
        encode or (lambda windows: windows.mean(axis=2) @ WEIGHTS),
        np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32),
        "none",
        Calibration((2.0,), 1.0),
        (N_VOXELS, N_TIMES),
        clamp,
    )


def windows(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Trials whose first voxels say whether entry 0 or 2 was shown, and whose others are noise."""
    rng = np.random.default_rng(seed)
    truth = 2 * rng.integers(0, 2, n)
    made = 0.5 * rng.standard_normal((n, N_VOXELS, N_TIMES))
    made[:, :10] += np.where(truth == 0, 1.0, -1.0)[:, None, None]
    return made.astype(np.float32), truth


def test_a_silent_region_says_nothing_and_a_raised_one_more() -> None:
    some, _ = windows(3)
    silent = stimulated(some, FIRST, None)
    assert not silent[:, FIRST].any()
    assert np.array_equal(silent[:, ~FIRST], some[:, ~FIRST])
    assert stimulated(some, FIRST, 2.0)[:, FIRST] == pytest.approx(some[:, FIRST] + 2)
    assert stimulated(some, FIRST, 50.0, clamp=5.0).max() == 5
    with pytest.raises(ValueError, match="does not fit windows of 40 voxels"):
        stimulated(some, FIRST[:3], None)


def test_the_matches_follow_the_region_that_is_raised() -> None:
    some, _ = windows(8)
    found = what_if(readout(clamp=None), some, SECOND, 4.0)
    assert (found.after.probability.argmax(axis=1) == 1).all()
    assert (found.before.probability.argmax(axis=1) != 1).all()
    assert found.after.embeddings[:, 1] - found.before.embeddings[:, 1] == pytest.approx(4.0, abs=1e-5)
    assert (found.cosine < 0.9).all()
    nothing = what_if(readout(), some, np.arange(N_VOXELS) >= 20, None)
    assert nothing.cosine == pytest.approx(1)


def test_the_region_that_tells_is_the_one_that_is_missed() -> None:
    some, truth = windows(200)
    regions = {"first": FIRST, "second": SECOND, "rest": ~FIRST & ~SECOND}
    first, second, rest = region_effects(readout(), some, truth, regions, None)
    assert first.right_before.mean() > 0.95
    assert first.right_after.mean() < 0.5
    assert second.right_after.mean() > 0.95
    assert first.evidence.mean() < -1
    assert rest.evidence == pytest.approx(0)
    assert (first.name, first.n_voxels, len(first.cosine)) == ("first", 10, 200)


def test_the_sensitivity_of_a_linear_encoder_is_its_weights() -> None:
    found = sensitivity(readout().encode, windows(2)[0])
    assert found.linear
    assert found.norm == pytest.approx(np.linalg.norm(WEIGHTS, axis=1), abs=1e-6)


def test_the_sensitivity_of_another_encoder_depends_on_where_it_is() -> None:
    def encode(some: np.ndarray) -> np.ndarray:
        return np.asarray((some.mean(axis=2) @ WEIGHTS) ** 2)

    found = sensitivity(encode, windows(3)[0])
    assert not found.linear
    assert (found.norm[:10] > 5 * found.norm[20:].max()).all()


def test_a_pattern_is_not_deceived_by_noise_that_is_taken_off() -> None:
    rng = np.random.default_rng(1)
    signal, noise = rng.standard_normal((2, 500))
    # Voxel 1 holds the noise of voxel 0 and nothing else, so that the best weights are 1 and -1 (Haufe et al., 1.1).
    voxels = np.stack([signal + noise, noise, np.zeros(500)], axis=1)
    decoded = (voxels @ np.array([1.0, -1.0, 0.0]))[:, None]
    pattern = activation_pattern(voxels, decoded)
    assert pattern == pytest.approx([1, 0, 0], abs=0.12)
    turned = np.concatenate([decoded, np.zeros((500, 1))], axis=1) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert activation_pattern(voxels, turned) == pytest.approx(pattern)
    gallery = np.array([[1.0], [-1.0]])
    assert entry_pattern(voxels, decoded, gallery, 1) == pytest.approx([-1, 0, 0], abs=0.12)


def test_maps_are_told_region_by_region() -> None:
    values = np.r_[np.arange(10.0), np.full(30, np.nan)]
    first, second = summaries(values, {"first": FIRST, "second": SECOND})
    assert (first.n_voxels, first.n_known, first.mean, first.median) == (10, 10, 4.5, 4.5)
    assert (second.n_known, np.isnan(second.mean)) == (0, True)


def test_half_way_between_two_scans_the_match_changes() -> None:
    some, truth = windows(30)
    a, b = some[truth == 0][0], some[truth == 2][0]
    found = interpolate(readout(), a, b, 21)
    assert found.reading.probability[0].argmax() == 0
    assert found.reading.probability[-1].argmax() == 2
    assert 0.3 < found.changes[0] < 0.7
    assert found.cosine_first[0] == pytest.approx(1)
    assert found.cosine_last[-1] == pytest.approx(1)
    middle = readout().encode((a + b)[None] / 2)
    assert found.reading.embeddings[10] == pytest.approx(middle[0], abs=1e-5)
    with pytest.raises(ValueError, match="two ends"):
        interpolate(readout(), a, b, 1)


def test_an_embedding_comes_back_through_voxels_that_hold_it() -> None:
    truth = np.array([0, 1, 2, 3, 1])
    sent = readout().gallery[truth].astype(np.float64)
    found = cycle(readout(), sent @ np.linalg.pinv(WEIGHTS), truth)
    assert found.cosine == pytest.approx(1)
    assert (found.right.mean(), found.two_way.mean()) == (1, 1)
    lost = cycle(readout(), np.zeros((5, N_VOXELS)), truth)
    assert lost.cosine == pytest.approx(0)
    assert lost.right == pytest.approx(0.25)


def test_bundles_without_voxels_are_refused() -> None:
    bundle = small_bundle()
    with pytest.raises(UsageError, match="'small' decodes eeg"):
        readout_of(bundle, Encoder(bundle))
