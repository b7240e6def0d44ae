"""A small piece of THINGS-EEG2: three training concepts, two test images, parts of sessions."""

from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.layout import Inspection
from decode_stream.replay_data.things_eeg.names import CHANNELS_63
from decode_stream.replay_data.things_eeg.write import write_image_metadata
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

NAMES = CHANNELS_63[::-1]
CONCEPTS = ["aardvark", "abacus", "accordion"]
TEST_CONCEPTS = ["aircraft_carrier", "antelope"]
FILES = {
    "train": [f"{concept}_{k:02}b.jpg" for concept in CONCEPTS for k in range(1, 11)],
    "test": [f"{concept}_06s.jpg" for concept in TEST_CONCEPTS],
}
FOLDERS = {
    "train": [f"{i:05}_{concept}" for i, concept in enumerate(CONCEPTS, 1) for _ in range(10)],
    "test": [f"{i:05}_{concept}" for i, concept in enumerate(TEST_CONCEPTS, 1)],
}


def session_part(seed: int = 0, n: int = 3000, ids: Any = None, split: str = "train") -> ArrayRecording:
    """Return RSVP at 200 ms, in microvolts, with a target among the pictures."""
    rng = np.random.default_rng(seed)
    shown = np.array(rng.permutation(30)[:11] + 1 if ids is None else ids)
    shown = np.insert(shown, min(4, len(shown)), -1)
    return ArrayRecording(
        data=rng.standard_normal((n, 63)) * 20,
        channels=tuple(Channel(name, "eeg", "uV") for name in NAMES),
        sfreq_hz=1000.0,
        stimuli=StimulusTable(
            300 + 200 * np.arange(len(shown)), shown, split=np.where(shown < 0, "target", split)
        ),
    )


def write_images(root: Path) -> None:
    write_image_metadata(root, FOLDERS, FILES)


def levels(inspection: Inspection) -> dict[str, str]:
    return {
        level: " ".join(f.text for f in inspection.findings if f.level == level)
        for level in ("missing", "wrong")
    }
