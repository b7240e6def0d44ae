"""A simulated person in a scanner."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.nsd.design import design_trials
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject, fmri_subject, response_course
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.replay_data.simulation.volume_simulation_files import save_volumes
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable

N_LAYOUT, N_DIMS = 4, 10
TR_S = 4 / 3


def pictures(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, N_DIMS))


@pytest.fixture(scope="module")
def subject() -> FmriSubject:
    return fmri_subject(pictures(), N_LAYOUT, grid=(18, 22, 18), n_voxels=600, seed=3)


def run_of(subject: FmriSubject, n_samples: int = 60, **more: object) -> SimulatedVolumes:
    onset = np.arange(3, n_samples - 6, 6)
    which = np.arange(len(onset)) % 40
    table = StimulusTable(onset=onset, id=which)
    return SimulatedVolumes(subject, pictures()[which], table, n_samples, TR_S, (3, 1), **more)  # type: ignore[arg-type]


def test_the_response_is_that_of_the_blood() -> None:
    course = response_course(0.1)
    assert course[0] == 0
    assert course.max() == pytest.approx(1, abs=1e-3)
    # A 3 s picture: the impulse's peak at 5.4 s, later by about half the time it is shown.
    assert 6.2 < 0.1 * course.argmax() < 7.2
    assert -0.3 < course.min() < -0.05
    assert 11 < 0.1 * course.argmin() < 18
    assert response_course(TR_S) == pytest.approx(
        np.interp(TR_S * np.arange(21), 0.1 * np.arange(280), course), abs=2e-3
    )


def test_voxels_lie_in_the_back_of_the_brain_and_bear_labels(subject: FmriSubject) -> None:
    assert subject.mask.sum() == subject.n_voxels == len(subject.channels) == 600
    assert not (subject.mask & ~subject.brain).any()
    assert np.argwhere(subject.mask)[:, 1].mean() < np.argwhere(subject.brain)[:, 1].mean() - 2
    regions = subject.regions()
    assert set(regions) == {"brainmask", "nsdgeneral", "streams", "prf-visualrois"}
    assert (regions["nsdgeneral"] > 0).sum() == 600
    assert (regions["streams"][~subject.brain] == -1).all()
    assert set(np.unique(subject.streams)) == set(range(1, 8))
    assert set(np.unique(subject.visual)) == set(range(8))
    channel = subject.channels[0]
    x, y, z = np.argwhere(subject.mask)[0]
    assert (channel.name, channel.type, channel.unit) == (f"{x},{y},{z}", "voxel", "")
    place = subject.affine_mm @ [x, y, z, 1]
    assert channel.position_m == pytest.approx(tuple(place[:3] / 1e3))


def test_early_voxels_answer_to_layout_and_ventral_ones_to_meaning(subject: FmriSubject) -> None:
    looks = pictures() - pictures().mean(axis=0)
    layout, meaning = (
        ((looks[:, part] @ subject.tuning[:, part].T) ** 2).mean(axis=0)
        for part in (slice(0, N_LAYOUT), slice(N_LAYOUT, None))
    )
    early, ventral = subject.streams == 1, subject.streams == 5
    assert layout[early].mean() > 5 * meaning[early].mean()
    assert meaning[ventral].mean() > 5 * layout[ventral].mean()


def test_answers_are_linear_in_the_embedding(subject: FmriSubject) -> None:
    e = pictures()
    assert subject.answers((e[:1] + e[1:2]) / 2) == pytest.approx(
        (subject.answers(e[:1]) + subject.answers(e[1:2])) / 2, abs=1e-5
    )
    assert subject.answers(subject.origin[None])[0] == pytest.approx(subject.common)


def test_the_same_seed_gives_the_same_volumes_in_any_pieces(subject: FmriSubject) -> None:
    run = run_of(subject)
    whole = run.read(0, 60)
    again = run_of(fmri_subject(pictures(), N_LAYOUT, grid=(18, 22, 18), n_voxels=600, seed=3))
    assert np.array_equal(
        np.concatenate([again.read(17, 60), again.read(0, 17)]), np.roll(whole, -17, axis=0)
    )
    assert not np.array_equal(replace(run, seed=(3, 2)).read(0, 60), whole)
    assert (whole == np.rint(whole)).all()
    assert 0 < whole.min() < whole.max() < np.iinfo(np.int16).max


def test_noise_has_the_covariance_and_the_correlation_that_the_model_says(subject: FmriSubject) -> None:
    empty = StimulusTable(np.empty(0, np.int64), np.empty(0, np.int64))
    run = SimulatedVolumes(subject, np.empty((0, N_DIMS)), empty, 6000, TR_S, (9, 9), artefacts=False)
    percent = 100 * (run.read(0, 6000)[:, :150] / subject.level[:150] - 1)
    own, shared = subject.own_noise[:150].astype(float), subject.shared_noise[:150].astype(float)
    expected = np.diag(own**2) + shared @ shared.T
    got = np.cov(percent.T)
    # Rounding to whole numbers adds a twelfth of a unit's square.
    expected += np.diag((100 / subject.level[:150]) ** 2 / 12)
    assert np.diag(got) == pytest.approx(np.diag(expected), rel=0.2)
    off = ~np.eye(150, dtype=bool)
    assert np.corrcoef(got[off], expected[off])[0, 1] > 0.98
    lagged = np.mean(percent[1:] * percent[:-1]) / np.mean(percent**2)
    assert lagged == pytest.approx(subject.ar, abs=0.03)


def test_the_mean_over_many_showings_is_the_answer(subject: FmriSubject) -> None:
    onset = np.arange(0, 4000, 24)
    table = StimulusTable(onset, np.zeros(len(onset), np.int64))
    shown = np.tile(pictures()[:1], (len(onset), 1))
    run = SimulatedVolumes(subject, shown, table, 4024, TR_S, (1, 1), artefacts=False)
    percent = 100 * (run.read(0, 4024) / subject.level - 1)
    mean = np.mean([percent[at : at + 21] for at in onset], axis=0)
    expected = np.outer(response_course(TR_S), subject.answers(pictures()[:1])[0])
    assert np.corrcoef(mean.ravel(), expected.ravel())[0, 1] > 0.95


def test_answers_begin_between_volumes_where_the_table_says_so(subject: FmriSubject, tmp_path: Path) -> None:
    fine = response_course(TR_S / 4)
    np.testing.assert_allclose(response_course(TR_S, fraction=0.25)[1:], fine[3::4][:20], rtol=1e-6)
    np.testing.assert_allclose(response_course(TR_S, fraction=-0.25)[:20], fine[1::4][:20], rtol=1e-6)
    whole = run_of(subject)
    timed = replace(
        whole.stimuli, fraction=np.full(len(whole.shown), 0.25), duration_s=np.full(len(whole.shown), 3.0)
    )
    run = replace(whole, stimuli=timed)
    assert not np.array_equal(run.read(0, 60), whole.read(0, 60))
    path = tmp_path / "between.simulation.json"
    save_volumes(run, pictures(), N_LAYOUT, 0.1, 3, path)
    back = open_recording(path)
    np.testing.assert_array_equal(back.stimuli.fraction, timed.fraction)
    np.testing.assert_array_equal(back.read(0, 60), run.read(0, 60))


def test_artefacts_are_slow_drifts_and_movements(subject: FmriSubject) -> None:
    run = run_of(subject, 220)
    difference = run.read(0, 220) - replace(run, artefacts=False).read(0, 220)
    slow = np.abs(np.fft.rfft(difference - difference.mean(axis=0), axis=0)) ** 2
    assert slow[:6].sum() > 0.5 * slow.sum()
    assert np.abs(difference / subject.level).std() > 0.002


def test_a_design_has_the_numbers_of_nsd() -> None:
    design = simulate_nsd_design(40)
    assert design.masterordering.shape == (30_000,)
    assert design.subjectim.shape == (8, 10_000)
    assert design.sharedix.shape == (1000,)
    assert design.stimpattern is not None
    assert design.stimpattern.shape == (40, 12, 75)
    assert design.stimpattern.sum(axis=2).tolist() == [[63, 62] * 6] * 40
    assert not design.stimpattern[:, :, :3].any()
    assert (np.bincount(design.masterordering)[1:] == 3).all()
    assert (np.diff(design.masterordering) != 0).all()
    assert len(np.unique(design.subjectim)) == 73_000
    assert (design.subjectim[:, :1000] == design.sharedix).all()


def small_nsd(subject: FmriSubject) -> SimulatedNsd:
    design = simulate_nsd_design(2, n_runs=2, n_slots=22)
    embeddings = np.random.default_rng(1).standard_normal((int(design.subjectim.max()), N_DIMS))
    return SimulatedNsd(subject, design, 2, embeddings, seed=5)


def test_runs_and_betas_show_the_pictures_of_the_design(subject: FmriSubject) -> None:
    nsd = small_nsd(subject)
    trials = design_trials(nsd.design, 2)
    runs = list(nsd.runs(range(1, 3)))
    assert [len(run.markers) for run in runs] == [10, 9, 10, 9]
    assert [label for run in runs for _, label in run.markers] == [str(i) for i in trials.table.id]
    assert all(run.n_samples == 67 and run.sfreq_hz == 0.75 for run in runs)
    assert runs[0].markers[0][0] % 3 == 0
    assert runs[0].markers[0][0] >= 9
    betas = nsd.betas(2)
    assert betas.shape == (19, 600)
    assert np.array_equal(betas, nsd.betas(2))
    assert not np.array_equal(betas, nsd.betas(1))


def test_betas_scatter_about_the_answers(subject: FmriSubject) -> None:
    nsd = small_nsd(subject)
    big = SimulatedNsd(
        subject, simulate_nsd_design(2), 1, np.random.default_rng(2).standard_normal((4500, N_DIMS))
    )
    assert nsd.subject is big.subject
    rest = big.betas(1) - subject.answers(big.shown(big.trials.of(1).table))
    variance = subject.own_noise**2 + (subject.shared_noise**2).sum(axis=1)
    assert rest.var(axis=0) == pytest.approx(subject.beta_noise**2 * variance, rel=0.3)


def saved(subject: FmriSubject, folder: Path) -> Path:
    path = folder / "x.simulation.json"
    save_volumes(run_of(subject), pictures(), N_LAYOUT, 0.1, 3, path)
    return path


def test_a_run_comes_back_from_a_small_file(subject: FmriSubject, tmp_path: Path) -> None:
    path = saved(subject, tmp_path)
    assert path.stat().st_size < 20_000
    run, back = run_of(subject), open_recording(path)
    assert np.array_equal(back.read(5, 60), run.read(5, 60))
    assert (back.markers, back.channels, back.sfreq_hz) == (run.markers, run.channels, run.sfreq_hz)
    found = inspect(path)
    assert found.layout == "simulated volumes"
    assert ("voxels", "600 of a grid of (18, 22, 18)") in found.facts


def test_a_file_that_is_damaged_or_of_other_numbers_is_refused(subject: FmriSubject, tmp_path: Path) -> None:
    path = saved(subject, tmp_path)
    text = path.read_text()
    for change, message in (
        (lambda t: t[: len(t) // 2], "is damaged"),
        (lambda t: t.replace('"n_voxels":600', '"n_voxels":600000'), "has 2.* voxels; 600000"),
        (lambda t: t.replace('"subject_seed":3', '"subject_seed":4'), "another version of NumPy"),
        (lambda t: t.replace('"volumes_schema":1', '"volumes_schema":9'), "has schema 9"),
        (lambda t: t.replace('"shown":[0', '"shown":[99'), "is damaged"),
    ):
        path.write_text(change(text))
        with pytest.raises(RecordingError, match=message):
            open_recording(path)
    path.write_text(text)
    with pytest.raises(RecordingError, match="mask of its own"):
        open_recording(path, mask="all")
    with pytest.raises(RecordingError, match="must end in"):
        save_volumes(run_of(subject), pictures(), N_LAYOUT, 0.1, 3, tmp_path / "x.json")
    with pytest.raises(ValueError, match="another subject"):
        save_volumes(run_of(subject), pictures(), N_LAYOUT, 0.1, 4, tmp_path / "y.simulation.json")


def test_what_cannot_be_is_refused(subject: FmriSubject) -> None:
    with pytest.raises(ValueError, match="are asked for"):
        fmri_subject(pictures(), N_LAYOUT, grid=(4, 4, 4), n_voxels=600)
    with pytest.raises(ValueError, match="make no subject"):
        fmri_subject(pictures(), 11, grid=(18, 22, 18), n_voxels=600)
    with pytest.raises(ValueError, match="make no experiment"):
        simulate_nsd_design(1, n_slots=10)
    with pytest.raises(ValueError, match="Onsets lie in"):
        SimulatedVolumes(subject, pictures()[:1], StimulusTable(np.array([60])), 60, TR_S, (1,))
    with pytest.raises(ValueError, match="need as many embeddings"):
        SimulatedVolumes(subject, pictures()[:2], StimulusTable(np.array([6])), 60, TR_S, (1,))
