import csv
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.nsd.design import (
    DESIGN,
    STIM_INFO,
    NsdDesign,
    design_trials,
    read_design,
    subject_trials,
)
from decode_stream.replay_data.nsd.facts import SUBJECTS, core_run, file_run
from decode_stream.replay_data.nsd.pictures import PICTURES, nsd_picture
from decode_stream.stream.errors import RecordingError
from tests.replay_data.nsd_sample import Sample, small_design, write_sample


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return write_sample(tmp_path / "nsd")


@pytest.mark.parametrize("with_pattern", [True, False])
def test_ids_are_those_of_a_plain_loop(with_pattern: bool) -> None:
    rng = np.random.default_rng(3)
    subjectim = np.array([rng.permutation(73_000)[:10_000] + 1 for _ in range(8)])
    order = rng.permutation(np.repeat(np.arange(1, 10_001), 3))
    pattern = np.zeros((40, 12, 75), dtype=np.bool_)
    for run in range(12):
        pattern[:, run, 3 : 3 + 63 - run % 2] = True
    design = NsdDesign(order, subjectim, subjectim[0, :1000], pattern if with_pattern else None)
    trials = design_trials(design, 5)
    table = trials.table
    seen: dict[int, int] = {}
    t = 0
    assert table.session is not None
    for session in range(1, 41):
        for run in range(1, 13):
            for k in range(63 if run % 2 else 62):
                place = int(order[t])
                seen[place] = seen.get(place, 0) + 1
                row = [
                    np.asarray(getattr(table, name))[t]
                    for name in ("id", "session", "run", "repeat", "split")
                ]
                split = "test" if place <= 1000 else "train"
                assert row == [subjectim[4, place - 1] - 1, session, run, seen[place], split]
                assert trials.slot is None or trials.slot[t] == 3 + k
                t += 1
    assert t == len(table) == SUBJECTS[5].trials
    # Subject 4 was scanned in 30 sessions only.
    assert len(design_trials(design, 4).table) == 22_500
    split, session, picture = (np.asarray(getattr(table, name)) for name in ("split", "session", "id"))
    train, test = split == "train", split == "test"
    assert (train.sum(), test.sum()) == (27_000, SUBJECTS[5].shared_trials)
    assert len(np.unique(picture[test])) == SUBJECTS[5].shared
    assert not np.intersect1d(picture[train], picture[test]).size
    # Papers before August 2023 had the first 37 sessions only.
    assert np.count_nonzero(session <= 37) == 27_750


def test_runs_of_rest_are_counted_out() -> None:
    assert [core_run(1, 20, run) for run in (1, 12, 13)] == [1, 12, None]
    assert [core_run(1, 21, run) for run in (1, 2, 13, 14)] == [None, 1, 12, None]
    for subject in SUBJECTS:
        for session in (1, 21, 30, 31, 38, 39):
            assert [
                core_run(subject, session, file_run(subject, session, run)) for run in range(1, 13)
            ] == list(range(1, 13))


def test_the_written_tables_say_what_the_design_says(sample: Sample) -> None:
    design = read_design(sample.root / DESIGN)
    for name in ("masterordering", "subjectim", "sharedix", "stimpattern"):
        np.testing.assert_array_equal(getattr(design, name), getattr(sample.design, name))
    by_design = subject_trials(sample.root, 1)
    assert by_design is not None
    table = by_design.table
    with (sample.root / STIM_INFO).open() as file:
        rows = list(csv.DictReader(file))
    for i in range(len(table)):
        row = rows[int(np.asarray(table.id)[i])]
        assert int(row[f"subject1_rep{np.asarray(table.repeat)[i] - 1}"]) == i + 1
        assert (row["shared1000"] == "True") == (np.asarray(table.split)[i] == "test")
        assert np.asarray(table.image)[i] == f"train2017/{int(row['cocoId']):012d}.jpg"


def test_the_sample_design_is_one() -> None:
    design = small_design(5)
    assert design.stimpattern is not None
    assert design.stimpattern.sum() == len(design.masterordering)


def test_pictures_are_read_one_at_a_time(sample: Sample) -> None:
    np.testing.assert_array_equal(nsd_picture(sample.root, 17), np.full((4, 4, 3), 17, np.uint8))
    np.testing.assert_array_equal(nsd_picture(sample.root / PICTURES, 399), np.full((4, 4, 3), 143, np.uint8))
    for wrong in (400, -1):
        with pytest.raises(RecordingError, match=r"holds the pictures 0 to 399, and not .*Ids count from 0"):
            nsd_picture(sample.root, wrong)
    (sample.root / PICTURES).write_bytes((sample.root / PICTURES).read_bytes()[:2000])
    with pytest.raises(RecordingError, match="damaged or cut off"):
        nsd_picture(sample.root, 1)
    (sample.root / PICTURES).unlink()
    with pytest.raises(RecordingError, match=r"does not exist\. It is downloaded from s3://"):
        nsd_picture(sample.root, 1)
