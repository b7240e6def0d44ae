"""Voxels that hold no data, or no numbers, in some recordings: found before a trial is cut, and out of all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders.design import design
from decode_stream.decoders.recipe import Recipe, category_gallery, cut, scaled
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

N_TRIALS, N_VOXELS = 12, 9
NAMES = {"1": "face", "2": "house"}


def betas(n: int = 4) -> list[ArrayRecording]:
    rng = np.random.default_rng(0)
    return [
        ArrayRecording(
            10.0 + rng.standard_normal((N_TRIALS, N_VOXELS)).astype(np.float32),
            tuple(Channel(f"{i},0,0", "voxel", "%") for i in range(N_VOXELS)),
            0.25,
            markers=tuple((i, str(1 + i % 2)) for i in range(N_TRIALS)),
            name=f"session-{number}",
            epoch=Epoch(1, 0, in_order=True),
        )
        for number in range(1, n + 1)
    ]


def recipe(made: Sequence[ArrayRecording], told: list[str] | None = None) -> Recipe:
    plain = design(made, "fmri", None, category_gallery(made, NAMES))
    return scaled(plain, made, report=None if told is None else told.append)


def test_voxels_without_data_in_some_session_are_named_and_silent_in_all() -> None:
    made, told = betas(), list[str]()
    made[2].data[:, 3] = 0.0
    made[0].data[:, 7] = -4.25
    for number, run in enumerate(made):
        run.data[:, 8] = 7.0 * (number > 1)  # says which session it is, and nothing else
        run.data[:, 1] = 5.0  # in none at all: nothing is lost by it
    done = recipe(made, told)
    assert done.chain.silent == ("1,0,0", "3,0,0", "7,0,0", "8,0,0")
    assert told == [
        "3 voxels (3,0,0, 7,0,0, 8,0,0) of 9 without data in session-1, session-2, session-3, session-4: left out of "
        "all, and when live"
    ]
    windows = cut(done, made).windows
    assert not windows[:, :, [1, 3, 7, 8]].any()
    assert windows[:, :, [0, 2, 4, 5, 6]].all()
    assert recipe(betas()).chain.silent == ()


def test_a_session_of_two_trials_says_nothing_of_a_voxel() -> None:
    made = betas()
    made[3] = ArrayRecording(
        made[3].data[:2] * 0,
        made[3].channels,
        0.25,
        markers=((0, "1"), (1, "2")),
        name="short",
        epoch=made[3].epoch,
    )
    assert recipe(made).chain.silent == ()


def test_a_session_without_data_is_refused() -> None:
    made = betas()
    made[1].data[:, :5] = 0.0
    with pytest.raises(
        RecordingError, match="5 of 9 voxels never change in session-2: it holds no data there"
    ):
        recipe(made)


def test_voxels_of_which_none_has_data_everywhere_are_refused() -> None:
    made = betas()
    for number, run in enumerate(made):
        run.data[:, 2 * number : 2 * number + 3] = 0.0
    with pytest.raises(RecordingError, match="None of the 9 voxels holds data in every recording"):
        recipe(made)


def test_a_voxel_that_is_no_number_in_a_session_is_refused_by_name() -> None:
    made = betas()
    made[1].data[:, 4] = np.nan
    made[1].data[3] = np.nan
    wanted = (
        r"session-2: values .* in 12 of 12 samples, in 1 voxel \(4,0,0\) of 9; .*--mask .*leave out session-2"
    )
    with pytest.raises(RecordingError, match=wanted):
        recipe(made)
    for run in made:
        run.data[:, 4] = np.nan
    with pytest.raises(RecordingError, match=r"session-1: .* in 1 voxel \(4,0,0\)"):
        recipe(made)


def test_few_trials_that_are_no_numbers_are_left_out_alone_and_told() -> None:
    made, told = betas(), list[str]()
    made[1].data[[2, 5, 9], 4] = np.nan
    done = recipe(made, told)
    assert told == [
        "session-2: values are not numbers in 3 of 12 samples, in 1 voxel (4,0,0) of 9: trials on these are left out"
    ]
    trials = cut(done, made)
    assert trials.left_out == {"not finite": 3}
    assert len(trials.labels) == 4 * N_TRIALS - 3


def with_test(made: Sequence[ArrayRecording], epoch: Epoch | None) -> list[ArrayRecording]:
    """Return the recordings with every third trial of a test picture, whose marker the gallery lacks."""
    split = np.where(np.arange(N_TRIALS) % 3, "train", "test")
    markers = tuple((i, str(1 + i % 2) if i % 3 else "99") for i in range(N_TRIALS))
    table = StimulusTable(np.arange(N_TRIALS), split=split)
    return [replace(one, markers=markers, stimuli=table, epoch=epoch) for one in made]


def test_betas_of_test_pictures_tell_neither_level_nor_spread_nor_silence() -> None:
    made, told = with_test(betas(), Epoch(1, 0, in_order=True)), list[str]()
    made[0].data[np.arange(N_TRIALS) % 3 > 0, 2] = 0.0
    before = recipe(made, told).chain
    assert before.silent == ("2,0,0",)
    assert told == ["1 voxel (2,0,0) of 9 without data in session-1: left out of all, and when live"]
    for one in made:
        one.data[::3] *= -50.0
    assert recipe(made).chain == before
    for one in made:
        one.data[1] *= -50.0
    assert recipe(made).chain != before


def test_volumes_of_test_pictures_are_told() -> None:
    made, told = with_test(betas(), None), list[str]()
    recipe(made, told)
    (line,) = told
    assert line.startswith(
        "Volumes of 16 trials of test pictures, which are not trained on, still tell level"
    )
    told.clear()
    recipe([replace(one, epoch=None) for one in betas()], told)
    assert not told
