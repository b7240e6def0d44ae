from dataclasses import replace

import numpy as np
import pytest
from nilearn.glm.first_level import run_glm

from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.hrf import LIBRARY
from decode_stream.stream.fmri.run_glm import RunGlm

from .batch_glm import CONFOUNDS, TR_S, Run, batch_beta, simulated_run, trial_design

OLS = GlmSpec(noise="ols", percent=False, confounds=CONFOUNDS, nuisance_penalty=0.0)
AR1 = replace(OLS, noise="ar1")
RHO = np.round(np.linspace(-0.15, 0.62, 12), 2)


def fed(run: Run, spec: GlmSpec, n: int, planned: int = 120) -> RunGlm:
    glm = RunGlm(spec, run.volumes.shape[1], TR_S, planned)
    for onset in run.onsets:
        glm.add_trial(onset)
    for volume, confounds in zip(run.volumes[:n], run.confounds[:n], strict=True):
        glm.add(volume, confounds)
    return glm


def assert_close(ours, theirs, relative=1e-6):
    assert np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


@pytest.mark.parametrize("noise", ["ols", "ar1"])
def test_betas_and_variances_equal_the_batch_solution_of_nilearn(noise):
    run = simulated_run()
    spec = OLS if noise == "ols" else AR1
    glm = fed(run, spec, 0)
    n_told = 0
    for n in range(1, 121):
        glm.add(run.volumes[n - 1], run.confounds[n - 1])
        if n not in (35, 60, 90, 120):
            continue
        asked = [trial for trial in range(len(run.onsets)) if glm.told(trial)][::5]
        ours = glm.betas(asked, None if noise == "ols" else RHO)
        for i, trial in enumerate(asked):
            design = trial_design(run, trial, n, 120, spec)
            theirs, variances = nilearn_betas(run.volumes[:n], design, noise, RHO)
            assert ours.df == n - design.shape[1]
            assert_close(ours.value[i], theirs)
            assert_close(ours.variance[i], variances)
            n_told += 1
    assert n_told >= 12


def nilearn_betas(volumes, design, noise, rho):
    from nilearn.glm.regression import ARModel, OLSModel

    found = []
    for voxel, of_voxel in enumerate(rho):
        model = OLSModel(design) if noise == "ols" else ARModel(design, of_voxel)
        fit = model.fit(volumes[:, [voxel]])
        found.append((fit.theta[0, 0], fit.dispersion[0] * fit.cov[0, 0]))
    return np.array(found).T


def test_betas_equal_those_of_nilearns_own_design_and_coefficients():
    import pandas as pd
    from nilearn.glm.first_level import make_first_level_design_matrix

    run = simulated_run()
    n, trial = 100, 9
    events = pd.DataFrame(
        {
            "onset": run.onsets * TR_S,
            "duration": 3.0,
            "trial_type": ["probe" if i == trial else "others" for i in range(len(run.onsets))],
        }
    )
    # The drift is that of the planned run, so the design is made for it, and cut.
    design = make_first_level_design_matrix(
        np.arange(120) * TR_S, events, "glover", "cosine", 1 / 128, add_regs=run.confounds
    )
    probe = list(design.columns).index("probe")
    labels, results = run_glm(run.volumes[:n], design.to_numpy()[:n], noise_model="ar1")
    rho = labels.astype(float)
    value, variance = np.empty((2, len(rho)))
    for label, result in results.items():
        value[labels == label] = result.theta[probe]
        variance[labels == label] = result.dispersion * result.cov[probe, probe]
    ours = fed(run, AR1, n).betas([trial], rho)
    assert len(results) > 5
    assert_close(ours.value[0], value)
    assert_close(ours.variance[0], variance)


def test_coefficients_of_the_noise_equal_nilearns():
    run = simulated_run(n_voxels=60)
    design = trial_design(run, 0, 100, 120, AR1)
    both = np.column_stack([design[:, 0] + design[:, 1], design[:, 2:]])
    labels, _ = run_glm(run.volumes[:100], both, noise_model="ar1")
    glm = fed(run, AR1, 100)
    from decode_stream.stream.fmri.autoregression import rounded

    assert np.abs(rounded(glm.rho()) - labels.astype(float)).max() < 1e-12
    assert len(np.unique(labels)) > 10
    by_default, given = glm.betas([4]), glm.betas([4], labels.astype(float))
    assert_close(by_default.value, given.value, 1e-12)


def test_lost_volumes_leave_their_places_and_no_pair_reaches_over_them():
    run = simulated_run()
    lost = [20, 21, 50, 77]
    glm = fed(run, AR1, 0)
    for n in range(100):
        if n == 50:
            glm.skip()
        elif n == 77:
            glm.add(np.where(np.arange(12) == 3, np.nan, run.volumes[n]), run.confounds[n])
        elif n == 20:
            glm.skip(2)
        elif n != 21:
            glm.add(run.volumes[n], run.confounds[n])
    kept = np.setdiff1d(np.arange(100), lost)
    design = trial_design(run, 10, 100, 120, AR1)[kept]
    follows = np.diff(kept, prepend=-5) == 1
    value, variance = batch_beta(design, run.volumes[kept], RHO, follows)
    ours = glm.betas([10], RHO)
    assert (glm.n_volumes, glm.n_lost, ours.df) == (100, 4, 96 - design.shape[1])
    assert_close(ours.value[0], value)
    assert_close(ours.variance[0], variance)
    assert_close(glm.mean(), run.volumes[kept].mean(axis=0), 1e-12)


def test_a_late_trial_counts_as_if_it_had_been_in_time():
    run = simulated_run()
    in_time = fed(run, AR1, 90)
    glm = RunGlm(AR1, 12, TR_S, 120)
    late = int(np.searchsorted(run.onsets, 70))
    for trial, onset in enumerate(run.onsets):
        if trial != late:
            glm.add_trial(onset)
    for n in range(90):
        if n == 83:
            number = glm.add_trial(run.onsets[late])
        glm.add(run.volumes[n], run.confounds[n])
    asked = late - 1, late + 1
    ours = glm.betas([late - 1, number, late], RHO)
    expected = in_time.betas([asked[0], late, asked[1]], RHO)
    assert_close(ours.value, expected.value, 1e-9)
    assert_close(ours.variance, expected.variance, 1e-9)
    assert_close(glm.rho(), in_time.rho(), 1e-9)


def test_a_trial_from_before_the_volumes_that_are_held_is_refused():
    run = simulated_run()
    glm = fed(run, AR1, 90)
    with pytest.raises(ValueError, match=r"onset at volume 40 comes too late: volumes are held from 62 on"):
        glm.add_trial(40)
    with pytest.raises(ValueError, match="finite"):
        glm.add_trial(float("nan"))
    assert glm.add_trial(64) == len(run.onsets)


def test_a_run_longer_than_planned_goes_on():
    run = simulated_run()
    glm = fed(run, AR1, 120, planned=80)
    trial = len(run.onsets) - 4
    design = trial_design(run, trial, 120, 80, AR1)
    value, variance = batch_beta(design, run.volumes, RHO)
    assert run.onsets[trial] > 85
    ours = glm.betas([trial], RHO)
    assert_close(ours.value[0], value)
    assert_close(ours.variance[0], variance)


def test_betas_are_told_once_there_are_more_volumes_than_columns():
    run = simulated_run()
    glm = fed(run, OLS, 0)
    first = None
    for n in range(1, 40):
        glm.add(run.volumes[n - 1], run.confounds[n - 1])
        if first is None and glm.told(0):
            first = n
    # Trial, others, constant, two cosines and six confounds, and four more.
    assert first == 11 + OLS.least_df
    early = fed(run, OLS, first - 1)
    with pytest.raises(ValueError, match=rf"{first - 1} volumes do not tell the betas of trials \[0\] yet"):
        early.betas([0])
    at_first = fed(run, OLS, first)
    assert at_first.betas([0]).df == 4
    design = trial_design(run, 0, first, 120, OLS)
    value, variance = batch_beta(design, run.volumes[:first], np.zeros(12))
    assert_close(at_first.betas([0]).value[0], value, 1e-5)
    assert_close(at_first.betas([0]).variance[0], variance, 1e-5)


def test_nothing_is_told_of_a_trial_to_come_nor_before_the_first_volume():
    glm = RunGlm(OLS, 12, TR_S, 120)
    trial = glm.add_trial(30)
    assert not glm.told(trial)
    with pytest.raises(ValueError, match="Before the first volume"):
        glm.mean()
    run = simulated_run()
    for n in range(31):
        glm.add(run.volumes[n], run.confounds[n])
    assert not glm.told(trial)


def test_the_first_trial_has_no_others_beside_it():
    run = simulated_run()
    alone = replace(run, onsets=run.onsets[:1])
    ours = fed(alone, AR1, 40).betas([0], RHO)
    design = trial_design(alone, 0, 40, 120, AR1)
    value, variance = batch_beta(design, run.volumes[:40], RHO)
    assert ours.df == 40 - design.shape[1] == 40 - 10
    assert_close(ours.value[0], value)
    assert_close(ours.variance[0], variance)


def test_trials_at_one_onset_cannot_be_told_apart():
    run = simulated_run()
    glm = fed(replace(run, onsets=np.array([10.0, 10.0])), AR1, 60)
    assert not glm.told(0)
    assert not glm.told(1)


def test_a_confound_that_says_nothing_of_its_own_is_left_out():
    run = simulated_run()
    still = run.confounds.copy()
    still[:, 2] = 0.3
    still[:, 4] = 2 * still[:, 1]
    spec = replace(AR1, confounds=tuple("abcd"))
    without = fed(replace(run, confounds=run.confounds[:, [0, 1, 3, 5]]), spec, 80).betas([6], RHO)
    ours = fed(replace(run, confounds=still), AR1, 80).betas([6], RHO)
    assert ours.df == without.df
    assert_close(ours.value, without.value)
    assert_close(ours.variance, without.variance)


def test_percent_is_of_the_mean_of_the_volumes_so_far():
    run = simulated_run()
    run.volumes[:, 5] = 0
    in_units = fed(run, OLS, 70).betas([3, 5])
    ours = fed(run, replace(OLS, percent=True), 70).betas([3, 5])
    mean = run.volumes[:70].mean(axis=0)
    alive = np.arange(12) != 5
    assert_close(ours.value[:, alive], (100 * in_units.value / np.where(alive, mean, 1))[:, alive], 1e-12)
    assert_close(
        ours.variance[:, alive], (1e4 * in_units.variance / np.where(alive, mean, 1) ** 2)[:, alive], 1e-12
    )
    assert not ours.value[:, 5].any()
    assert not ours.variance[:, 5].any()


def test_a_penalty_is_a_ridge_on_cosines_and_confounds_and_tells_betas_earlier():
    run = simulated_run()
    spec = replace(AR1, nuisance_penalty=2.0)
    n = 50
    design = trial_design(run, 4, n, 120, spec)
    mean_square = np.concatenate([[0, 0, 0], [1 / 120] * 2, run.confounds[:n].var(axis=0)])
    value, variance = batch_beta(design, run.volumes[:n], RHO, penalty=2.0 * mean_square)
    glm = fed(run, spec, n)
    ours = glm.betas([4], RHO)
    assert ours.df == n - 3
    assert_close(ours.value[0], value)
    assert_close(ours.variance[0], variance)
    assert fed(run, spec, 10).told(0)
    assert np.abs(ours.value[0] / fed(run, AR1, n).betas([4], RHO).value[0] - 1).max() > 1e-3


def test_each_voxel_of_the_library_has_its_own_response():
    run = simulated_run()
    shape_of = (0, 13, 13, 5, 19, 0, 5, 5, 13, 19, 0, 13)
    spec = replace(AR1, hrf="library", hrf_of_voxel=shape_of)
    glm = fed(run, spec, 80)
    asked = [2, 12, 15]
    ours = glm.betas(asked, RHO)
    for i, trial in enumerate(asked):
        for voxel, shape in enumerate(shape_of):
            design = trial_design(run, trial, 80, 120, spec, LIBRARY[shape])
            value, variance = batch_beta(design, run.volumes[:80, [voxel]], RHO[[voxel]])
            assert_close(ours.value[i, [voxel]], value)
            assert_close(ours.variance[i, [voxel]], variance)


def test_a_buffer_that_is_used_again_changes_nothing():
    run = simulated_run()
    glm = RunGlm(AR1, 12, TR_S, 120)
    glm.add_trial(run.onsets[0])
    volume, confounds = np.empty(12), np.empty(6)
    for n in range(40):
        volume[:], confounds[:] = run.volumes[n], run.confounds[n]
        glm.add(volume, confounds)
    expected = fed(replace(run, onsets=run.onsets[:1]), AR1, 40)
    assert_close(glm.betas([0]).value, expected.betas([0]).value, 1e-12)
    assert_close(glm.mean(), run.volumes[:40].mean(axis=0), 1e-12)


def test_a_wrong_size_is_refused():
    glm = RunGlm(AR1, 12, TR_S, 120)
    with pytest.raises(ValueError, match="12 voxels with 6 confounds"):
        glm.add(np.ones(11), np.zeros(6))
    with pytest.raises(ValueError, match="12 voxels with 6 confounds"):
        glm.add(np.ones(12), np.zeros(5))
    with pytest.raises(ValueError, match="all are above 0"):
        RunGlm(AR1, 12, 0.0, 120)
    with pytest.raises(ValueError, match="'ols'"):
        fed(simulated_run(), OLS, 40).betas([0], RHO)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hrf": "canonical"}, "glover, spm, library"),
        ({"noise": "ar2"}, "ols, ar1"),
        ({"decide_s": 0.0}, "decide_s is more than 0"),
        ({"stimulus_s": -1.0}, "stimulus_s is 0 or more"),
        ({"high_pass_s": 0.0}, "high_pass_s is more than 0"),
        ({"least_df": 0}, "least_df is 1 or more"),
        ({"confounds": ("a", "a")}, "named twice"),
        ({"hrf_of_voxel": (1,)}, "of the library"),
        ({"planned_volumes": -1}, "planned_volumes"),
    ],
)
def test_a_spec_outside_its_range_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        GlmSpec(**change)
