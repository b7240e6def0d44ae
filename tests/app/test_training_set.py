"""What `train` is given: whose decoder it is, and which pictures may be trained on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decode_stream.config import TrainConfig
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import Target, TextTarget
from decode_stream.pictures.picture_embeddings import PictureEmbeddings
from decode_stream.pictures.shown_pictures import ShownPicture
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel
from decode_stream.training import training_set
from decode_stream.training.distinct import distinct_names
from decode_stream.training.training_set import _chosen_subject, _picture_gallery, open_training_set

CONCEPTS = ("cat", "cat", "dog", "dog", "cow", "cow")


def recording(ids: Sequence[int], splits: Sequence[str], name: str = "run") -> ArrayRecording:
    onset = 10 * np.arange(len(ids))
    table = StimulusTable(onset, np.array(ids), split=np.array(splits))
    return ArrayRecording(np.zeros((100, 1)), (Channel("Oz", "eeg", "V"),), 100.0, stimuli=table, name=name)


def embeddings(*rows: Sequence[int]) -> PictureEmbeddings:
    names = tuple(f"{concept} {i % 2}" for i, concept in enumerate(CONCEPTS))
    pictures = tuple(
        ShownPicture(name, concept=concept) for name, concept in zip(names, CONCEPTS, strict=True)
    )
    space = EmbeddingSpace("m", "l", 2)
    each = tuple(np.array(row) for row in rows)
    return PictureEmbeddings(names, np.arange(12, dtype=np.float32).reshape(6, 2), space, each, pictures)


def test_pictures_of_the_test_set_and_of_its_concepts_are_kept_out() -> None:
    run = recording([1, 3, 5, 6, 99], ["train", "train", "train", "test", "catch"])
    gallery = _picture_gallery([run], embeddings([0, 2, 4, 5, -1]))
    assert gallery.names == ("cat 0", "dog 0")  # a cow was in the test set
    assert gallery.labels == {"1": "cat 0", "3": "dog 0"}
    assert gallery.concepts == ("cat", "dog")
    assert gallery.embeddings.tolist() == [[0, 1], [4, 5]]


def test_where_there_is_only_a_test_set_it_is_trained_on() -> None:
    gallery = _picture_gallery([recording([1, 2], ["test", "test"])], embeddings([0, 1]))
    assert gallery.names == ("cat 0", "cat 1")


def test_a_recording_of_a_test_set_is_refused_beside_others() -> None:
    runs = [recording([1, 2], ["train", "train"]), recording([1], ["test"], "test.npy")]
    with pytest.raises(RecordingError, match=r"test\.npy shows no picture that may be trained on"):
        _picture_gallery(runs, embeddings([0, 2], [4]))


def test_a_number_that_stands_for_two_pictures_is_refused() -> None:
    runs = [recording([1, 2], ["train", "train"]), recording([1], ["train"], "other")]
    with pytest.raises(RecordingError, match=r"Number 1 is cat 0 in one recording and cow 0 in other"):
        _picture_gallery(runs, embeddings([0, 2], [4]))


def test_embeddings_that_do_not_fit_into_memory_are_refused_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("decode_stream.training.training_set.free_bytes", lambda: 30)
    with pytest.raises(UsageError, match="2 pictures of 2 numbers each take .* GB in training"):
        _picture_gallery([recording([1, 2], ["train", "train"])], embeddings([0, 1]))
    monkeypatch.setattr("decode_stream.training.training_set.free_bytes", lambda: 32)
    assert _picture_gallery([recording([1, 2], ["train", "train"])], embeddings([0, 1])).names


def test_whose_decoder_it_is_must_be_said_where_there_are_several_people() -> None:
    assert _chosen_subject(["sub-01", "sub-01"], None) == "sub-01"
    assert _chosen_subject(["sub-01", "sub-02"], "sub-02") == "sub-02"
    with pytest.raises(UsageError, match=r"2 people: sub-01, sub-02.*--subject"):
        _chosen_subject(["sub-01", "sub-02"], None)
    with pytest.raises(UsageError, match=r"--subject is 'sub-03'.*: sub-01, \(nobody named\)"):
        _chosen_subject(["sub-01", ""], "sub-03")


def test_captions_of_the_command_line_are_what_a_target_of_texts_embeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(texts: Sequence[str]) -> np.ndarray:
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    def pixels(pictures: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[1.0, 0.0] for _ in pictures], np.float32)

    space = EmbeddingSpace("lengths", "words", 2)
    target = TextTarget("words", space, words, Target("pixels", space, pixels), 10.0)
    monkeypatch.setattr(training_set, "open_target", lambda name: target)
    shown = [f"{number:012}" for number in (1, 2)]
    (tmp_path / "images").mkdir()
    for name in shown:
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    said = [{"image_id": 1, "caption": "a cat"}, {"image_id": 2, "caption": "an elephant"}]
    (tmp_path / "captions_val2017.json").write_text(json.dumps({"annotations": said}))
    channels, markers = (Channel("Oz", "eeg", "V"),), ((0, shown[0]), (10, shown[1]))
    run = ArrayRecording(np.zeros((100, 1)), channels, 100.0, markers)
    monkeypatch.setattr(training_set, "open_recording", lambda path, **options: run)
    config = TrainConfig(
        modality="eeg",
        target="open_clip_text:model:weights",
        images=tmp_path / "images",
        captions=tmp_path,
        out=tmp_path / "x.bundle",
    )
    path = tmp_path / "run.csv"
    path.write_text("a run")
    made = open_training_set([path], config, lambda done, of: None).gallery.embeddings
    assert (made[:, 0] / made[:, 1]).round(3).tolist() == [len("a cat"), len("an elephant")]


def test_pictures_are_looked_for_before_betas_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pixels(pictures: Sequence[np.ndarray]) -> np.ndarray:
        return np.zeros((len(pictures), 2), np.float32)

    def betas(*given: object) -> None:
        raise AssertionError("betas were made first")

    target = Target("pixels", EmbeddingSpace("pixels", "mean", 2), pixels)
    monkeypatch.setattr(training_set, "open_target", lambda name: target)
    monkeypatch.setattr(training_set, "training_betas", betas)
    channels, shown = (Channel("0,0,0", "voxel", ""),), StimulusTable(np.array([3, 9]), np.array([1, 2]))
    run = ArrayRecording(np.zeros((40, 1)), channels, 0.5, ((3, "1"), (9, "2")), stimuli=shown)
    monkeypatch.setattr(training_set, "open_recording", lambda path, **options: run)
    (tmp_path / "run.xdf").write_text("a run")
    config = TrainConfig(modality="fmri", target="pixels", hrf="glover", out=tmp_path / "x.bundle")
    with pytest.raises(UsageError, match="pictures that were shown are not with the recordings"):
        open_training_set([tmp_path / "run.xdf"], config, lambda done, of: None)


def test_recordings_of_the_same_name_are_called_by_as_many_folders_as_differ() -> None:
    paths = [Path(f"/data/{where}/run-1.fif") for where in ("a/mon/eeg", "b/mon/eeg", "c/eeg")]
    paths += [Path("/data/c/eeg/run-2.fif"), Path("/data/d/run-1.fif")]
    assert distinct_names([path.name for path in paths], paths) == [
        "a/mon/eeg/run-1.fif",
        "b/mon/eeg/run-1.fif",
        "c/eeg/run-1.fif",
        "run-2.fif",
        "d/run-1.fif",
    ]
    assert distinct_names(["run", "walk"], paths[:2]) == ["run", "walk"]
