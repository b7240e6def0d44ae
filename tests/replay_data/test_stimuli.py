import numpy as np
import pytest

from decode_stream.replay_data.stimuli import demo_pictures, picture_embedding


def test_pictures_differ_and_so_do_their_embeddings() -> None:
    pictures = demo_pictures()
    assert len(pictures) == 10
    assert {(picture.shape, picture.dtype.name) for picture in pictures.values()} == {((32, 32, 3), "uint8")}
    embeddings = np.stack([picture_embedding(picture) for picture in pictures.values()])
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
    similarity = embeddings @ embeddings.T
    assert similarity[~np.eye(10, dtype=bool)].max() < 0.9


def test_the_space_follows_looks() -> None:
    square = demo_pictures()["red square"]
    brighter = np.minimum(square.astype(int) + 10, 255).astype(np.uint8)
    blue = square[..., ::-1].copy()
    moved = np.roll(square, 12, axis=1)
    here = picture_embedding(square)
    assert here @ picture_embedding(brighter) > 0.99
    # Colour changes the part of meaning, place that of layout, each by itself.
    np.testing.assert_allclose(picture_embedding(moved)[16:], here[16:], atol=0.2)
    assert np.linalg.norm(picture_embedding(moved)[:16] - here[:16]) > 0.5
    assert np.linalg.norm(picture_embedding(blue)[16:19] - here[16:19]) > 0.2


@pytest.mark.parametrize("shape", [(32, 32), (30, 32, 3), (32, 32, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sides in multiples of 4"):
        picture_embedding(np.zeros(shape, np.uint8))


def test_a_flat_picture_has_an_embedding() -> None:
    assert np.isfinite(picture_embedding(np.zeros((32, 32, 3), np.uint8))).all()
