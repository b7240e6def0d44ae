"""The planted region: no other answers to it, and it is found; the map of the ceiling is made from held-out trials."""

import numpy as np
import pytest
from benchmarks.microstimulation import find_region, map_ceiling, simulated_person

from decode_stream.replay_data.simulation.simulate_fmri import planted


def test_only_the_planted_region_answers_to_the_direction() -> None:
    person = simulated_person(0, 5, n_voxels=300, n_runs=2, n_slots=24)
    subject = person.nsd.subject
    along = subject.tuning @ person.axis
    assert np.abs(along[subject.streams != 5]).max() < 1e-5
    shown = person.nsd.embeddings @ person.axis
    spread = np.outer(shown - shown.mean(), along[subject.streams == 5]).std()
    assert spread == pytest.approx(0.1, rel=0.02)
    again = planted(subject, subject.streams == 5, 3 * person.axis, 1.0, 0.7)
    others = np.linalg.svd(person.axis[None])[2][1:]  # all that is at right angles to the direction
    assert again.tuning @ others.T == pytest.approx(subject.tuning @ others.T, abs=1e-5)
    with pytest.raises(ValueError, match="None of the 0 voxels"):
        planted(subject, subject.streams == 99, person.axis, 1.0, 0.7)


def test_the_planted_region_is_found_in_a_person() -> None:
    person = simulated_person(2, 7, n_voxels=800, n_runs=4)
    found = find_region(person)
    assert found.silenced.argmax() == 6
    assert found.halves.argmax() == 6
    assert found.first > 0.9
    assert found.silenced[6] > 0.2


def test_the_map_goes_with_the_ceiling() -> None:
    person = simulated_person(1, 1, n_voxels=150, n_runs=4)
    truth, told, estimate = map_ceiling(person)
    assert np.corrcoef(truth, told)[0, 1] > 0.5
    assert told.mean() < truth.mean()
    assert estimate > 0.5
