"""The noise ceiling: NSD's formula, and what is not there."""

import numpy as np
import pytest

from decode_stream.decoders.brain.noise_ceiling import ceiling_correlation, ceiling_percent, noise_ceiling
from decode_stream.decoders.brain.standardise import standardised, with_data
from decode_stream.replay_data.simulation.embedding_geometry import CLIP_GEOMETRY, draw_embeddings
from decode_stream.replay_data.simulation.simulate_fmri import fmri_subject
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design
from decode_stream.stream.errors import UsageError

SIGNAL = np.array([0.0, 0.5, 1.0, 2.0])


def drawn(n_pictures: int = 400, n_repeats: int = 3, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Voxels of noise 1 and known signal, over sessions of other scale and level."""
    rng = np.random.default_rng(seed)
    pictures = rng.permutation(np.repeat(np.arange(n_pictures), n_repeats))
    sessions = np.arange(len(pictures)) * 4 // len(pictures)
    signal = SIGNAL * rng.standard_normal((n_pictures, len(SIGNAL)))
    voxels = signal[pictures] + rng.standard_normal((len(pictures), len(SIGNAL)))
    return 100 * sessions[:, None] + (1 + sessions[:, None]) * voxels, pictures, sessions


def test_the_ratio_of_signal_and_noise_is_found_whatever_the_sessions_units() -> None:
    found = noise_ceiling(*drawn())
    assert found.ncsnr == pytest.approx(SIGNAL, abs=0.12)
    assert (found.n_pictures, found.n_trials) == (400, 1200)
    assert found.percent(1)[2] == pytest.approx(50, abs=4)
    assert found.percent(3)[2] == pytest.approx(75, abs=4)


def test_it_is_nsd_s_formula_written_out() -> None:
    voxels, pictures, sessions = drawn(30)
    z = voxels.copy()
    for session in range(4):
        own = sessions == session
        z[own] = (z[own] - z[own].mean(0)) / z[own].std(0, ddof=1)
    noise = np.mean([z[pictures == p].var(axis=0, ddof=1) for p in range(30)], axis=0)
    expected = np.sqrt(np.maximum(0, 1 - noise)) / np.sqrt(noise)
    assert noise_ceiling(voxels, pictures, sessions).ncsnr == pytest.approx(expected, rel=1e-4)
    assert ceiling_percent(expected, 3) == pytest.approx(100 * expected**2 / (expected**2 + 1 / 3))
    assert ceiling_correlation(expected) ** 2 * 100 == pytest.approx(ceiling_percent(expected))
    with pytest.raises(ValueError, match="at least one trial"):
        ceiling_percent(expected, 0)


def test_a_session_that_is_missing_leaves_the_repeats_that_are_there() -> None:
    voxels, pictures, sessions = drawn()
    kept = sessions != 1
    found = noise_ceiling(voxels[kept], pictures[kept], sessions[kept])
    counts = np.bincount(pictures[kept])
    assert found.n_pictures == np.count_nonzero(counts > 1)
    assert found.n_trials == counts[counts > 1].sum()
    assert found.ncsnr == pytest.approx(SIGNAL, abs=0.16)


def test_a_voxel_without_data_in_some_session_has_no_ceiling() -> None:
    voxels, pictures, sessions = drawn()
    voxels[sessions == 2, 0] = 0.0
    voxels[5, 3] = np.nan
    found = noise_ceiling(voxels, pictures, sessions)
    assert np.isnan(found.ncsnr).tolist() == [True, False, False, True]
    with pytest.raises(UsageError, match="None of the 1 voxels holds data in all 4 sessions"):
        noise_ceiling(voxels[:, :1], pictures, sessions)


def test_without_repeats_there_is_no_ceiling() -> None:
    voxels, _, sessions = drawn(20)
    with pytest.raises(UsageError, match="Each of the 60 pictures was shown once"):
        noise_ceiling(voxels, np.arange(60), sessions)
    with pytest.raises(UsageError, match="holds a single trial"):
        noise_ceiling(voxels, np.zeros(60, np.int64), np.r_[np.zeros(59, np.int64), 1])
    with pytest.raises(ValueError, match="one entry a trial"):
        noise_ceiling(voxels, np.zeros(59, np.int64), sessions)


def test_trials_to_learn_from_alone_decide_the_scale() -> None:
    voxels, _, sessions = drawn(20)
    learnt = np.arange(60) % 2 == 0
    before = standardised(voxels, sessions, learnt)
    voxels[~learnt] *= 7
    after = standardised(voxels, sessions, learnt)
    assert np.array_equal(before[learnt], after[learnt])
    assert with_data(voxels, sessions).all()


def test_the_simulated_person_s_own_ceiling_is_found() -> None:
    rng = np.random.default_rng(0)
    design = simulate_nsd_design(4, n_runs=6, n_slots=50)
    embeddings = draw_embeddings(CLIP_GEOMETRY, int(design.subjectim.max()), 1, rng)
    subject = fmri_subject(embeddings, 30, grid=(20, 24, 20), n_voxels=300, signal_pct=0.8)
    nsd = SimulatedNsd(subject, design, 1, embeddings)
    table = nsd.trials.table
    voxels = np.concatenate([nsd.betas(session) for session in range(1, 5)])
    found = noise_ceiling(voxels, table.id, table.session)
    signal = subject.answers(nsd.shown(table)).std(axis=0)
    noise = subject.beta_noise * np.sqrt(subject.own_noise**2 + (subject.shared_noise**2).sum(axis=1))
    assert np.corrcoef(found.ncsnr, signal / noise)[0, 1] > 0.95
    assert np.median(found.ncsnr / (signal / noise)) == pytest.approx(1, abs=0.1)
