"""From recordings to embeddings: which picture was shown, where it lies, and what it is embedded as."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import Target, TextTarget, clamped
from decode_stream.pictures.picture_embeddings import captions_of, embed_pictures, picture_embeddings
from decode_stream.pictures.shown_pictures import ShownPicture, find_pictures, shown_pictures
from decode_stream.pictures.stored_target import stored_target
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.nsd.pictures import PICTURES
from decode_stream.replay_data.nsd.write import write_pictures
from decode_stream.stream.errors import UsageError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

COLOURS = EmbeddingSpace("mean colours", "pixels", 3)


def mean_colours(pictures: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([p.mean(axis=(0, 1)) for p in pictures], np.float32).reshape(-1, 3)


TARGET = Target("colours", COLOURS, mean_colours)


def recording(name: str = "run", **columns: object) -> ArrayRecording:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return ArrayRecording(
        data=np.zeros((10 * n, 1)),
        channels=(Channel("C1", "eeg", "uV"),),
        sfreq_hz=100.0,
        stimuli=StimulusTable(10 * np.arange(n), **columns),  # type: ignore[arg-type]
        name=name,
    )


def colour(i: int) -> tuple[int, int, int]:
    return (i, 100 + i, 200)


def write(folder: Path, images: Sequence[str]) -> None:
    """Write pictures of one colour each, by their place in the list."""
    for i, image in enumerate(images):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour(i)).save(folder / image)


EEG2 = [f"training_images/{c:05}_thing{c}/thing{c}_{k:02}b.png" for c in (1, 2) for k in range(1, 11)] + [
    "test_images/00001_cat/cat_06s.png",
    "test_images/00002_dog/dog_01b.png",
]


def test_pictures_are_found_by_number_and_by_file(tmp_path: Path) -> None:
    write(tmp_path / "image_set", EEG2)
    by_number = recording(id=[12, -1, 3, 12, 2], split=["train", "target", "train", "train", "test"])
    # As variants have it: another name of the folder above, another ending.
    by_file = recording(
        image=["train_images/00001_thing1/thing1_03b.jpg", "", "test_images\\00002_dog\\dog_01b.jpg"],
        id=[3, -1, 2],
        split=["train", "train", "test"],
    )
    found = picture_embeddings([by_number, by_file], TARGET, tmp_path / "image_set", cache=tmp_path / "cache")
    # By folder and name: test before training.
    assert found.names == ("dog_01b", "thing1_03b", "thing2_02b")
    assert [rows.tolist() for rows in found.rows_by_recording] == [[2, -1, 1, 2, 0], [1, -1, 0]]
    np.testing.assert_array_equal(found.embeddings, [colour(21), colour(2), colour(11)])
    assert [picture.concept for picture in found.pictures] == ["dog", "thing1", "thing2"]
    assert [(picture.split, picture.id) for picture in found.pictures] == [
        ("test", 2),
        ("train", 3),
        ("train", 12),
    ]
    thumbnail = found.thumbnail(1, 4)
    assert thumbnail is not None
    assert thumbnail.startswith(b"\x89PNG")
    subject = tmp_path / "raw_data" / "sub-01" / "ses-01" / "raw.npy"
    subject.parent.mkdir(parents=True)
    near = picture_embeddings([by_number], TARGET, None, near=[subject], cache=tmp_path / "cache")
    assert near.names == found.names


def test_pictures_that_are_missing_are_named(tmp_path: Path) -> None:
    write(tmp_path / "image_set", EEG2)
    shown = recording(id=[5, 99, 98], split=["train", "train", "train"])
    with pytest.raises(
        UsageError, match=r"2 of 3 pictures .* not in .*image_set.*: train picture 99, train picture 98"
    ):
        picture_embeddings([shown], TARGET, tmp_path / "image_set", cache=tmp_path)
    many = recording(image=[f"x/{i}.png" for i in range(9)])
    with pytest.raises(
        UsageError, match=r"9 of 9 .*: x/0.png, x/1.png, x/2.png, x/3.png, x/4.png and 4 more. Give"
    ):
        picture_embeddings([many], TARGET, tmp_path / "image_set", cache=tmp_path)
    with pytest.raises(UsageError, match="run: nothing tells which pictures were shown"):
        picture_embeddings([recording(id=[-1, -1])], TARGET, tmp_path / "image_set", cache=tmp_path)
    with pytest.raises(UsageError, match="are not with the recordings. Give their folder with --images"):
        picture_embeddings([shown], TARGET, None, cache=tmp_path)


def test_the_same_name_in_another_folder_is_another_picture(tmp_path: Path) -> None:
    write(tmp_path / "all", ["faces/1.png", "houses/1.png"])
    found = shown_pictures([recording(image=["houses/1.jpg", "faces/1.jpg"])], tmp_path / "all")
    assert [p.name for p in found.pictures] == ["faces/1", "houses/1"]
    assert found.rows[0].tolist() == [1, 0]
    with pytest.raises(UsageError, match="1 of 1 pictures"):
        shown_pictures([recording(image=["cars/1.png"])], tmp_path / "all")
    with pytest.raises(UsageError, match="or cannot be told apart there: 1.png"):
        shown_pictures([recording(image=["1.png"])], tmp_path / "all")
    # In a folder without any below it the name is enough, but not for two pictures.
    assert len(shown_pictures([recording(image=["faces/1.png"])], tmp_path / "all" / "faces").pictures) == 1
    with pytest.raises(UsageError, match="2 of 2 pictures"):
        shown_pictures([recording(image=["faces/1.png", "houses/1.png"])], tmp_path / "all" / "faces")


def test_numbers_of_nsd_are_not_those_of_coco(tmp_path: Path) -> None:
    write(tmp_path / "train2017", ["000000000009.png", "000000000025.png"])
    with pytest.raises(UsageError, match="1 of 1 pictures"):
        shown_pictures([recording(id=[9], split=["train"])], tmp_path / "train2017")
    # A laboratory's markers may be COCO's numbers; and NSD's table may name COCO's files.
    assert shown_pictures([recording(id=[9])], tmp_path / "train2017").pictures[0].name == "000000000009"
    named = recording(id=[7], split=["train"], image=["train2017/000000000025.jpg"])
    (picture,) = shown_pictures([named], tmp_path / "train2017").pictures
    assert (picture.name, picture.split, picture.id) == ("000000000025", "train", 7)


def test_markers_may_be_the_names_of_pictures(tmp_path: Path) -> None:
    write(tmp_path / "zoo", ["cat.png", "dog.png"])
    markers = [(0, "dog"), (10, "cat"), (20, "dog")]
    shown = ArrayRecording(
        data=np.zeros((30, 1)),
        channels=(Channel("C1", "eeg", "uV"),),
        sfreq_hz=100.0,
        stimuli=StimulusTable.of_markers(markers),
        markers=tuple(markers),
    )
    found = shown_pictures([shown], tmp_path / "zoo")
    assert [p.name for p in found.pictures] == ["cat", "dog"]
    assert found.rows[0].tolist() == [1, 0, 1]


def test_pictures_of_nsd_come_from_its_file(tmp_path: Path) -> None:
    bricks = [np.full((4, 4, 3), i, np.uint8) for i in range(6)]
    write_pictures(tmp_path, bricks, 6, 4)
    shown = recording(id=[4, 1, 4], split=["train", "test", "train"], image=["a/1.jpg", "a/2.jpg", "a/1.jpg"])
    betas = tmp_path / "nsddata_betas" / "ppdata" / "subj01"
    betas.mkdir(parents=True)
    assert find_pictures([betas]) == tmp_path
    for images in (tmp_path, tmp_path / PICTURES):
        found = picture_embeddings([shown], TARGET, images, cache=tmp_path / "cache")
        assert found.names == ("nsd00001", "nsd00004")
        np.testing.assert_array_equal(found.embeddings, [[1, 1, 1], [4, 4, 4]])
        assert found.rows_by_recording[0].tolist() == [1, 0, 1]
    with pytest.raises(UsageError, match="holds the pictures 0 to 5, and not 6"):
        picture_embeddings([recording(id=[6])], TARGET, tmp_path, cache=tmp_path / "cache")
    with pytest.raises(UsageError, match="a/9.jpg. NSD's pictures go by number"):
        picture_embeddings([recording(image=["a/9.jpg"])], TARGET, tmp_path, cache=tmp_path / "cache")


#: Directions for words, so that likeness is known.
WORDS = {"cat": [1, 0, 0], "dog": [0, 1, 0], "red": [3, 3, 0]}


def text_target() -> TextTarget:
    def words(texts: Sequence[str]) -> np.ndarray:
        return np.array([WORDS[text.split()[-1]] for text in texts], np.float32).reshape(-1, 3)

    return TextTarget("words", EmbeddingSpace("words", "text embedding", 3), words, TARGET, 10.0)


def test_captions_are_screened_against_their_picture(tmp_path: Path) -> None:
    folder = tmp_path / "val2017"
    folder.mkdir()
    for number, shade in ((9, (250, 0, 0)), (25, (90, 100, 0))):
        Image.new("RGB", (8, 8), shade).save(folder / f"{number:012}.png")
    said = [(9, "a cat"), (9, "a dog"), (25, "red"), (25, "a dog"), (77, "else")]
    (tmp_path / "c.json").write_text(
        json.dumps({"annotations": [{"image_id": n, "caption": text} for n, text in said]})
    )
    shown = recording(image=["val2017/000000000025.jpg", "val2017/000000000009.jpg"])
    found = picture_embeddings(
        [shown], text_target(), folder, captions=tmp_path / "c.json", cache=tmp_path / "cache"
    )
    np.testing.assert_allclose(found.embeddings, [[1, 0, 0], [0.5**0.5, 0.5**0.5, 0]], rtol=1e-5)
    assert found.captions is not None
    assert found.captions.starts.tolist() == [0, 1, 2]
    # A dataset may be spread over several files of captions.
    for part, kept in (("val", said[:2]), ("train", said[2:])):
        annotations = [{"image_id": n, "caption": text} for n, text in kept]
        (tmp_path / f"captions_{part}2017.json").write_text(json.dumps({"annotations": annotations}))
    of_both = captions_of(found.pictures, tmp_path)
    assert (
        of_both == captions_of(found.pictures, tmp_path / "c.json") == [("a cat", "a dog"), ("red", "a dog")]
    )
    with pytest.raises(UsageError, match="no caption for 1 of 2 pictures: 000000000025.png"):
        captions_of(found.pictures, tmp_path / "captions_val2017.json")


def test_without_captions_the_concept_is_the_text(tmp_path: Path) -> None:
    shown = recording(id=[1, 2], concept=["cat", "dog"])
    found = picture_embeddings([shown], clamped(text_target(), 0.5), None, cache=tmp_path)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.embeddings, [[1, 0, 0], [0, 1, 0]])
    assert found.names == ("1", "2")
    assert found.thumbnail(0, 4) is None
    assert found.space.clamp == 0.5
    with pytest.raises(
        UsageError, match=r"Nothing is said about 2 of 2 pictures: 1, 2\. Give COCO's captions"
    ):
        picture_embeddings([recording(id=[1, 2])], text_target(), None, cache=tmp_path)


def test_rows_that_were_computed_elsewhere_go_by_name_or_number(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.save(tmp_path / "named.npy", rows)
    (tmp_path / "named.txt").write_text("cat_06s.jpg\ndog_01b.jpg\na\nb\n")
    target = stored_target(f"file:{tmp_path / 'named.npy'}")
    by_file = recording(image=["test_images/00002_dog/dog_01b.jpg", "test_images/00001_cat/cat_06s.jpg"])
    found = picture_embeddings([by_file], target, None, cache=tmp_path)
    np.testing.assert_array_equal(found.embeddings, rows[[1, 0]])
    assert found.names == ("dog_01b", "cat_06s")
    with pytest.raises(UsageError, match=r"1 of 2 pictures have no row in .*named.npy: x/owl.jpg\. Add"):
        picture_embeddings([recording(image=["x/a.jpg", "x/owl.jpg"])], target, None, cache=tmp_path)
    features = np.arange(400, dtype=np.float32).reshape(200, 1, 2)
    np.save(tmp_path / "test.npy", features)
    numbered = stored_target(f"file:{tmp_path / 'test.npy'}")
    shown = [ShownPicture("dog_01b", "", "", "test", 2), ShownPicture("cat", "", "", "test", 200)]
    np.testing.assert_array_equal(embed_pictures(shown, numbered)[0], features[[1, 199], 0])
    with pytest.raises(UsageError, match="1 of 1 pictures have no row"):
        embed_pictures([ShownPicture("x", "", "", "train", 2)], numbered)
