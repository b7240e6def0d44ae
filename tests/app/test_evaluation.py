"""Which pictures a recording and a gallery speak of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.cli import app
from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.evaluation.evaluation import check_pictures, concept_of
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

from ..decoders.bundles import small_bundle


@pytest.mark.parametrize(
    ("name", "concept"),
    [
        ("aardvark_01b", "aardvark"),
        ("aircraft_carrier_06s", "aircraft_carrier"),
        ("00001_aardvark/3", "aardvark"),
        ("tools/hammer", "tools"),
        ("maple leaf", "maple leaf"),
    ],
)
def test_the_concept_is_in_the_name(name: str, concept: str) -> None:
    assert concept_of(name) == concept


def shown(split: str, images: list[str]) -> ArrayRecording:
    """Return a recording of numbered pictures, as THINGS-EEG2 tells of them."""
    n = len(images)
    table = StimulusTable(
        np.arange(n) * 100, np.arange(1, n + 1), image=np.array(images), split=np.array([split] * n)
    )
    return ArrayRecording(
        np.zeros((100 * n, 1)), (Channel("Oz"),), 200.0, table.markers(), name="run", stimuli=table
    )


def test_training_pictures_are_not_scored_against_a_gallery_of_test_pictures(tmp_path: Path) -> None:
    small = small_bundle(labels={"1": "house", "2": "face"})
    names = ("bear_04s", "boat_01b")
    pictures = replace(
        small.manifest,
        gallery=names,
        labels={"1": "bear_04s", "2": "boat_01b"},
        space=EmbeddingSpace("test", "all", 2),
    )
    bundle = Bundle(pictures, small.encoder, small.gallery)
    check_pictures(shown("test", ["00001_bear/bear_04s.jpg", "00002_boat/boat_01b.jpg"]), bundle)
    training = shown("train", ["00001_aardvark/aardvark_01b.jpg", "00001_aardvark/aardvark_02s.jpg"])
    with pytest.raises(
        RecordingError, match=r"train split.*1 is 00001_aardvark/aardvark_01b.jpg there and 'bear_04s'"
    ):
        check_pictures(training, bundle)
    # Categories are named by whoever trains them, not by pictures.
    check_pictures(training, small)
    # Nor does a session replay it: its markers, too, are numbers.
    save_bundle(bundle, tmp_path / "test.bundle")
    store(training, tmp_path / "training.recording")
    replay = ["--replay", tmp_path / "training.recording", "--bundle", tmp_path / "test.bundle", "--headless"]
    with pytest.raises(RecordingError, match="of the train split, and its numbers name other pictures"):
        app([str(token) for token in replay], result_action="return_value")
