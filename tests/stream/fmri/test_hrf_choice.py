from dataclasses import replace

import numpy as np
import pytest

from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.hrf import LIBRARY
from decode_stream.stream.fmri.hrf_choice import WholeRun, chosen_shapes

from .batch_glm import CONFOUNDS, TR_S, simulated_run, trial_columns

SPEC = GlmSpec(hrf="library", confounds=CONFOUNDS)


def answering(shapes, seed: int, noise: float = 0.1) -> WholeRun:
    run = simulated_run(n_volumes=100, n_voxels=len(shapes), seed=seed)
    rng = np.random.default_rng(seed)
    columns = [trial_columns(run.onsets, 100, 100, shape=LIBRARY[shape]) for shape in shapes]
    answers = np.column_stack([column @ rng.uniform(1, 3, len(run.onsets)) for column in columns])
    noise = noise * rng.standard_normal(answers.shape)
    moved = run.confounds @ rng.standard_normal((6, len(shapes)))
    return WholeRun(500 + answers + noise + moved, run.confounds, run.onsets)


def test_the_shape_that_voxels_answer_with_is_found():
    shapes = (0, 6, 13, 19)
    runs = [answering(shapes, seed) for seed in (0, 1)]
    assert chosen_shapes(runs, SPEC, TR_S) == shapes


def test_a_lost_volume_is_left_out():
    shapes = (0, 10, 19)
    run = answering(shapes, 0)
    run.volumes[[7, 60]] = np.nan
    run.confounds[90, 2] = np.inf
    assert chosen_shapes([run], SPEC, TR_S) == shapes


def test_runs_add_up():
    clear, noisy = answering((4, 9), 0, noise=0.05), answering((4, 9), 1)
    other = replace(noisy, volumes=100 * np.random.default_rng(2).standard_normal((100, 2)))
    assert chosen_shapes([clear, noisy], SPEC, TR_S) == (4, 9)
    assert chosen_shapes([other], SPEC, TR_S) != (4, 9)


def test_what_cannot_be_chosen_from_is_refused():
    run = answering((4, 9), 0)
    with pytest.raises(ValueError, match="Without a run"):
        chosen_shapes([], SPEC, TR_S)
    with pytest.raises(ValueError, match="A run of 1 voxels came after one of 2"):
        chosen_shapes([run, replace(run, volumes=run.volumes[:, :1])], SPEC, TR_S)
    short = WholeRun(run.volumes[:40], run.confounds[:40], [float(n) for n in range(2, 37)])
    with pytest.raises(ValueError, match="35 trials"):
        chosen_shapes([short], SPEC, TR_S)
