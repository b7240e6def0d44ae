from collections.abc import Callable

import numpy as np
import pytest
import torch

from decode_stream.decoders.training.augmentations import (
    Augmentation,
    ChannelDropout,
    GaussianNoise,
    Smoothing,
    TimeShift,
    Truncation,
    augment,
    truncate,
)
from decode_stream.decoders.training.batches import batches, plan_rows, read_rows, row_trials
from decode_stream.decoders.training.whole_trial_settings import WholeTrialSettings
from decode_stream.stream.errors import UsageError

EPOCHS = torch.randn(6, 40, 9, generator=torch.Generator().manual_seed(0))
TRIALS = np.arange(6)


def augmented(what: Augmentation, seed: int = 0, trials: np.ndarray = TRIALS) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return augment(EPOCHS[trials], (what,), generator, trials=trials, seed=3)


@pytest.mark.parametrize("frozen", [True, False])
def test_smoothing_averages_what_is_there_in_some_channels(frozen: bool) -> None:
    got = augmented(Smoothing(frozen=frozen)).numpy()
    smooth = np.stack([EPOCHS[..., max(0, t - 2) : t + 3].numpy().mean(axis=2) for t in range(9)], axis=2)
    smoothed = np.isclose(got, smooth, atol=1e-6).all(axis=2)
    untouched = (got == EPOCHS.numpy()).all(axis=2)
    assert (smoothed ^ untouched).all()
    assert 0.2 < smoothed.mean() < 0.4
    assert len(np.unique(smoothed, axis=0)) == 6, "every trial has channels of its own"


def test_frozen_smoothing_goes_with_the_trial_and_the_other_kind_with_the_epoch() -> None:
    some = np.array([4, 1])
    torch.testing.assert_close(augmented(Smoothing(), 1), augmented(Smoothing(), 2), rtol=0, atol=0)
    torch.testing.assert_close(augmented(Smoothing(), 5, some), augmented(Smoothing())[some], rtol=0, atol=0)
    fresh = Smoothing(frozen=False)
    assert not torch.equal(augmented(fresh, 1), augmented(fresh, 2))


def test_dropped_channels_are_zero_and_the_rest_is_as_it_was() -> None:
    got = augmented(ChannelDropout(0.25))
    dropped = (got == 0).all(dim=2)
    assert 0.15 < float(dropped.float().mean()) < 0.35
    torch.testing.assert_close(got[~dropped], EPOCHS[~dropped])


def test_trials_are_shifted_round_by_some_samples_at_most() -> None:
    got = augmented(TimeShift(3))
    shifts = [
        shift
        for one, other in zip(got, EPOCHS, strict=True)
        for shift in range(-3, 4)
        if torch.equal(one, other.roll(shift, dims=1))
    ]
    assert len(shifts) == 6
    assert len(set(shifts)) > 1
    torch.testing.assert_close(augmented(TimeShift(0)), EPOCHS)


def test_noise_has_its_standard_deviation() -> None:
    noise = augmented(GaussianNoise(0.5)) - EPOCHS
    assert float(noise.std()) == pytest.approx(0.5, rel=0.05)
    assert abs(float(noise.mean())) < 0.05


def test_augmentations_follow_each_other_and_leave_the_trials_alone() -> None:
    before = EPOCHS.clone()
    both = augment(EPOCHS, (ChannelDropout(1.0), GaussianNoise(1.0)), np.random.default_rng(0), trials=TRIALS)
    assert float(both.abs().min()) > 0, "noise comes after the channels were dropped"
    torch.testing.assert_close(EPOCHS, before, rtol=0, atol=0)


def test_what_has_not_happened_yet_is_zero() -> None:
    epochs = torch.ones(300, 2, 9)
    got = truncate(epochs, Truncation((2, 5, 9)), np.random.default_rng(0))
    arrived = got.sum(dim=2)
    assert set(arrived.flatten().tolist()) == {2, 5, 9}
    assert (got.diff(dim=2) <= 0).all(), "once it is zero it stays zero"
    assert torch.equal(arrived[:, 0], arrived[:, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Smoothing(4), "an odd number of samples; got 4"),
        (lambda: Smoothing(probability=1.2), "between 0 and 1; got 1.2"),
        (lambda: ChannelDropout(-0.1), "between 0 and 1; got -0.1"),
        (lambda: TimeShift(-1), "0 samples or more; got -1"),
        (lambda: GaussianNoise(-1.0), "0 or more; got -1"),
        (lambda: Truncation(()), "a sample or more; got \\(\\)"),
        (lambda: Truncation((0, 3)), "a sample or more"),
    ],
)
def test_impossible_augmentations_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_every_trial_has_its_part_in_one_row_of_its_picture_and_person() -> None:
    rng = np.random.default_rng(0)
    labels, subjects = rng.integers(5, size=83), rng.integers(2, size=83)
    rows = plan_rows(labels, subjects, 4, np.random.default_rng(1))
    assert sorted(rows[rows >= 0]) == list(range(83))
    for row in rows:
        trials = row[row >= 0]
        assert len(set(labels[trials])) == len(set(subjects[trials])) == 1
    counts = np.unique(subjects * 5 + labels, return_counts=True)[1]
    assert len(rows) == sum(-(-count // 4) for count in counts)
    assert (rows >= 0).sum(axis=1).min() >= 2, "portions are as equal as can be"
    again = plan_rows(labels, subjects, 4, np.random.default_rng(2))
    assert {frozenset(row) for row in rows} != {frozenset(row) for row in again}


def test_rows_of_single_trials_are_a_permutation_and_stay_in_order_without_a_generator() -> None:
    labels = np.repeat(np.arange(3), 4)
    assert sorted(plan_rows(labels, None, 1, np.random.default_rng(0))[:, 0]) == list(range(12))
    np.testing.assert_array_equal(plan_rows(labels, None, 1, None)[:, 0], np.arange(12))
    np.testing.assert_array_equal(plan_rows(labels, None, 4, None), np.arange(12).reshape(3, 4))


def test_one_repeat_of_each_picture_and_person_is_drawn_anew() -> None:
    labels, people = np.repeat([3, 5], 6), np.tile([0, 1], 6)
    rng = np.random.default_rng(0)
    drawn = np.stack([plan_rows(labels, people, 1, rng, one_repeat=True)[:, 0] for _ in range(200)])
    for rows in drawn:
        assert sorted(zip(people[rows], labels[rows], strict=True)) == [(0, 3), (0, 5), (1, 3), (1, 5)]
    assert np.bincount(drawn.ravel(), minlength=12).min() > 45, "each of three repeats a third of the time"
    assert len(np.unique(labels[drawn], axis=0)) == 6, "in any order"
    np.testing.assert_array_equal(plan_rows(labels, None, 1, None, one_repeat=True)[:, 0], [0, 6])
    with pytest.raises(UsageError, match="or several are averaged, but not both"):
        WholeTrialSettings(one_repeat=True, average_repeats=4)
    with pytest.raises(UsageError, match="rise_epochs is 1 or more; got 0"):
        WholeTrialSettings(rise_epochs=0)


def test_rows_are_read_as_means_and_stand_for_their_first_trial() -> None:
    epochs = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float16)
    rows = np.array([[5, 2, 3], [1, -1, -1]])
    got = read_rows(epochs, rows)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], epochs[[5, 2, 3]].astype(np.float32).mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(got[1], epochs[1])
    got[:] = 0
    assert epochs.any(), "what was read is a copy"
    np.testing.assert_array_equal(row_trials(rows), [2, 1])


def test_batches_are_as_equal_as_can_be_and_never_larger() -> None:
    sizes = [len(batch) for batch in batches(np.zeros((101, 1), dtype=np.int64), 25)]
    assert sizes == [21, 20, 20, 20, 20]
    assert [len(batch) for batch in batches(np.zeros((4, 1), dtype=np.int64), 3)] == [2, 2]
