import msgspec
import numpy as np
import pytest

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import Target
from decode_stream.pictures.targets import objects_space
from decode_stream.pictures.targets import open_target as any_target
from decode_stream.replay_data.pictures.picture_space import LAYOUT_SIZE, scene_embedding
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, compose, draw_scenes
from decode_stream.stream.errors import UsageError


def open_target(name: str) -> Target:
    target = any_target(name)
    assert isinstance(target, Target)
    return target


def test_pictures_of_objects_lie_where_their_scenes_do() -> None:
    target = open_target("objects")
    assert target.space == objects_space()
    assert (target.space.dimension, target.space.norm) == (192, "unit")
    scenes = draw_scenes(40, seed=4242, concepts=range(0, N_OBJECTS, 5))
    # As files would come: at another size than the space was made with.
    encoded = target.encode([compose(scene, 160) for scene in scenes])
    ideal = np.stack([scene_embedding(scene) for scene in scenes])
    assert (encoded.shape, encoded.dtype) == ((40, 192), np.float32)
    assert ((encoded @ ideal.T).argmax(axis=1) == np.arange(40)).mean() > 0.95
    what = 2 * (encoded[:, LAYOUT_SIZE:] * ideal[:, LAYOUT_SIZE:]).sum(axis=1)
    assert what.mean() > 0.75
    np.testing.assert_allclose(encoded[:, :LAYOUT_SIZE], ideal[:, :LAYOUT_SIZE], atol=0.02)
    assert target.encode([]).shape == (0, 192)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("object", "no target 'object'. Did you mean 'objects'? Targets are: colour-layout, file, objects,"),
        ("openclip:ViT-B-32:/w.pt", "no target 'openclip'. Did you mean 'open_clip'?"),
        ("", "no target ''. Targets are"),
        ("objects:large", "write objects, objects:meaning or objects:layout"),
        ("objects:", "write objects, objects:meaning or objects:layout"),
        ("clamp-x:objects", "a clamp is a number above 0, as in clamp-1.5:objects"),
        ("clamp-0:objects", "a clamp is a number above 0"),
        ("clamp-1:clamp-2:objects", "one clamp is enough"),
        ("clamp-1.5", "no target ''"),
        ("colour-layout:8x4", "write colour-layout:NxN with 2 to 64 cells a side"),
        ("vae:/nowhere", "There is no /nowhere/vae/config.json. Nothing is downloaded"),
        ("file:/nowhere.npy", "there is no file /nowhere.npy"),
    ],
)
def test_a_target_that_is_not_there_is_told(name: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_target(name)
    assert words in str(refused.value)


def test_each_half_of_the_objects_space_is_a_target() -> None:
    pictures = [compose(scene, 96) for scene in draw_scenes(3, seed=7)]
    whole = open_target("objects").encode(pictures)
    layout, meaning = open_target("objects:layout"), open_target("objects:meaning")
    np.testing.assert_array_equal(layout.encode(pictures), whole[:, :LAYOUT_SIZE])
    np.testing.assert_array_equal(meaning.encode(pictures), whole[:, LAYOUT_SIZE:])
    assert (layout.space.dimension, meaning.space.dimension) == (64, 128)
    assert len({layout.space, meaning.space, objects_space()}) == 3


def test_a_clamp_goes_before_any_target() -> None:
    pictures = [compose(scene, 96) for scene in draw_scenes(3, seed=7)]
    plain, clamped = open_target("colour-layout:2x2"), open_target("clamp-0.1:colour-layout:2x2")
    assert abs(plain.encode(pictures)).max() > 0.1
    np.testing.assert_array_equal(clamped.encode(pictures), np.clip(plain.encode(pictures), -0.1, 0.1))
    assert (plain.space.clamp, clamped.space.clamp) == (None, 0.1)
    assert clamped.name == "clamp-0.1:colour-layout:2x2"


def test_a_space_comes_back_from_a_manifest_and_older_ones_lack_the_rest() -> None:
    space = EmbeddingSpace("m", "tokens", 6, shape=(2, 3), clamp=1.5, preparation="squash")
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(space)), EmbeddingSpace) == space
    older = {"model": "m", "layer": "l", "dimension": 6, "norm": "unit"}
    assert msgspec.convert(older, EmbeddingSpace) == EmbeddingSpace("m", "l", 6)
    with pytest.raises(ValueError, match="has 6 numbers, not 5"):
        EmbeddingSpace("m", "l", 5, shape=(2, 3))
    with pytest.raises(ValueError, match="A clamp lies above 0; got -1"):
        EmbeddingSpace("m", "l", 5, clamp=-1)
