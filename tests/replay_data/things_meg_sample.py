"""A small subject of THINGS-MEG: what is shown in a run, and its signal."""

from pathlib import Path

import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

SFREQ_HZ = 1200.0
NAME = "sub-BIGMEG1/ses-01/meg/sub-BIGMEG1_ses-01_task-main_run-01_meg.ds"


def channels(unit: str = "T", n: int = 5) -> tuple[Channel, ...]:
    names = ("MLC11-1609", "MLO12-1609", "MRO11-1609", "MRO22-1609", "MZO02-1609")[:n]
    return tuple(
        Channel(name, "mag", unit, (0.02 * i - 0.04, -0.05, 0.09 + 0.01 * i)) for i, name in enumerate(names)
    )


REFERENCES = (
    Channel("BG1-1609", "ref_meg", "T", (0.0, 0.05, 0.3)),
    Channel("G11-1609", "ref_meg", "T", (0.01, 0.05, 0.3)),
)


def table(session: int, run: int, onsets: np.ndarray) -> StimulusTable:
    """Five training pictures, the two test pictures and a catch trial."""
    first = 100 * session + 10 * run
    ids = np.array([first, first + 1, 7, first + 2, -1, 12, first + 3, first + 4])
    split = np.array([*["train"] * 2, "test", "train", "catch", "test", *["train"] * 2])
    concept = np.array(["ant", "bee", "ant", "cow", "", "dog", "eel", "fox"])
    image = np.array(
        [f"{c}/{c}_{i:02}s.jpg" if c else "catch001.jpg" for c, i in zip(concept, ids, strict=True)]
    )
    n = len(ids)
    return StimulusTable(onsets, ids, concept, image, split, np.full(n, session), np.full(n, run))


def one_run(session: int = 1, run: int = 1) -> ArrayRecording:
    rng = np.random.default_rng(10 * session + run)
    onsets = 600 + 1800 * np.arange(8) + rng.integers(-240, 240, 8)
    both = (*channels(), *REFERENCES)
    data = 1e-12 * rng.standard_normal((16_000, len(both)))
    return ArrayRecording(data, both, SFREQ_HZ, stimuli=table(session, run, onsets))


def events_of(run: Path) -> Path:
    return run.with_name(run.name.replace("_meg.ds", "_events.tsv"))
