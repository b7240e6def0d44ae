"""The ideal observer: equal to the posterior by brute force, as right as it believes, above what is learned."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import linalg, signal
from scipy.special import softmax
from scipy.stats import norm

from decode_stream.decoders.epochs import stream_info
from decode_stream.decoders.ideal.ideal_observer import IdealObserver, log_likelihood
from decode_stream.decoders.ideal.known_noise import KnownNoise, autocovariance
from decode_stream.decoders.scoring.fraction_of_ideal import fraction_of_ideal
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.simulation.forward import Artefacts, ForwardModel, Noise
from decode_stream.replay_data.simulation.simulated import SimulatedRecording, Simulation
from decode_stream.stream.cutter import WindowCutter
from decode_stream.stream.filters import CausalChain, ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Chunk, FloatArray, Gap, Marker
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

NAMES = ("A", "B", "C")
SFREQ_HZ = 60.0
CHAIN = ChainSpec(NAMES, ("uV",) * 3, 20.0, highpass_hz=0.8, lowpass_hz=7.0, order=2)
WHITE = np.array([[1.0, 0, 0, 1, 0, 0]])
SLOW = np.array([[0.3, 0.1, 0, 1, -0.9, 0]])
RHYTHM = np.array([[0.2, 0, -0.2, 1, -1.2, 0.8]])


def tiny(seed: int = 0, specific: float = 0.5, size: float = 1.0) -> ForwardModel:
    """Return a subject of three channels, small enough to be solved by brute force."""
    rng = np.random.default_rng(seed)
    zeros = np.zeros(3, np.float32)
    times_s = np.arange(24) / SFREQ_HZ
    courses = np.exp(-0.5 * ((times_s[None] - np.array([[0.1], [0.25]])) / 0.05) ** 2)
    topographies = rng.standard_normal((4, 3)) * size
    return ForwardModel(
        modality="eeg",
        channels=tuple(Channel(name, "eeg", "uV") for name in NAMES),
        sfreq_hz=SFREQ_HZ,
        n_layout=2,
        components=("early", "late"),
        courses=courses.astype(np.float32),
        component=np.array([0, 0, 1, 1]),
        topographies=topographies.astype(np.float32),
        weights=rng.standard_normal((5, 4)).astype(np.float32),
        bias=rng.standard_normal(4).astype(np.float32),
        specific=np.full(4, specific, np.float32),
        noise=(
            Noise("slow", SLOW, rng.standard_normal((3, 3)).astype(np.float32)),
            Noise("sensors", WHITE, np.array([0.5, 1.0, 0.8], np.float32)),
            Noise("reference", WHITE, np.full((1, 3), -0.4, np.float32)),
            Noise("rhythm", RHYTHM, rng.standard_normal((1, 3)).astype(np.float32)),
        ),
        artefacts=Artefacts(zeros, zeros, zeros, zeros, zeros, 0.0, 50.0),
        seed=seed,
    )


def film(forward: ForwardModel, n_pictures: int, n: int, apart: int, seed: int = 1) -> SimulatedRecording:
    """Return a recording of pictures that follow `apart` samples on each other, give or take two."""
    rng = np.random.default_rng(seed)
    looks = rng.standard_normal((n_pictures, forward.n_dims)).astype(np.float32)
    onset = 600 + apart * np.arange(n) + rng.integers(-2, 3, n)
    shown = rng.integers(n_pictures, size=n)
    simulation = Simulation(forward, looks, shown, StimulusTable(onset), int(onset[-1]) + 300, seed, "film")
    return SimulatedRecording(replace(simulation, artefacts=False))


def brute_force(forward: ForwardModel, chain: ChainSpec, n_out: int, n_times: int) -> FloatArray:
    """Return the covariance of noise in a window behind a chain, from impulse responses, in full."""
    like = CausalChain(chain, forward.channels, forward.sfreq_hz)
    n_long = 6000
    spread = np.array(chain.spatial or np.eye(3)).T / np.array(chain.scale or np.ones(n_out))
    total = np.zeros((n_times * n_out,) * 2)
    for part in forward.noise:
        impulse = np.zeros(n_long)
        impulse[0] = 1.0
        h = signal.sosfilt(like.sos, signal.sosfilt(part.sos, impulse))
        lags = [h[k * like.decimation :] @ h[: n_long - k * like.decimation] for k in range(n_times)]
        maps = np.diag(part.topographies) if part.topographies.ndim == 1 else part.topographies
        maps = maps.astype(np.float64) @ spread
        total += np.kron(linalg.toeplitz(lags), maps.T @ maps)
    return total


SPATIAL = ((1.0, -0.5, 0.2), (0.3, 1.0, -0.4))
CHAINS = [
    CHAIN,
    replace(CHAIN, sfreq_hz=60.0),
    replace(CHAIN, spatial=SPATIAL, scale=(2.0, 0.5), center=(1.0, -3.0)),
]


@pytest.mark.parametrize("chain", CHAINS, ids=["decimated", "as fast", "spatial"])
def test_it_is_the_gaussian_posterior_by_brute_force(chain: ChainSpec) -> None:
    forward = tiny()
    n_times = 9
    recording = film(forward, n_pictures=6, n=12, apart=25)
    observer = IdealObserver(forward, chain, n_times)
    seen = observer.watch(recording, recording.drives)
    assert len(seen.rows) >= 10
    looks = recording.simulation.embeddings
    expected = looks.astype(np.float64) @ forward.weights + forward.bias
    known = log_likelihood(seen, forward.drives(looks))
    marginal = log_likelihood(seen, expected, forward.specific.astype(np.float64))
    covariance = brute_force(forward, chain, chain.n_out, n_times)

    # What the chain makes of the film, and of every picture alone, sample by sample.
    def behind(data: FloatArray, *, centred: bool) -> FloatArray:
        spec = chain if centred else replace(chain, center=None)
        return CausalChain(spec, forward.channels, SFREQ_HZ).process(data, 0).astype(np.float64)

    def alone(row: int, drive: FloatArray) -> FloatArray:
        data = np.zeros((recording.n_samples, 3))
        at = recording.stimuli.onset[row]
        course = forward.courses[forward.component].astype(np.float64).T * drive
        data[at : at + len(course)] += course @ forward.topographies.astype(np.float64)
        return behind(data, centred=False)

    whole = behind(recording.read(0, recording.n_samples), centred=True)
    decimation = round(SFREQ_HZ / chain.sfreq_hz)
    for place in (0, 4, 9):
        row = int(seen.rows[place])
        start = (2 * recording.stimuli.onset[row] + decimation) // (2 * decimation)
        window = slice(start, start + n_times)
        others = sum(alone(j, recording.drives[j]) for j in range(len(recording.drives)) if j != row)
        centre = np.array(chain.center or 0.0) / np.array(chain.scale or 1.0)
        y = (whole - others + centre)[window].ravel()
        each = np.array([alone(row, np.eye(4)[k])[window].ravel() for k in range(4)])
        rest = each * forward.specific[:, None]
        for entries, sigma, got in (
            (forward.drives(looks), covariance, known[place]),
            (expected, covariance + rest.T @ rest, marginal[place]),
        ):
            deviation = y - entries @ each
            brute = -0.5 * np.einsum("ni,ni->n", deviation, linalg.solve(sigma, deviation.T).T)
            np.testing.assert_allclose(got - got.max(), brute - brute.max(), atol=2e-3, rtol=2e-3)


def test_it_believes_no_more_than_it_is_right() -> None:
    forward = tiny(size=0.6)
    recording = film(forward, n_pictures=8, n=1500, apart=14)
    seen = IdealObserver(forward, CHAIN, 10).watch(recording, recording.drives)
    truth = recording.simulation.shown[seen.rows]
    looks = recording.simulation.embeddings
    known = log_likelihood(seen, forward.drives(looks))
    belief = softmax(known, axis=1)
    right = hits(known, truth)
    # A posterior that is exact is right as often as it says, whatever it says.
    error = np.sqrt((belief.max(axis=1) * (1 - belief.max(axis=1))).mean() / len(truth))
    assert 0.3 < right.mean() < 0.9
    assert abs(right.mean() - belief.max(axis=1).mean()) < 3.5 * error
    sure = belief.max(axis=1) > np.median(belief.max(axis=1))
    assert abs(right[sure].mean() - belief[sure].max(axis=1).mean()) < 3.5 * error * np.sqrt(2)


def test_two_pictures_are_told_apart_as_often_as_their_distance_says() -> None:
    forward = tiny(size=0.35, specific=0.0)
    recording = film(forward, n_pictures=2, n=1500, apart=20)
    seen = IdealObserver(forward, CHAIN, 10).watch(recording, recording.drives)
    drives = forward.drives(recording.simulation.embeddings)
    difference = drives[1] - drives[0]
    distance = np.sqrt(np.einsum("i,pij,j->p", difference, seen.grams, difference))
    expected = norm.cdf(distance / 2) @ seen.counts.sum(axis=0) / len(seen.rows)
    right = hits(log_likelihood(seen, drives), recording.simulation.shown[seen.rows])
    assert 0.6 < expected < 0.95
    assert right.mean() == pytest.approx(expected, abs=3.5 * np.sqrt(0.25 / len(right)))


def test_it_sees_the_windows_that_a_session_cuts_and_beats_what_is_learned_from_them() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    forward = tiny(size=0.8)
    n_latencies = 13
    schedule = WindowSchedule(exact_sfreq(CHAIN.sfreq_hz), step_s=Fraction(1, 20))
    n_times = schedule.stop(n_latencies - 1)
    recording = film(forward, n_pictures=4, n=900, apart=40)
    labels = recording.simulation.shown
    markers = [(int(at), str(label)) for at, label in zip(recording.stimuli.onset, labels, strict=True)]
    seen = IdealObserver(forward, CHAIN, n_times).watch(recording, recording.drives)
    ideal = hits(log_likelihood(seen, forward.drives(recording.simulation.embeddings)), labels[seen.rows])

    ingest = Ingest(stream_info(recording), CHAIN, hold_s=2 * recording.n_samples / SFREQ_HZ)
    trials = Trials(schedule, n_latencies, {str(k): k for k in range(4)})
    cutter = WindowCutter(ingest, schedule, WindowSpec(), trials)
    ingest.take([Chunk(0, recording.read(0, recording.n_samples), 0.0)])
    for at, label in markers:
        trials.add(Marker(float(at), label, 0.0))
    trials.place(lambda time: ingest.place(int(time)), ingest.ring.stop)
    windows: dict[int, list[FloatArray]] = {}
    for cut in cutter.locked():
        if cut.data is not None and cut.locked is not None:
            windows.setdefault(cut.locked.trial.number, []).append(cut.data)
    rows = [row for row in seen.rows if len(windows.get(int(row), [])) == n_latencies]
    assert len(rows) > 800
    x = np.array([np.concatenate([w[:, -1:] for w in windows[int(row)]], axis=1).ravel() for row in rows])
    x = np.hstack([x, np.array([windows[int(row)][0].ravel() for row in rows])])
    y, half = labels[rows], len(rows) // 2
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x[:half], y[:half])
    learned = (lda.predict(x[half:]) == y[half:]).astype(float)
    theirs = ideal[np.searchsorted(seen.rows, rows)][half:]
    difference = theirs - learned
    assert learned.mean() > 0.35
    assert difference.mean() > -2 * difference.std() / np.sqrt(len(difference))


def test_knowing_the_neighbours_helps_and_the_trial_itself_is_not_peeked_at() -> None:
    forward = tiny()
    recording = film(forward, n_pictures=6, n=300, apart=12)
    observer = IdealObserver(forward, CHAIN, 10)
    drives = recording.drives
    seen = observer.watch(recording, drives)
    lied = drives.copy()
    lied[150] += 100.0
    changed = observer.watch(recording, lied)
    assert np.allclose(changed.b[seen.rows == 150], seen.b[seen.rows == 150])
    assert not np.allclose(changed.b[seen.rows == 151], seen.b[seen.rows == 151])
    truth = recording.simulation.shown[seen.rows]
    gallery = forward.drives(recording.simulation.embeddings)
    blind = observer.watch(recording, np.zeros_like(drives))
    with_, without = (hits(log_likelihood(s, gallery), truth).mean() for s in (seen, blind))
    assert with_ > without + 0.05


def test_repeats_and_a_longer_view_tell_more() -> None:
    forward = tiny(size=0.3)
    recording = film(forward, n_pictures=6, n=400, apart=30)
    gallery = forward.drives(recording.simulation.embeddings)
    shown = recording.simulation.shown

    def right(n_times: int, lead: int = 0) -> float:
        seen = IdealObserver(forward, CHAIN, n_times, lead).watch(recording, recording.drives)
        return float(softmax(log_likelihood(seen, gallery), axis=1).max(axis=1).mean())

    assert right(4) < right(10)
    assert right(10) < right(10, lead=6)
    seen = IdealObserver(forward, CHAIN, 10).watch(recording, recording.drives)
    pooled = seen.pooled(shown[seen.rows])
    assert pooled.counts.sum() == len(seen.rows)
    assert hits(log_likelihood(pooled, gallery), pooled.rows).mean() == 1.0
    both = seen.joined(seen)
    np.testing.assert_allclose(both.b, np.concatenate([seen.b, seen.b]))


def test_known_noise_draws_what_it_inverts() -> None:
    rng = np.random.default_rng(0)
    covariances = [autocovariance(sos, 3, 4) for sos in (SLOW, WHITE, RHYTHM)]
    maps = [rng.standard_normal((3, 2)), np.diag([0.7, 1.2]), rng.standard_normal((1, 2))]
    noise = KnownNoise(covariances, maps, sensors=1)
    sigma = sum(np.kron(linalg.toeplitz(c), m.T @ m) for c, m in zip(covariances, maps, strict=True))
    x = rng.standard_normal((5, 4, 2))
    weighed, gram = noise.weigh(x)
    exact = linalg.solve(sigma, x.reshape(5, -1).T).T
    np.testing.assert_allclose(weighed.reshape(5, -1), exact, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(gram, x.reshape(5, -1) @ exact.T, rtol=1e-6, atol=1e-9)
    drawn = noise.draw(40_000, rng).reshape(40_000, -1)
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), sigma, atol=0.04 * sigma.max())


def test_a_recording_with_breaks_is_refused() -> None:
    forward = tiny()
    recording = film(forward, n_pictures=3, n=5, apart=30)
    recording.gaps = (Gap(10, 5, "loss", 0.0),)
    with pytest.raises(ValueError, match="without breaks"):
        IdealObserver(forward, CHAIN, 10).watch(recording, recording.drives)


@dataclass(frozen=True)
class Case:
    n: int
    p: float
    ideal: float
    caveats: int


@pytest.mark.parametrize("case", [Case(4000, 0.3, 0.5, 0), Case(400, 0.3, 0.5, 1), Case(4000, 0.3, 0.95, 1)])
def test_a_fraction_says_what_it_rests_on(case: Case) -> None:
    rng = np.random.default_rng(0)
    ideal = rng.random(case.n) < case.ideal
    ours = ideal & (rng.random(case.n) < case.p / case.ideal)
    fraction = fraction_of_ideal(ours.astype(float), ideal.astype(float), 0.1, 7, seed=1)
    assert fraction.value == pytest.approx((ours.mean() - 0.1) / (ideal.mean() - 0.1))
    assert fraction.low < fraction.value < fraction.high
    assert fraction.high - fraction.low < 12 / np.sqrt(case.n)
    assert len(fraction.caveats) == case.caveats
    assert (fraction.n, fraction.n_training) == (case.n, 7)


def test_trials_of_one_picture_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(100), 20)
    known = np.repeat(rng.random(100) < 0.5, 20)
    ours = known & np.repeat(rng.random(100) < 0.5, 20)
    alone = fraction_of_ideal(ours.astype(float), known.astype(float), 0.1, 7)
    together = fraction_of_ideal(ours.astype(float), known.astype(float), 0.1, 7, pictures=pictures)
    assert together.value == pytest.approx(alone.value)
    # Twenty trials that succeed or fail together say as much as one.
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_a_fraction_needs_the_same_trials() -> None:
    with pytest.raises(ValueError, match="must be the same"):
        fraction_of_ideal(np.ones(3), np.ones(4), 0.1, 7)
    with pytest.raises(ValueError, match="must be the same"):
        fraction_of_ideal(np.ones(0), np.ones(0), 0.1, 7)
    hopeless = fraction_of_ideal(np.zeros(10), np.zeros(10), 0.1, 7)
    assert np.isnan(hopeless.value)
    assert len(hopeless.caveats) == 2
