import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from decode_stream.decoders.calibration import fit_calibration, fit_repeat_correlation
from decode_stream.decoders.evidence import Calibration, Evidence, similarity


def test_similarity_is_cosine_or_inner_product() -> None:
    a, g = np.array([[3.0, 4.0]]), np.array([[10.0, 0.0], [0.0, 2.0]])
    assert similarity(a, g, "unit")[0] == pytest.approx([0.6, 0.8])
    assert similarity(a, g, "none")[0].tolist() == [30.0, 8.0]
    assert np.isfinite(similarity(np.zeros((1, 2)), g, "unit")).all()


def test_belief_is_the_softmax_of_the_weighted_sum_in_any_order() -> None:
    rng = np.random.default_rng(0)
    s = rng.standard_normal((4, 3))
    weights = (0.5, 0.0, 2.0, 1.0)
    beliefs = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        evidence = Evidence(Calibration(weights, 1.0), 3)
        for k in order:
            evidence.add(7, k, s[k])
        beliefs.append(evidence.belief(7))
    assert beliefs[0].tobytes() == beliefs[1].tobytes()
    assert beliefs[0] == pytest.approx(softmax(np.array(weights) @ s))


def test_a_trial_without_windows_has_a_flat_belief_and_forgotten_trials_do_too() -> None:
    evidence = Evidence(Calibration((1.0,), 1.0), 4)
    assert evidence.belief(0).tolist() == [0.25] * 4
    evidence.add(0, 0, np.array([9.0, 0, 0, 0]))
    assert evidence.belief(0)[0] > 0.99
    evidence.keep([1])
    assert evidence.belief(0).tolist() == [0.25] * 4


def simulated(n: int, k: int, signal: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities whose noise is half shared between latencies, as overlapping windows share samples."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    noise = rng.standard_normal((n, len(signal), k)) + rng.standard_normal((n, 1, k))
    return noise + signal[None, :, None] * np.eye(k)[labels][:, None, :], labels


def test_calibration_makes_probabilities_mean_what_they_say() -> None:
    signal = np.array([0.0, 0.0, 0.8, 1.2, 0.6])
    train, labels = simulated(3000, 4, signal, 0)
    calibration = fit_calibration(train, labels, train.reshape(-1, 4)[:3000], ridge=0.01)
    test, truth = simulated(4000, 4, signal, 1)
    log_p = log_softmax(np.einsum("nlk,l->nk", test, np.array(calibration.weights)), axis=1)
    p, right = np.exp(log_p.max(1)), log_p.argmax(1) == truth
    edges = np.quantile(p, np.linspace(0, 1, 11))
    groups = np.clip(np.searchsorted(edges, p) - 1, 0, 9)
    error = sum(
        abs(p[groups == g].mean() - right[groups == g].mean()) * (groups == g).mean() for g in range(10)
    )
    assert error < 0.03
    assert calibration.weights[3] > calibration.weights[2] > calibration.weights[0]
    naive = log_softmax(test.sum(1), axis=1)
    assert -log_p[np.arange(4000), truth].mean() < -naive[np.arange(4000), truth].mean()


def test_noise_alone_gets_hardly_any_weight() -> None:
    s, labels = simulated(2000, 3, np.zeros(5), 3)
    calibration = fit_calibration(s, labels, s[:, 0])
    assert max(calibration.weights) < 0.05
    assert calibration.free_running < 0.1


@pytest.mark.parametrize("weights", [(), (-0.1, 1.0), (float("nan"),)])
def test_impossible_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="weight of at least 0"):
        Calibration(weights, 1.0)
