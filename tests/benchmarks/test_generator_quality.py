"""How often drawings are found among scenes of other objects."""

import numpy as np
import pytest
from benchmarks.generator_quality import among_objects

N_OBJECTS, N_SETS = 5, 4
N = N_OBJECTS * N_SETS


def test_scenes_of_the_same_object_are_no_rivals() -> None:
    # Every drawing fits another set's scene of its own object better than its own.
    fits = np.zeros((N, N))
    objects = np.arange(N) % N_OBJECTS
    fits[objects[:, None] == objects] = 1
    fits[np.arange(N), (np.arange(N) + N_OBJECTS) % N] = 2
    assert (among_objects(fits, N_OBJECTS, 400, 0) == 1).all()


def test_a_rival_counts_as_often_as_it_is_there() -> None:
    fits = np.eye(N)
    fits[0, 1] = 2  # one scene of object 1, one set in four
    shares = among_objects(fits, N_OBJECTS, 4000, 0)
    assert shares[0] == pytest.approx(1 - 1 / N_SETS, abs=0.05)
    assert (shares[1:] == 1).all()


def test_drawings_that_say_nothing_are_found_by_chance() -> None:
    rng = np.random.default_rng(3)
    shares = np.mean([among_objects(rng.standard_normal((N, N)), N_OBJECTS, 100, 0) for _ in range(60)])
    assert shares == pytest.approx(1 / N_OBJECTS, abs=0.03)


def test_the_same_seed_draws_the_same() -> None:
    fits = np.random.default_rng(3).standard_normal((N, N))
    one, same = (among_objects(fits, N_OBJECTS, 50, 7) for _ in range(2))
    assert np.array_equal(one, same)
