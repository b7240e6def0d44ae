"""The generative decoder, held against the exact posterior of a simulation that is linear and Gaussian."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pytest
from scipy.special import log_softmax

from decode_stream.decoders.encoders import encoding_model
from decode_stream.decoders.encoders.encoding_model import EncodingReadout, fit_encoding_model
from decode_stream.decoders.encoders.window_noise import ForwardWhitening, shrunk
from decode_stream.decoders.evidence import similarity
from decode_stream.decoders.gallery_projector import load_projector, save_projector
from decode_stream.decoders.scoring.scores import hits
from decode_stream.export.linear import export_linear
from decode_stream.stream.errors import UsageError
from decode_stream.stream.windows import WindowSchedule

SCHEDULE = WindowSchedule(Fraction(100))
N_LATENCIES, N_CHANNELS, N_DIMS, N_ENTRIES = 9, 4, 6, 20
STOPS = [SCHEDULE.stop(k) for k in range(N_LATENCIES)]
N_SAMPLES = STOPS[-1]


@dataclass
class Person:
    """Responses of two courses, and noise that remembers one sample: 100 ms windows whiten it exactly."""

    responses: np.ndarray  # (n_dims, n_samples, n_channels)
    mean: np.ndarray
    noise: np.ndarray  # over samples and channels, (n_samples * n_channels) squared

    @staticmethod
    def drawn(size: float = 1.0) -> "Person":
        rng = np.random.default_rng(3)
        times = np.arange(N_SAMPLES)
        courses = np.array([np.exp(-0.5 * ((times - peak) / 3) ** 2) for peak in (10, 20)])
        maps = rng.standard_normal((2, N_DIMS, N_CHANNELS))
        responses = size * 0.3 * np.einsum("jt,jdc->dtc", courses, maps)
        mix = rng.standard_normal((N_CHANNELS, N_CHANNELS))
        time = 0.9 ** np.abs(np.subtract.outer(times, times))
        return Person(
            responses, rng.standard_normal((N_SAMPLES, N_CHANNELS)), np.kron(time, mix @ mix.T + np.eye(4))
        )

    def windows(self, embeddings: np.ndarray, seed: int, unsaid: np.ndarray | float = 0.0) -> np.ndarray:
        """Return windows of trials, with what their pictures do beyond their embeddings."""
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((len(embeddings), len(self.noise))) @ np.linalg.cholesky(self.noise).T
        epochs = self.mean + np.tensordot(embeddings, self.responses, 1) + unsaid
        epochs = epochs + noise.reshape(-1, *self.mean.shape)
        n_times = SCHEDULE.n_times
        return np.stack(
            [epochs[:, s - n_times : s].transpose(0, 2, 1) for s in STOPS], axis=1, dtype=np.float32
        )

    def log_likelihood(self, windows: np.ndarray, gallery: np.ndarray, k: int) -> np.ndarray:
        """Return the exact one, of all that had been seen by the end of window `k`."""
        stop = STOPS[k]
        epochs = np.zeros((len(windows), N_SAMPLES, N_CHANNELS))
        for i, end in enumerate(STOPS):
            epochs[:, end - SCHEDULE.n_times : end] = windows[:, i].transpose(0, 2, 1)
        seen = (epochs - self.mean)[:, :stop].reshape(len(windows), -1)
        response = self.responses[:, :stop].reshape(N_DIMS, -1)
        n = stop * N_CHANNELS
        weighed = response @ np.linalg.inv(self.noise[:n, :n])
        gram = weighed @ response.T
        return seen @ weighed.T @ gallery.T - 0.5 * ((gallery @ gram) * gallery).sum(axis=1)


def pictures(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, N_DIMS)) * np.linspace(1.5, 0.5, N_DIMS) + 2


def fitted(person: Person, n_trials: int) -> EncodingReadout:
    shown = pictures(n_trials, 1)
    return fit_encoding_model(person.windows(shown, 2), shown, SCHEDULE, N_LATENCIES)


def told(readout: EncodingReadout, windows: np.ndarray, gallery: np.ndarray, k: int) -> np.ndarray:
    """Return the log-likelihood after window `k`, by the rule of a bundle."""
    projector = readout.projector(unit=False)
    so_far = readout.embed(windows)[:, : k + 1].sum(axis=1)
    return similarity(so_far, projector.project(gallery), projector.norm("unit"))


@pytest.fixture(scope="module")
def person() -> Person:
    return Person.drawn()


@pytest.fixture(scope="module")
def readout(person: Person) -> EncodingReadout:
    return fitted(person, 4000)


@pytest.fixture(scope="module")
def test_set(person: Person) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gallery, labels = pictures(N_ENTRIES, 5), np.arange(1000) % N_ENTRIES
    return person.windows(gallery[labels], 6), gallery, labels


def centred(log_p: np.ndarray) -> np.ndarray:
    return log_p - log_p.mean(axis=1, keepdims=True)


def misfit(person: Person, readout: EncodingReadout, test_set: tuple[np.ndarray, ...], k: int) -> float:
    """Return the error of log-likelihood differences, as a share of their variance."""
    windows, gallery, _ = test_set
    exact = centred(person.log_likelihood(windows, gallery, k))
    return float(((centred(told(readout, windows, gallery, k)) - exact) ** 2).mean() / (exact**2).mean())


def test_it_approaches_the_exact_likelihood_as_trials_grow(person: Person, readout, test_set) -> None:
    few = misfit(person, fitted(person, 300), test_set, N_LATENCIES - 1)
    many = misfit(person, readout, test_set, N_LATENCIES - 1)
    assert many < 0.01
    assert many < few / 4
    windows, gallery, labels = test_set
    right = told(readout, windows, gallery, N_LATENCIES - 1).argmax(axis=1) == labels
    exact = person.log_likelihood(windows, gallery, N_LATENCIES - 1).argmax(axis=1) == labels
    assert exact.mean() > 4 / N_ENTRIES
    assert right.mean() > 0.95 * exact.mean()


def test_responses_louder_than_the_noise_are_not_taken_for_it(test_set) -> None:
    person = Person.drawn(size=3.0)
    windows = person.windows(test_set[1][test_set[2]], 6)
    assert misfit(person, fitted(person, 1000), (windows, *test_set[1:]), N_LATENCIES - 1) < 0.02


def test_what_a_picture_does_beyond_its_embedding_is_noise_of_its_shape(
    person: Person, test_set, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = 2 * person.responses[:2].reshape(2, -1)
    louder = replace(person, noise=person.noise + beyond.T @ beyond)
    windows = louder.windows(test_set[1][test_set[2]], 6)
    whole = misfit(louder, fitted(louder, 2000), (windows, *test_set[1:]), N_LATENCIES - 1)
    monkeypatch.setattr(encoding_model, "_TRIALS_AN_AXIS", 2000)
    readout = fitted(louder, 2000)
    assert whole < 0.5 * misfit(louder, readout, (windows, *test_set[1:]), N_LATENCIES - 1)
    # Of too few trials for its shape, the noise is at least as loud as evidence takes it for: 1, on average.
    _, gallery, labels = test_set
    left = readout.embed(windows).sum(axis=1)[:, :-1] - gallery[labels] @ readout.tuning.T
    assert left.var(axis=0).mean() == pytest.approx(1, rel=0.15)


def test_showings_of_a_picture_are_weighed_for_what_it_does_at_each_of_them(person: Person) -> None:
    rng = np.random.default_rng(8)
    beyond = 3 * person.responses[:2].reshape(2, -1)
    unsaid = (rng.standard_normal((600 + N_ENTRIES, 2)) @ beyond).reshape(-1, N_SAMPLES, N_CHANNELS)
    looks = np.concatenate([pictures(600, 1), pictures(N_ENTRIES, 5)])
    shown = rng.permutation(np.repeat(np.arange(600), 4))
    windows = person.windows(looks[shown], 2, unsaid[shown])
    plain = fit_encoding_model(windows, looks[shown], SCHEDULE, N_LATENCIES)
    assert plain.rho is None
    once = fit_encoding_model(windows, looks[shown], SCHEDULE, N_LATENCIES, np.arange(len(shown)))
    np.testing.assert_array_equal(once.embed(windows[:9]), plain.embed(windows[:9]))
    assert once.rho is None
    weighed = fit_encoding_model(windows, looks[shown], SCHEDULE, N_LATENCIES, shown)
    assert weighed.rho is not None
    assert weighed.rho[0] > 0.3 > 0.1 > weighed.rho[-1]

    tested = np.repeat(np.arange(600, 600 + N_ENTRIES), 16)
    test, gallery = person.windows(looks[tested], 7, unsaid[tested]), looks[600:]
    single = told(weighed, test, gallery, N_LATENCIES - 1)
    # Directions that were turned say of single trials what they said.
    assert single == pytest.approx(told(plain, test, gallery, N_LATENCIES - 1), abs=1e-3)
    projector = weighed.projector(unit=False)
    said = weighed.embed(test).sum(axis=1).reshape(N_ENTRIES, 16, -1).sum(axis=1)
    together = said @ projector.of_showings(projector.project(gallery), 16).T
    summed = single.reshape(N_ENTRIES, 16, -1).sum(axis=1)
    truth = np.arange(N_ENTRIES)
    log_loss, of_sums = (-log_softmax(one, axis=1)[truth, truth].mean() for one in (together, summed))
    assert log_loss < 0.5 * of_sums
    assert hits(together, truth).mean() > hits(summed, truth).mean()


@pytest.mark.parametrize("n_dims", [1, 2])
def test_embeddings_of_one_number_or_two_can_be_fitted(person: Person, n_dims: int) -> None:
    shown = np.random.default_rng(1).integers(2, size=(300, N_DIMS)).astype(float)
    windows = person.windows(shown, 2)
    readout = fit_encoding_model(windows, shown[:, :n_dims], SCHEDULE, N_LATENCIES)
    assert len(readout.tuning) == n_dims
    assert np.isfinite(readout.embed(windows[:10])).all()


@pytest.mark.parametrize("k", [3, 5, 7])
def test_sums_so_far_are_the_likelihood_of_what_was_seen(person: Person, readout, test_set, k: int) -> None:
    assert misfit(person, readout, test_set, k) < 0.04


def test_noise_alone_is_little_evidence(person: Person, test_set) -> None:
    windows, gallery, _ = test_set
    readout = fitted(Person.drawn(size=0.0), 1000)
    real = np.ptp(person.log_likelihood(windows, gallery, N_LATENCIES - 1), axis=1).mean()
    assert np.ptp(told(readout, windows, gallery, N_LATENCIES - 1), axis=1).mean() < 0.15 * real


def test_the_graph_gives_what_the_readout_gives_and_nothing_without_a_latency(readout, test_set) -> None:
    windows = test_set[0][:5]
    graph = ort.InferenceSession(
        export_linear(readout.linear, windows).graph, providers=["CPUExecutionProvider"]
    )
    flat = windows.reshape(-1, *windows.shape[2:])
    latencies_s = np.tile(np.arange(N_LATENCIES) * 0.025, 5).astype(np.float32)
    (got,) = graph.run(None, {"window": flat, "latency_s": latencies_s})
    expected = readout.embed(windows)
    np.testing.assert_allclose(got.reshape(expected.shape), expected, atol=1e-4 * np.abs(expected).max())
    (unknown,) = graph.run(None, {"window": flat, "latency_s": np.full(len(flat), -1, np.float32)})
    assert not unknown.any()


def test_the_projector_keeps_its_rules(readout) -> None:
    projector = readout.projector(unit=True)
    again = load_projector(save_projector(projector))
    entries = pictures(3, 8)
    np.testing.assert_allclose(again.project(entries), projector.project(7 * entries), rtol=1e-5)
    assert (
        again.dimension
        == again.project(entries).shape[1]
        == readout.embed(np.zeros((1, N_LATENCIES, N_CHANNELS, SCHEDULE.n_times))).shape[2]
    )
    assert again.norm("unit") == "none"


def test_noise_with_a_short_memory_is_whitened_exactly(person: Person) -> None:
    size = SCHEDULE.n_times * N_CHANNELS
    whitening = ForwardWhitening.of(person.noise[:size, :size], SCHEDULE.n_times, STOPS)
    half = whitening.whiten(np.linalg.cholesky(person.noise).T.reshape(-1, N_SAMPLES, N_CHANNELS))
    np.testing.assert_allclose(half.T @ half, np.eye(len(person.noise)), atol=1e-9)
    with pytest.raises(ValueError, match="begin at the end"):
        ForwardWhitening.of(person.noise[:size, :size], SCHEDULE.n_times, [SCHEDULE.n_times, 30])


def test_a_covariance_of_few_draws_or_of_a_dead_channel_can_be_inverted() -> None:
    draws = np.random.default_rng(0).standard_normal((10, 30)) * np.linspace(1, 100, 30)
    draws[:, 4] = 0
    covariance = shrunk(draws.T @ draws / 10, 10)
    assert np.linalg.eigvalsh(covariance).min() > 0
    exact = np.diag(np.linspace(1, 100, 30))
    np.testing.assert_allclose(shrunk(exact, 10**9), exact)


def test_what_cannot_be_fitted_is_refused(person: Person) -> None:
    shown = pictures(120, 1)
    windows = person.windows(shown, 2)
    with pytest.raises(UsageError, match="needs 100 trials at least, and there are 50"):
        fit_encoding_model(windows[:50], shown[:50], SCHEDULE, N_LATENCIES)
    with pytest.raises(UsageError, match="nothing to tell apart"):
        fit_encoding_model(windows, np.ones_like(shown), SCHEDULE, N_LATENCIES)
    with pytest.raises(UsageError, match="up to 4096 numbers; these have 5000"):
        fit_encoding_model(windows, np.ones((120, 5000)), SCHEDULE, N_LATENCIES)
    with pytest.raises(UsageError, match="leave samples out"):
        fit_encoding_model(windows, shown, WindowSchedule(Fraction(100), step_s=Fraction(1, 5)), N_LATENCIES)
    with pytest.raises(ValueError, match="do not fit"):
        fit_encoding_model(windows, shown[:100], SCHEDULE, N_LATENCIES)
