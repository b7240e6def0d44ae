"""Betas volume by volume beside a refit, on a run of few voxels."""

import numpy as np
from benchmarks.run_glm import drawn_run, ours, refit

from decode_stream.stream.fmri.glm_spec import GlmSpec

SPEC = GlmSpec(confounds=("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"), nuisance_penalty=0.0)


def test_volumes_are_timed_with_the_betas_they_tell():
    run = drawn_run(n_volumes=60, n_voxels=40, n_trials=10)
    timing = ours(run, SPEC)
    assert timing.wall_s.shape == (60,)
    assert (timing.wall_s > 0).all()
    # The first trials' moments come before there are more volumes than columns.
    assert timing.n_told[:12].sum() == 0
    assert timing.n_told[30:].min() > 0
    assert np.isfinite(timing.growth)


def test_the_refit_takes_the_volumes_so_far():
    run = drawn_run(n_volumes=60, n_voxels=40, n_trials=10)
    wall_s, cpu_s = refit(run, SPEC, trial=4, n=40)
    assert wall_s > 0
    assert cpu_s > 0
