"""Decoding against a lab's own pictures: another gallery, the same decoder."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decode_stream.cli import main
from decode_stream.config import GalleryConfig
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.targets.target import Target
from decode_stream.pictures import gallery as module
from decode_stream.pictures.gallery import gallery_labels, make_gallery
from decode_stream.pictures.targets import objects_space, open_target
from decode_stream.replay_data.pictures.image_folders import PictureFile
from decode_stream.replay_data.pictures.scenes import compose, draw_scenes, object_names
from decode_stream.stream.errors import BundleError, UsageError

from ..decoders.bundles import small_bundle

COLOURS = EmbeddingSpace("mean colours", "pixels", 3, "none")


def mean_colours(pictures: list[np.ndarray]) -> np.ndarray:
    return np.array([p.mean(axis=(0, 1)) for p in pictures], np.float32)


@pytest.fixture
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a target that needs no network: the mean colour of a picture."""
    monkeypatch.setattr(module, "open_target", lambda name: Target(name, COLOURS, mean_colours))  # type: ignore[arg-type]


def bundle_of(space: EmbeddingSpace, path: Path) -> Bundle:
    """Save a bundle whose encoder gives embeddings of a space."""
    weights = np.random.default_rng(0).standard_normal((2 * 20, space.dimension)).astype(np.float32)
    small = small_bundle(weights=weights)
    bundle = Bundle(
        replace(small.manifest, space=space),
        small.encoder,
        np.eye(2, space.dimension, dtype=np.float32),
        {"face": b"\x89PNG"},
    )
    return save_bundle(bundle, path)


def write_pictures(folder: Path, n: int = 4) -> list[str]:
    folder.mkdir(parents=True)
    for i, scene in enumerate(draw_scenes(n, seed=1)):
        Image.fromarray(compose(scene, 100 + 10 * i)).save(folder / f"picture{i}.png")
    return [f"picture{i}" for i in range(n)]


def test_the_gallery_is_replaced_and_the_decoder_is_not(
    tmp_path: Path, by_colour: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bundle_of(COLOURS, tmp_path / "lab.bundle.zip")
    names = write_pictures(tmp_path / "zoo")
    assert (
        make_gallery(tmp_path / "zoo", GalleryConfig(target="colours", bundle=tmp_path / "lab.bundle.zip"))
        == 0
    )
    assert "4 pictures (folder of pictures)" in capsys.readouterr().out
    after = load_bundle(tmp_path / "lab-zoo.bundle.zip")
    assert after.manifest.name == "lab-zoo"
    assert list(after.manifest.gallery) == names
    assert after.encoder == before.encoder
    for kept in ("calibration", "chain", "window", "space", "n_latencies", "modality"):
        assert getattr(after.manifest, kept) == getattr(before.manifest, kept)
    assert after.manifest.labels == {}
    assert "not on this one of 4" in after.manifest.training.protocol
    pictures = [np.asarray(Image.open(tmp_path / "zoo" / f"{name}.png")) for name in names]
    np.testing.assert_array_equal(after.gallery, mean_colours(pictures))
    assert set(after.thumbnails) == set(names)
    for png in after.thumbnails.values():
        assert Image.open(io.BytesIO(png)).size == (96, 96)
    Encoder(after)  # it runs
    # The bundle that was given is as it was.
    assert load_bundle(tmp_path / "lab.bundle.zip").sha256 == before.sha256


def test_objects_are_found_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle_of(objects_space(), tmp_path / "demo")
    for concept in (3, 77, 140):
        folder = tmp_path / "things" / object_names()[concept]
        folder.mkdir(parents=True)
        Image.fromarray(compose(draw_scenes(1, 5, [concept])[0], 90)).save(folder / "1.png")
    arguments = [
        "gallery",
        str(tmp_path / "things"),
        "--target",
        "objects",
        "--bundle",
        str(tmp_path / "demo"),
    ]
    monkeypatch.setattr(sys, "argv", ["decode-stream", *arguments, "--out", str(tmp_path / "new")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    made = load_bundle(tmp_path / "new")
    assert set(made.manifest.gallery) == {f"{object_names()[c]}/1" for c in (3, 77, 140)}
    assert made.gallery.shape == (3, 192)


def test_a_bundle_is_replaced_only_when_asked(tmp_path: Path, by_colour: None) -> None:
    bundle_of(COLOURS, tmp_path / "lab")
    write_pictures(tmp_path / "zoo")
    config = GalleryConfig(target="colours", bundle=tmp_path / "lab", out=tmp_path / "lab")
    with pytest.raises(UsageError, match="exists already"):
        make_gallery(tmp_path / "zoo", config)
    assert make_gallery(tmp_path / "zoo", replace(config, overwrite=True)) == 0
    assert len(load_bundle(tmp_path / "lab").manifest.gallery) == 4
    with pytest.raises(UsageError, match="is not a bundle, and --overwrite replaces nothing else"):
        make_gallery(tmp_path / "zoo", replace(config, out=tmp_path / "zoo", overwrite=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "open_clip ViT-B-32 aabbccddeeff"}, "on model 'open_clip ViT-B-32 aabbccddeeff', not"),
        ({"layer": "tokens"}, "layer 'tokens', not 'pixels'"),
        ({"norm": "unit"}, "norm 'unit', not 'none'"),
        ({"dimension": 5}, "dimension 5, not 3"),
        ({"clamp": 1.5}, "clamp 1.5, not None"),
        ({"preparation": "squash"}, "preparation of pictures 'squash', not ''"),
    ],
)
def test_another_space_is_refused_in_words(
    changes: dict[str, object], words: str, tmp_path: Path, by_colour: None
) -> None:
    bundle_of(replace(COLOURS, **changes), tmp_path / "lab")  # type: ignore[arg-type]
    write_pictures(tmp_path / "zoo")
    with pytest.raises(BundleError) as refused:
        make_gallery(tmp_path / "zoo", GalleryConfig(target="colours", bundle=tmp_path / "lab"))
    assert words in str(refused.value)
    assert not (tmp_path / "lab-zoo").exists()


def test_every_picture_that_cannot_be_read_is_named_and_nothing_is_written(
    tmp_path: Path, by_colour: None
) -> None:
    bundle_of(COLOURS, tmp_path / "lab")
    write_pictures(tmp_path / "zoo")
    whole = (tmp_path / "zoo" / "picture0.png").read_bytes()
    (tmp_path / "zoo" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "zoo" / "empty.jpg").touch()
    with pytest.raises(UsageError, match="2 pictures cannot be used") as refused:
        make_gallery(tmp_path / "zoo", GalleryConfig(target="colours", bundle=tmp_path / "lab"))
    assert "cut.png" in str(refused.value)
    assert "empty.jpg is empty (0 bytes)" in str(refused.value)
    assert not list(tmp_path.glob("lab-*"))


def test_pictures_that_cannot_be_told_apart_are_told(
    tmp_path: Path, by_colour: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_of(COLOURS, tmp_path / "lab")
    write_pictures(tmp_path / "zoo")
    (tmp_path / "zoo" / "again.png").write_bytes((tmp_path / "zoo" / "picture2.png").read_bytes())
    (tmp_path / "zoo" / "notes.txt").touch()
    make_gallery(tmp_path / "zoo", GalleryConfig(target="colours", bundle=tmp_path / "lab"))
    told = capsys.readouterr().err
    assert "1 pictures are the same as another" in told
    assert "picture2 = again" in told
    assert "1 .txt" in told


def test_numbers_of_the_dataset_are_markers_where_they_are_clear() -> None:
    def picture(name: str, split: str | None, number: int | None) -> PictureFile:
        return PictureFile(Path(name), name, name, None, split, number)

    assert gallery_labels([picture("a", "test", 1), picture("b", "test", 2)]) == {"1": "a", "2": "b"}
    assert gallery_labels([picture("a", "train", 1), picture("b", "test", 1)]) == {}
    assert gallery_labels([picture("a", None, None), picture("b", None, 7)]) == {"7": "b"}


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    bundle_of(COLOURS, tmp_path / "lab")
    config = GalleryConfig(target="objects", bundle=tmp_path / "lab")
    with pytest.raises(UsageError, match="does not exist. Give the folder"):
        make_gallery(tmp_path / "nowhere", config)
    (tmp_path / "zoo").mkdir()
    with pytest.raises(UsageError, match="holds no pictures"):
        make_gallery(tmp_path / "zoo", config)
    Image.new("RGB", (8, 8)).save(tmp_path / "zoo" / "only.png")
    with pytest.raises(UsageError, match="holds one picture"):
        make_gallery(tmp_path / "zoo", config)
    with pytest.raises(BundleError, match="There is no bundle"):
        make_gallery(tmp_path / "zoo", replace(config, bundle=tmp_path / "none"))
    with pytest.raises(UsageError, match="Did you mean 'objects'"):
        open_target("object")
