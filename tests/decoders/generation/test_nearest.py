"""The nearest training picture: written, read back, found, and refused where a file is not what was written."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from safetensors.numpy import load, save

from decode_stream.decoders.generation.nearest import (
    INDEX_FILE,
    SHEET_FILE,
    NearestPictures,
    nearest_files,
    read_nearest,
)
from decode_stream.stream.errors import BundleError

_N, _DIMENSION, _SIDE = 11, 24, 16
_WHERE = Path("some.generator")


def drawn() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Return a mean, embeddings, and copies of one colour each."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (_N, 1, 1, 3), np.uint8)
    copies = np.broadcast_to(colours, (_N, _SIDE, _SIDE, 3))
    return rng.standard_normal(_DIMENSION), rng.standard_normal((_N, _DIMENSION)), copies


def read(files: dict[str, bytes], dimension: int = _DIMENSION) -> NearestPictures:
    return read_nearest(files.__getitem__, dimension, _WHERE)


def test_every_picture_is_nearest_to_itself_and_its_copy_comes_back() -> None:
    center, embeddings, copies = drawn()
    files = nearest_files(center, embeddings, copies)
    assert set(files) == {INDEX_FILE, SHEET_FILE}
    learnt = read(files)
    assert len(learnt) == _N
    for i, embedding in enumerate(embeddings):
        found = learnt.nearest(embedding)
        assert found.number == i
        assert found.distance == pytest.approx(0, abs=1e-3)
        # Twice as far out it is the same direction.
        assert learnt.nearest(center + 2 * (embedding - center)).number == i
        assert np.abs(learnt.copy(i).astype(float) - copies[i]).mean() < 8
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(learnt.png(i)))), learnt.copy(i))


def test_distance_is_one_less_the_cosine_from_the_mean() -> None:
    center, embeddings, copies = drawn()
    learnt = read(nearest_files(center, embeddings, copies))
    asked = np.random.default_rng(1).standard_normal(_DIMENSION)
    away, others = asked - center, embeddings - center
    cosines = others @ away / np.linalg.norm(others, axis=1) / np.linalg.norm(away)
    found = learnt.nearest(asked)
    assert found.number == cosines.argmax()
    assert found.distance == pytest.approx(1 - cosines.max(), abs=1e-3)


def test_to_the_mean_itself_no_picture_is_nearer_than_others() -> None:
    center, embeddings, copies = drawn()
    learnt = read(nearest_files(center, embeddings, copies))
    assert np.isnan(learnt.nearest(learnt.center).distance)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_any_number_of_pictures_fits_a_sheet(n: int) -> None:
    center, embeddings, copies = drawn()
    learnt = read(nearest_files(center, embeddings[:n], copies[:n]))
    assert len(learnt) == n
    assert np.abs(learnt.copy(n - 1).astype(float) - copies[n - 1]).mean() < 8
    with pytest.raises(ValueError, match="no picture"):
        learnt.copy(n)


def test_what_cannot_be_indexed_is_refused() -> None:
    center, embeddings, copies = drawn()
    with pytest.raises(ValueError, match="copies"):
        nearest_files(center, embeddings, copies[:-1])
    with pytest.raises(ValueError, match="finite"):
        nearest_files(center, np.where(np.eye(_N, _DIMENSION) > 0, np.nan, embeddings), copies)
    with pytest.raises(ValueError, match="mean of all"):
        nearest_files(embeddings[2], embeddings, copies)
    with pytest.raises(ValueError, match="pixels in all"):
        nearest_files(center, embeddings, np.broadcast_to(np.uint8(0), (_N, 4000, 4000, 3)))
    with pytest.raises(ValueError, match="do not fit"):
        NearestPictures(np.zeros(3, np.float32), np.zeros((2, 4), np.float32), copies[0], 8)


def changed(change: Callable[[dict[str, npt.NDArray[np.generic]]], object]) -> dict[str, bytes]:
    """Return files whose index was changed."""
    files = nearest_files(*drawn())
    tensors = load(files[INDEX_FILE])
    change(tensors)
    return {**files, INDEX_FILE: save(tensors)}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({**nearest_files(*drawn()), INDEX_FILE: b"no tensors"}, id="no index"),
        pytest.param({**nearest_files(*drawn()), INDEX_FILE: b""}, id="empty index"),
        pytest.param({**nearest_files(*drawn()), SHEET_FILE: b"no picture"}, id="another sheet"),
        pytest.param(changed(lambda t: t.pop("directions")), id="no directions"),
        pytest.param(changed(lambda t: t.update(side_px=np.array([0], np.int32))), id="no side"),
        pytest.param(changed(lambda t: t.update(side_px=np.array([8], np.int32))), id="another side"),
        pytest.param(changed(lambda t: t.update(side_px=np.array([], np.int32))), id="side left out"),
        pytest.param(changed(lambda t: t.update(center=t["center"][:-1])), id="shorter mean"),
        pytest.param(
            changed(lambda t: t.update(center=np.full(_DIMENSION, np.nan, np.float32))), id="mean NaN"
        ),
        pytest.param(changed(lambda t: t.update(directions=t["directions"][:0])), id="no pictures"),
        pytest.param(changed(lambda t: t.update(directions=np.float16(np.nan) * t["directions"])), id="NaN"),
        pytest.param(changed(lambda t: t.update(directions=t["directions"].astype(np.float32))), id="type"),
        pytest.param(changed(lambda t: t.update(directions=t["directions"][:3])), id="fewer directions"),
    ],
)
def test_damaged_files_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(BundleError, match="is damaged.*Copy the generator again"):
        read(files)


def test_a_sheet_that_is_no_webp_is_refused_even_with_its_hash() -> None:
    import hashlib

    for sheet in (b"RIFF", Image.new("RGB", (64, 48)).tobytes()):
        digest = np.frombuffer(hashlib.sha256(sheet).digest(), np.uint8)
        files = changed(lambda t, digest=digest: t.update(sheet_sha256=digest))
        with pytest.raises(BundleError, match=r"nearest\.webp .* is damaged"):
            read({**files, SHEET_FILE: sheet})


def test_an_index_of_another_space_is_refused() -> None:
    with pytest.raises(BundleError, match=rf"embeddings have {_DIMENSION + 1} numbers"):
        read(nearest_files(*drawn()), _DIMENSION + 1)
