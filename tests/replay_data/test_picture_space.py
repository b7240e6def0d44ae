from dataclasses import replace

import numpy as np
import pytest

from decode_stream.replay_data.pictures.picture_space import (
    EMBEDDING_SIZE,
    LAYOUT_SIZE,
    embed,
    fit_space,
    picture_layout,
    picture_space,
    save_space,
    scene_embedding,
    space_id,
)
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, compose, draw_scenes


def test_the_space_that_ships_is_whole() -> None:
    space = picture_space()
    assert space.layout_axes.shape == (64, 192)
    assert space.feature_axes.shape == (1280, 128)
    assert all(array.dtype == np.float32 for array in (space.layout_mean, space.feature_axes, space.centres))
    np.testing.assert_allclose(space.layout_axes @ space.layout_axes.T, np.eye(64), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(space.centres, axis=1), 1, rtol=1e-5)
    alike = space.centres @ space.centres.T
    assert alike[~np.eye(N_OBJECTS, dtype=bool)].max() < 0.9
    assert len(space_id()) == 12


def test_both_parts_of_an_embedding_weigh_alike() -> None:
    singles, pairs = draw_scenes(200, seed=5), draw_scenes(200, seed=6, concepts=range(200, 400))
    embeddings = np.stack([scene_embedding(scene) for scene in (*singles, *pairs)])
    assert (embeddings.shape, embeddings.dtype) == ((400, EMBEDDING_SIZE), np.float32)
    np.testing.assert_allclose(np.linalg.norm(embeddings[:, LAYOUT_SIZE:], axis=1), np.sqrt(0.5), rtol=1e-5)
    layout = np.linalg.norm(embeddings[:, :LAYOUT_SIZE], axis=1)
    assert np.sqrt((layout**2).mean()) == pytest.approx(np.sqrt(0.5), rel=0.06)


def test_meaning_is_what_and_layout_is_where() -> None:
    (a, b, other) = draw_scenes(3, seed=8, concepts=[11, 11, 150])
    here, there = scene_embedding(a), scene_embedding(b)
    np.testing.assert_allclose(here[LAYOUT_SIZE:], there[LAYOUT_SIZE:], atol=1e-7)
    assert np.linalg.norm(here[:LAYOUT_SIZE] - there[:LAYOUT_SIZE]) > 0.2
    swapped = replace(a, objects=(replace(a.objects[0], object=150),))
    np.testing.assert_allclose(
        scene_embedding(swapped)[LAYOUT_SIZE:], scene_embedding(other)[LAYOUT_SIZE:], atol=1e-7
    )
    assert 2 * here[LAYOUT_SIZE:] @ scene_embedding(other)[LAYOUT_SIZE:] < 0.5


def test_two_objects_lie_between_them() -> None:
    (scene,) = draw_scenes(1, seed=9, concepts=[333])
    meaning = np.sqrt(2) * scene_embedding(scene)[LAYOUT_SIZE:]
    similarity = picture_space().centres @ meaning
    assert set(np.argsort(-similarity)[:2]) == {placed.object for placed in scene.objects}


def layout_picture(embedding: np.ndarray) -> np.ndarray:
    """Return the coarse picture that an embedding's layout stands for, whatever the embedding's length."""
    space = picture_space()
    layout = embedding[:LAYOUT_SIZE] / np.linalg.norm(embedding[LAYOUT_SIZE:]) * space.layout_scale
    colours = np.clip(space.layout_mean + layout @ space.layout_axes, 0, 1)
    return np.rint(255 * colours).astype(np.uint8).reshape(8, 8, 3)


def test_the_layout_comes_back_from_an_embedding_and_from_its_direction() -> None:
    for scene in draw_scenes(20, seed=10):
        embedding = scene_embedding(scene)
        coarse = layout_picture(embedding)
        assert (coarse.shape, coarse.dtype) == ((8, 8, 3), np.uint8)
        true = 255 * picture_layout(compose(scene)).reshape(8, 8, 3)
        assert np.sqrt(((coarse - true) ** 2).mean()) < 20  # what 64 of 192 axes leave out
        from_direction = layout_picture(embedding / np.linalg.norm(embedding))
        assert abs(from_direction.astype(int) - coarse).max() <= 1


def test_a_layout_is_the_mean_colour_of_every_patch() -> None:
    picture = np.random.default_rng(0).integers(256, size=(40, 80, 3), dtype=np.uint8)
    means = picture.reshape(8, 5, 8, 10, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(picture_layout(picture), means.ravel(), atol=1.01 / 255)


def test_the_fit_finds_the_axes_that_tell_objects_apart() -> None:
    rng = np.random.default_rng(1)
    objects = np.tile(np.arange(N_OBJECTS), 8)
    true = rng.standard_normal((N_OBJECTS, 150)) * (np.arange(150) < 130)
    nuisance = rng.standard_normal((1600, 3)) @ rng.standard_normal((3, 150)) * 2
    features = true[objects] + nuisance + 0.3 * rng.standard_normal((1600, 150))
    layouts = rng.random((500, 192))
    space = fit_space(layouts, features, objects)
    fresh = true[objects] + rng.permutation(nuisance) + 0.3 * rng.standard_normal((1600, 150))
    embeddings = embed(np.tile(layouts[:1], (1600, 1)), fresh, space)
    nearest = (embeddings[:, LAYOUT_SIZE:] @ space.centres.T).argmax(axis=1)
    assert (nearest == objects).mean() > 0.95
    lengths = np.linalg.norm((layouts - space.layout_mean) @ space.layout_axes.T, axis=1)
    assert np.sqrt((lengths**2).mean()) == pytest.approx(float(space.layout_scale), rel=1e-5)


def test_a_saved_space_is_read_back(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from decode_stream.replay_data.pictures import picture_space as module

    file = tmp_path / "space.safetensors"
    save_space(replace(picture_space(), layout_scale=np.array(2.0, np.float32)), file)
    monkeypatch.setattr(module, "SPACE_FILE", file)
    again = module.picture_space.__wrapped__()
    assert float(again.layout_scale) == 2
    np.testing.assert_array_equal(again.centres, picture_space().centres)
    assert module.space_id.__wrapped__() != space_id()
