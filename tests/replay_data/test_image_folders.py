import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decode_stream.replay_data.pictures.coco_tables import coco_captions, coco_number
from decode_stream.replay_data.pictures.image_files import read_picture, thumbnail
from decode_stream.replay_data.pictures.image_folders import list_pictures
from decode_stream.stream.errors import UsageError

RED = np.full((20, 30, 3), (200, 30, 10), np.uint8)


def touch(root: Path, *files: str) -> Path:
    """Make files that are never opened: to list pictures, none is."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    return {p.name: (p.image, p.concept, p.split, p.id) for p in list_pictures(root).pictures}


def test_any_folder_is_listed_by_name(tmp_path: Path) -> None:
    root = touch(
        tmp_path, "b.PNG", "a.jpg", ".hidden.png", "notes.txt", "Thumbs.db", "__MACOSX/x.png", "plain"
    )
    folder = list_pictures(root)
    assert folder.layout == "folder of pictures"
    assert [p.name for p in folder.pictures] == ["a", "b"]
    assert [p.path for p in folder.pictures] == [root / "a.jpg", root / "b.PNG"]
    assert {p.concept for p in folder.pictures} == {None}
    assert folder.notes == ("3 files are no pictures and are left aside: 1 without ending, 1 .db, 1 .txt",)


def test_folders_in_it_say_what_is_shown_and_part_names_that_are_alike(tmp_path: Path) -> None:
    root = touch(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png", "dog/2.jpg", "dog/rex.png")
    assert facts(root) == {
        "cat/1": ("cat/1.png", "cat", None, None),
        "dog/1": ("dog/1.png", "dog", None, None),
        "dog/2.png": ("dog/2.png", "dog", None, None),
        "dog/2.jpg": ("dog/2.jpg", "dog", None, None),
        "rex": ("dog/rex.png", "dog", None, None),
    }
    (note,) = list_pictures(root).notes
    assert note == "2 names are borne by several files and go with their folders: 1, 2"


def test_names_differ_however_files_are_called(tmp_path: Path) -> None:
    files = ("a.png", "a.jpg", "a.png.jpg", "b/a.png/c.jpg", "b/c.png", "b/.d.png")
    folder = list_pictures(touch(tmp_path, *files))
    assert len({p.name for p in folder.pictures}) == len(folder.pictures) == 5


def test_things_is_known_from_any_level(tmp_path: Path) -> None:
    names = [("aardvark", "01b"), ("aardvark", "02b"), ("bat1", "01s"), ("bat1", "02s")]
    root = touch(tmp_path, *(f"object_images/{c}/{c}_{k}.jpg" for c, k in names))
    for level in (root, root / "object_images", root / "object_images" / "bat1"):
        assert list_pictures(level).layout == "THINGS"
    assert facts(root / "object_images")["bat1_02s"] == ("bat1/bat1_02s.jpg", "bat1", None, None)
    touch(tmp_path, "object_images/bat1/cover.jpg")
    assert list_pictures(root).layout == "folder of pictures"


def test_things_eeg2_has_numbers_where_they_follow(tmp_path: Path) -> None:
    folders = [(1, "aardvark"), (3, "abacus")]
    training = [f"training_images/{n:05}_{c}/{c}_{k:02}b.jpg" for n, c in folders for k in range(1, 11)]
    testing = [
        "test_images/00001_aircraft_carrier/aircraft_carrier_06s.jpg",
        "test_images/00200_wheat/wheat_03s.jpg",
    ]
    root = touch(tmp_path / "image_set", *training, *testing, "image_metadata.npy")
    whole = facts(root)
    assert list_pictures(root).layout == "THINGS-EEG2"
    assert whole["abacus_04b"] == ("training_images/00003_abacus/abacus_04b.jpg", "abacus", "train", 24)
    test = facts(root / "test_images")
    assert test["aircraft_carrier_06s"][1:] == ("aircraft_carrier", "test", 1)
    assert test["wheat_03s"] == ("00200_wheat/wheat_03s.jpg", "wheat", "test", 200)
    assert facts(root / "training_images" / "00003_abacus")["abacus_10b"][1:] == ("abacus", "train", 30)
    # With one picture gone, the numbers of its concept are not known, and are not made up.
    (root / training[3]).unlink()
    left = facts(root)
    assert left["aardvark_05b"][3] is None
    assert left["abacus_04b"][3] == 24


def test_coco_is_known_by_its_numbers(tmp_path: Path) -> None:
    later, earlier = (
        ("train2017/000000000009.jpg", "train2017/000000581929.jpg"),
        "COCO_val2014_000000000042.jpg",
    )
    root = touch(tmp_path, *later, f"val2014/{earlier}")
    assert list_pictures(root).layout == "COCO"
    assert facts(root / "train2017")["000000000009"] == ("000000000009.jpg", None, None, 9)
    assert facts(root)["COCO_val2014_000000000042"][3] == 42


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.touch(), lambda p: None])
def test_a_folder_without_pictures_is_refused(make: object, tmp_path: Path) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(UsageError, match="Give the folder that holds the pictures"):
        list_pictures(tmp_path / "x")


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.png", "b/1.png")
    scandir = os.scandir

    def closed(path: str) -> object:
        if Path(path).name == "b":  # as for anyone but root
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UsageError, match=r"b cannot be read: Permission denied\. Check who may read it"):
        list_pictures(tmp_path)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", ".png"),
        ("RGB", ".bmp"),
        ("RGBA", ".png"),
        ("RGBA", ".webp"),
        ("P", ".gif"),
        ("P", ".png"),
        ("CMYK", ".jpg"),
        ("RGB", ".tif"),
    ],
)
def test_colours_come_through_any_form(mode: str, suffix: str, tmp_path: Path) -> None:
    stored = Image.fromarray(RED).quantize(4) if mode == "P" else Image.fromarray(RED).convert(mode)
    stored.save(tmp_path / f"x{suffix}", lossless=True)
    picture = read_picture(tmp_path / f"x{suffix}")
    assert (picture.shape, picture.dtype) == (RED.shape, np.uint8)
    assert abs(picture.astype(int) - RED).max() <= (4 if mode == "CMYK" else 0)


def test_grey_pictures_of_8_and_16_bits_and_two_colours_are_read(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    Image.fromarray(ramp).save(tmp_path / "8.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(ramp).convert("1").save(tmp_path / "1.png")
    for name in ("8.png", "16.png"):
        np.testing.assert_array_equal(read_picture(tmp_path / name), np.repeat(ramp[..., None], 3, axis=2))
    assert set(np.unique(read_picture(tmp_path / "1.png"))) == {0, 255}


def test_what_is_transparent_lies_on_white_and_pictures_stand_upright(tmp_path: Path) -> None:
    clear = np.dstack([RED, np.zeros((20, 30), np.uint8)])
    clear[:, :10, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    picture = read_picture(tmp_path / "clear.png")
    assert (picture[:, 10:] == 255).all()
    np.testing.assert_array_equal(picture[:, :10], RED[:, :10])
    turned = Image.fromarray(RED)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert read_picture(tmp_path / "turned.png").shape == (30, 20, 3)


def test_files_that_are_no_pictures_are_told_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)).save(
        buffer, "JPEG"
    )
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:900])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name, words in {
        "cut.jpg": "cannot be read.*cut off",
        "text.png": "no picture that can be read",
        "empty.png": r"empty \(0 bytes\)",
        "float.tif": "floating-point values",
        "gone.png": "cannot be read",
    }.items():
        with pytest.raises(UsageError, match=words) as refused:
            read_picture(tmp_path / name)
        assert name in str(refused.value)
    Image.fromarray(RED).save(tmp_path / "large.png")
    for limit in (100, 400):  # far beyond the limit, and just beyond it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UsageError, match=r"large\.png is too large"):
            read_picture(tmp_path / "large.png")


def test_a_thumbnail_keeps_the_shape() -> None:
    with Image.open(io.BytesIO(thumbnail(RED, 96))) as file:
        assert (file.format, file.size) == ("PNG", (96, 64))
    with Image.open(io.BytesIO(thumbnail(np.zeros((1, 500, 3), np.uint8), 96))) as file:
        assert file.size == (96, 1)


def test_captions_of_coco_are_read_by_number(tmp_path: Path) -> None:
    said = [(9, "A cat. "), (9, "One cat"), (42, "Sea")]
    captions = {"images": [], "annotations": [{"id": 7, "image_id": n, "caption": c} for n, c in said]}
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    assert coco_captions(tmp_path / "captions.json") == {9: ("A cat.", "One cat"), 42: ("Sea",)}
    assert [
        coco_number(f"val/{name}.jpg") for name in ("000000000009", "COCO_val2014_000000000042", "9")
    ] == [
        9,
        42,
        None,
    ]
    for text in ("", "{}", json.dumps(captions)[:60]):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UsageError, match="not a file of COCO captions such as captions_train2017.json"):
            coco_captions(tmp_path / "bad.json")
    with pytest.raises(UsageError, match="cannot be read.*annotations_trainval2017.zip"):
        coco_captions(tmp_path / "gone.json")
