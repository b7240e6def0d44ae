"""How papers divide NSD: counts of the published size, and recordings of which a part is left."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.nsd.design import design_trials
from decode_stream.replay_data.nsd.splits import SPLITS, leaves_out, split_recording, split_trials
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.simulation.simulate_nsd import simulate_nsd_design
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable

from .nsd_sample import Sample, write_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("nsd"))


def test_splits_have_the_published_counts() -> None:
    table = design_trials(simulate_nsd_design(40), 1).table
    ids, session = np.asarray(table.id), np.asarray(table.session)
    train, test = split_trials(table, "mindeye2")
    assert (train.sum(), test.sum(), len(np.unique(ids[test]))) == (27_000, 3000, 1000)
    train, test = split_trials(table, "mindeye")
    assert train.sum() + test.sum() == 27_750
    assert session[train | test].max() == 37
    split = np.asarray(table.split)
    early = {int(ids[i]) for i in range(len(ids)) if session[i] <= 37 and split[i] == "test"}
    assert set(ids[test].tolist()) == early
    assert not np.intersect1d(ids[train], ids[test]).size
    train, test = split_trials(table, "mind-reader")
    assert train.sum() + test.sum() == 27_750
    n = len(np.unique(ids[session <= 37]))
    n_trained = len(np.unique(ids[train]))
    assert n_trained == int(0.85 * n)
    assert int(0.85 * 9841) == 8364  # as the paper's, of subject 1
    assert not np.intersect1d(ids[train], ids[test]).size
    # Every picture that is trained on appears before every one that is not.
    used = np.flatnonzero(session <= 37)
    first = {int(picture): int(at) for at, picture in reversed(list(enumerate(ids[used])))}
    assert max(first[p] for p in np.unique(ids[train])) < min(first[p] for p in np.unique(ids[test]))


def test_which_splits_test_on_the_same_pictures() -> None:
    def alike(whose: str, of: str) -> dict[str, list[str]]:
        return {
            name: [other for other in SPLITS if leaves_out(name, other, whose, of)] for name in ("", *SPLITS)
        }

    shared = {"": [], "mindeye": ["mindeye", "mindeye2"], "mindeye2": ["mindeye", "mindeye2"]}
    for whose, of in (("subj01", "subj01"), ("subj03", "subj03"), ("subj01", "subj07"), ("subj04", "subj08")):
        assert alike(whose, of) == {**shared, "mind-reader": ["mind-reader"]}
    for whose, of in (
        ("subj01", "subj03"),
        ("subj04", "subj03"),
        ("", ""),
        ("subj01", ""),
        ("sub-01", "sub-01"),
    ):
        assert alike(whose, of) == {**shared, "mind-reader": []}


@pytest.mark.parametrize("name", list(SPLITS))
def test_of_betas_only_the_parts_own_are_there(sample: Sample, name: str) -> None:
    path = sample.beta_file()
    whole = open_recording(path)
    train, test = (split_recording(whole, path, name, part) for part in ("train", "test"))
    assert train is not None
    assert test is not None
    assert train.n_samples + test.n_samples == whole.n_samples
    assert not np.intersect1d(np.asarray(train.stimuli.id), np.asarray(test.stimuli.id)).size
    ids, betas = np.asarray(whole.stimuli.id), whole.read(0, whole.n_samples)
    for part, words in ((train, "trained"), (test, "tested")):
        own = np.isin(ids, np.asarray(part.stimuli.id))
        np.testing.assert_array_equal(part.read(0, part.n_samples), betas[own])
        np.testing.assert_array_equal(part.read(1, 3), betas[own][1:3])
        assert part.read(5, 5).shape == (0, len(whole.channels))
        assert [label for _, label in part.markers] == [str(i) for i in ids[own]]
        assert [at for at, _ in part.markers] == list(range(part.n_samples)) == part.stimuli.onset.tolist()
        assert f"By the split {name}, {own.sum()} of {len(ids)} trials are {words} on." in part.notes
    shared = np.isin(np.asarray(test.stimuli.id) + 1, sample.design.sharedix)
    assert shared.all() == (name != "mind-reader")
    assert set(np.asarray(train.stimuli.split).tolist()) == {"train"}


def test_of_volumes_only_markers_are_parted(sample: Sample) -> None:
    path = sample.series_file()
    whole = open_recording(path)
    train = split_recording(whole, path, "mindeye2", "train")
    assert train is not None
    assert train.n_samples == whole.n_samples
    np.testing.assert_array_equal(train.read(3, 9), whole.read(3, 9))
    is_train = np.asarray(whole.stimuli.split) == "train"
    assert train.stimuli.onset.tolist() == whole.stimuli.onset[is_train].tolist()
    assert [at for at, _ in train.markers] == train.stimuli.onset.tolist()
    assert any("Volumes of the others" in note for note in train.notes)


def test_sessions_that_a_split_does_not_use_are_none(sample: Sample) -> None:
    path = sample.beta_file()
    whole = open_recording(path)
    late = replace(whole, stimuli=replace(whole.stimuli, session=np.full(whole.n_samples, 38)))  # type: ignore[type-var]
    assert split_recording(late, path, "mindeye", "train") is None
    assert split_recording(late, path, "mindeye2", "train") is not None


def test_a_converted_recording_is_divided_by_what_it_came_from(sample: Sample, tmp_path: Path) -> None:
    path = sample.beta_file()
    whole = open_recording(path)
    store(whole, tmp_path / "known.recording", source=str(path))
    store(whole, tmp_path / "unknown.recording")
    expected = split_recording(whole, path, "mind-reader", "test")
    known = tmp_path / "known.recording"
    found = split_recording(open_recording(known), known, "mind-reader", "test")
    assert expected is not None
    assert found is not None
    assert expected.markers == found.markers
    unknown = tmp_path / "unknown.recording"
    assert split_recording(open_recording(unknown), unknown, "mindeye", "test") is not None
    with pytest.raises(
        RecordingError, match=r"nothing beside .*unknown.recording tells it. nsd_expdesign.mat does"
    ):
        split_recording(open_recording(unknown), unknown, "mind-reader", "test")


def test_what_does_not_say_its_trials_cannot_be_divided(sample: Sample) -> None:
    path = sample.beta_file()
    whole = open_recording(path)
    bare = replace(whole, stimuli=StimulusTable(whole.stimuli.onset, whole.stimuli.id))  # type: ignore[type-var]
    with pytest.raises(RecordingError, match="does not say which sessions of NSD"):
        split_recording(bare, path, "mindeye", "train")
    table = replace(whole.stimuli, split=None)
    with pytest.raises(
        RecordingError, match="do not say their split, so the split mindeye cannot divide them"
    ):
        split_trials(table, "mindeye")
