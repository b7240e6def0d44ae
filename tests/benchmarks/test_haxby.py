"""Decoders of fMRI beside logistic regression, on blocks of categories."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.haxby import block_means, decoded, logistic_hits

from decode_stream.decoders.recipe import category_gallery
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

NAMES = ("cat", "house", "shoe")
TR_S, N_VOXELS, N_RUNS = 2.5, 12, 5


def runs() -> list[ArrayRecording]:
    """Return runs of six blocks of 22.5 s, whose voxels answer after two volumes, on a level that drifts."""
    rng = np.random.default_rng(0)
    answer = rng.standard_normal((len(NAMES), N_VOXELS))
    made = []
    for number in range(N_RUNS):
        which = rng.permutation(np.arange(6) % len(NAMES))
        onsets = 12 + 16 * np.arange(6)
        volumes = 100.0 + number + rng.standard_normal((130, N_VOXELS))
        for at, k in zip(onsets, which, strict=True):
            volumes[at + 2 : at + 11] += answer[k]
        made.append(
            ArrayRecording(
                volumes.astype(np.float32),
                tuple(Channel(f"{i},0,0", "voxel", "") for i in range(N_VOXELS)),
                1 / TR_S,
                markers=tuple((int(at), NAMES[k]) for at, k in zip(onsets, which, strict=True)),
                name=f"run-{number}",
                stimuli=StimulusTable(onsets, which),
            )
        )
    return made


@pytest.mark.parametrize("name", ["ridge", "logistic regression"])
def test_what_a_run_shows_is_told_from_the_others(name: str) -> None:
    recordings = runs()
    held_out = decoded(recordings, category_gallery(recordings, None), name, None)
    assert np.bincount(held_out.runs).tolist() == [6] * N_RUNS
    assert hits(held_out.known[:, 0], held_out.labels).mean() > 0.8


def test_raw_means_are_taken_around_their_run() -> None:
    recordings = runs()
    means, labels, of = block_means(recordings, category_gallery(recordings, None))
    assert means[of == 3].mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert logistic_hits(means, labels, of).mean() > 0.8
    # Without their own labels nothing is told.
    rng = np.random.default_rng(0)
    assert logistic_hits(means, rng.permutation(labels), of).mean() < 0.7


@pytest.mark.real
def test_ridge_tells_real_blocks_apart(real_data: Path) -> None:
    recordings = [
        open_recording(
            real_data / f"fmri_haxby2001/sub001/BOLD/task001_run00{run}/bold_1slice.nii.gz", mask="all"
        )
        for run in range(1, 10)
    ]
    held_out = decoded(recordings, category_gallery(recordings, None), "ridge", None)
    assert len(held_out.labels) == 72
    # Chance is 9, and logistic regression on the same features has 37.
    assert hits(held_out.known[:, 0], held_out.labels).sum() >= 30
