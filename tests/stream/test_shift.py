"""A step of a noisy line."""

import numpy as np
import pytest

from decode_stream.stream.shift import ShiftWatch


def steps_seen(errors, n_after=10):
    watch = ShiftWatch(n_after)
    return [(k, step) for k, e in enumerate(errors) if (step := watch.add(float(e))[0])]


@pytest.mark.parametrize("repeat", [1, 3])
def test_noise_is_no_step_however_its_neighbours_resemble(repeat):
    errors = np.repeat(np.random.default_rng(0).normal(0, 1, 6000 // repeat), repeat)
    assert len(steps_seen(errors)) <= 2


def test_a_step_is_seen_within_its_window_and_measured():
    errors = np.random.default_rng(1).normal(0, 1, 400)
    errors[300:] += 6.0
    place, step = steps_seen(errors)[0]
    assert 300 < place <= 310
    assert step == pytest.approx(6.0, abs=2.0)


def test_one_wild_error_is_no_step():
    errors = np.random.default_rng(2).normal(0, 1, 400)
    errors[300] = 200.0
    assert steps_seen(errors) == []


def test_nothing_is_said_before_the_noise_is_known():
    assert steps_seen(np.r_[np.zeros(30), np.ones(39)]) == []


def test_a_cleared_watch_begins_anew():
    watch = ShiftWatch(10)
    for _ in range(69):
        watch.add(0.0)
    watch.clear()
    assert watch.add(50.0) == (0.0, 0.0)
