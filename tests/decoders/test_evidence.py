from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from decode_stream.decoders.calibration import fit_calibration, fit_repeat_correlation
from decode_stream.decoders.evidence import Calibration, Evidence, similarity
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.decoders.scoring.calibration_scores import calibration_scores


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


def expected_log_loss(log_evidence: np.ndarray, truth: np.ndarray) -> float:
    return float(-log_softmax(log_evidence, axis=1)[np.arange(len(truth)), truth].mean())


def test_an_open_trial_is_calibrated_after_every_window() -> None:
    signal = np.array([0.0, 0.3, 1.5, 0.3, 0.0, 0.0])
    train, labels = simulated(3000, 4, signal, 0)
    calibration = fit_calibration(train, labels, train[:, 2], ridge=0.01)
    assert calibration.after[-1] == 1.0
    test, truth = simulated(6000, 4, signal, 1)
    slopes = []
    for k in range(1, 6):
        told = calibration_scores(calibration.log_evidence(test, k), truth, np.arange(6000) // 1000)
        slopes.append(told.slope.value)
        assert told.ece is not None
        assert told.ece < 0.03
    assert slopes == pytest.approx([1.0] * 5, abs=0.25)
    # The trial's last window shares its noise with those before, so that the first ones alone count otherwise.
    plain = replace(calibration, after=())
    for k in (1, 2):
        after, before = (expected_log_loss(c.log_evidence(test, k), truth) for c in (calibration, plain))
        assert after < before


def test_few_trials_leave_the_factors_after_neighbouring_windows_alike() -> None:
    rng = np.random.default_rng(0)
    s, labels = simulated(12, 4, np.full(8, 0.5), 2)
    few = fit_calibration(s, labels, s[:, 0])
    assert np.abs(np.diff(few.after)).max() < 0.3
    many, truth = simulated(4000, 4, rng.choice([0.0, 1.5], 8), 3)
    assert np.abs(np.diff(fit_calibration(many, truth, many[:, 0]).after)).max() > 0.03


def growing_similarities(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of windows that grow: each knows what the one before did, and a little more."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(5, size=n)
    steps = rng.standard_normal((n, 6, 5)) + 0.5 * np.eye(5)[labels][:, None, :]
    return np.cumsum(steps, axis=1) / np.arange(1, 7)[:, None], labels


def test_a_window_that_grows_replaces_the_evidence_of_those_before() -> None:
    train, labels = growing_similarities(4000, 0)
    calibration = fit_calibration(train, labels, train[:, 0], growing=True)
    assert calibration.growing
    # A mean of k + 1 steps of noise 1 and signal 1/2 is log-evidence when it is multiplied by (k + 1) / 2.
    assert calibration.after == pytest.approx(0.5 * np.arange(1, 7), rel=0.15)
    evidence = Evidence(calibration, 5)
    for k in (0, 3, 1):  # a late one does not take the newest one's place
        evidence.add(9, k, train[0, k])
    assert evidence.log_evidence(9) == pytest.approx(calibration.after[3] * train[0, 3])
    test, truth = growing_similarities(4000, 1)
    for k in range(6):
        told = calibration_scores(calibration.log_evidence(test, k), truth, np.arange(4000) // 500)
        assert told.slope.value == pytest.approx(1.0, abs=0.2)


def repeats(n_pictures: int, n_showings: int, shared: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-evidence, calibrated for one showing, whose noise belongs to the picture by a share of its variance."""
    rng = np.random.default_rng(seed)
    stimuli = rng.permutation(np.repeat(np.arange(n_pictures), n_showings))
    own = np.sqrt(shared) * rng.standard_normal((n_pictures, n_pictures))[stimuli]
    noise = own + np.sqrt(1 - shared) * rng.standard_normal((len(stimuli), n_pictures))
    return noise + np.eye(n_pictures)[stimuli], stimuli


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.8])
def test_repeats_count_by_how_much_of_their_errors_is_the_pictures(shared: float) -> None:
    one = Calibration((1.0,), 1.0)
    fitted = fit_repeat_correlation(one, *repeats(100, 8, shared, 0)).repeat_correlation
    # The mean of n showings has the noise variance (1 + (n - 1) shared) / n.
    assert fitted == pytest.approx(shared, abs=0.12)
    held_out, stimuli = repeats(100, 8, shared, 1)
    total = np.stack([held_out[stimuli == picture].sum(axis=0) for picture in range(100)])

    def loss(rho: float) -> float:
        return expected_log_loss(replace(one, repeat_correlation=rho).of_repeats(total, 8), np.arange(100))

    assert fitted is not None
    assert loss(fitted) < min(loss(min(shared + 0.5, 1.0)), loss(max(shared - 0.5, 0.0)) + 1e-9) + 0.02


def test_without_repeats_their_correlation_is_unknown_and_two_showings_claim_no_more_than_one() -> None:
    evidence, stimuli = repeats(40, 1, 0.5, 0)
    calibration = fit_repeat_correlation(Calibration((1.0,), 1.0), evidence, stimuli)
    assert calibration.repeat_correlation is None
    assert calibration.of_repeats(2 * evidence, 2) == pytest.approx(evidence)


def test_a_session_knows_more_of_a_picture_with_each_showing() -> None:
    evidence = Evidence(Calibration((1.0,), 1.0, repeat_correlation=0.25), 3)
    assert evidence.repeated_belief("cat").tolist() == pytest.approx([1 / 3] * 3)
    first, second, other = np.array([1.0, 0, 0]), np.array([0.0, 2, 0]), np.array([0.0, 0, 9])
    counts = [evidence.show(*shown) for shown in (("cat", 0, first), ("dog", 1, other), ("cat", 2, second))]
    assert counts == [1, 1, 2]
    assert evidence.repeated_belief("cat") == pytest.approx(softmax((first + second) / 1.25))
    assert evidence.repeated_belief("dog") == pytest.approx(softmax(other))
    assert first.tolist() == [1.0, 0, 0]
    evidence.keep([])
    assert evidence.show("cat", 3, first) == 3


def of_one_picture(n_showings: int, *, told: bool, n_windows: int = 2) -> tuple[Evidence, np.ndarray]:
    """Return what showings of one picture say, where it is told what comes again or not, and the exact posterior.

    What the picture does beyond its embedding is correlated between the numbers of a trial; each window tells half.
    """
    rng = np.random.default_rng(1)
    dimension, n_entries = 4, 6
    axes = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    rho = np.array([0.9, 0.4, 0.1, 0.0])
    between = axes.T @ np.diag(rho) @ axes
    weight = 0.3 * rng.standard_normal((dimension, 3))
    looks = rng.standard_normal((n_entries, 3)).astype(np.float32)
    trials = rng.standard_normal((n_showings, dimension))
    same = np.ones((n_showings, n_showings))
    joint = np.kron(np.eye(n_showings), np.eye(dimension) - between) + np.kron(same, between)
    misfits = np.array([(trials - look @ weight.T).ravel() for look in looks])
    exact = softmax(-0.5 * np.einsum("ci,ij,cj->c", misfits, np.linalg.inv(joint), misfits))
    projector = GalleryProjector(
        (axes @ weight).astype(np.float32),
        np.zeros(dimension, np.float32),
        gaussian=True,
        rho=told * rho.astype(np.float32),
    )
    entries = projector.project(looks)
    evidence = Evidence(
        Calibration((1.0,) * n_windows, 1.0, repeat_correlation=0.0),
        n_entries,
        lambda n: projector.of_showings(entries, n),
    )
    for i, trial in enumerate(trials):
        embedding = np.append(axes @ trial, 1.0) / n_windows
        for k in range(n_windows):
            evidence.add(i, k, entries @ embedding, embedding)
        evidence.show("cat", i, evidence.log_evidence(i))
        evidence.keep([])
    return evidence, exact


@pytest.mark.parametrize("n_showings", [1, 2, 7])
def test_showings_weighed_for_what_comes_again_give_the_exact_posterior(n_showings: int) -> None:
    evidence, exact = of_one_picture(n_showings, told=True)
    assert evidence.repeated_belief("cat") == pytest.approx(exact, abs=1e-6)
    summed = of_one_picture(n_showings, told=False)[0].repeated_belief("cat")
    assert np.abs(summed - exact).max() > 0.03 or n_showings == 1


def test_showings_cannot_be_weighed_without_embeddings() -> None:
    evidence = Evidence(Calibration((1.0,), 1.0), 3, lambda n: np.zeros((3, 2)))
    with pytest.raises(ValueError, match="this window has none"):
        evidence.add(0, 0, np.zeros(3))


def test_the_correlation_of_repeats_is_that_of_what_is_left_where_showings_are_weighed() -> None:
    evidence, stimuli = repeats(100, 8, 0.3, 0)
    # As one of n showings each says so much less: nothing is left to be divided by.
    weighed = {n: evidence / (1 + (n - 1) * 0.3) for n in (2, 4, 8)}
    one = Calibration((1.0,), 1.0)
    left = fit_repeat_correlation(one, evidence, stimuli, weighed).repeat_correlation
    whole = fit_repeat_correlation(one, evidence, stimuli).repeat_correlation
    assert left is not None
    assert whole is not None
    assert left < 0.08 < 0.18 < whole


@pytest.mark.parametrize("weights", [(), (-0.1, 1.0), (float("nan"),), (float("inf"),)])
def test_impossible_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="weight of at least 0"):
        Calibration(weights, 1.0)


def test_calibrations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 factors after each of 1 windows"):
        Calibration((1.0,), 1.0, (1.0, 1.0))
    with pytest.raises(ValueError, match="from 0 to 1; got 1.5"):
        Calibration((1.0,), 1.0, repeat_correlation=1.5)
