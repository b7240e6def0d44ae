import numpy as np
import pytest

from decode_stream.replay_data.pictures.picture_space import LAYOUT_SIZE, scene_embedding
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, compose, draw_scenes
from decode_stream.stream.errors import UsageError
from decode_stream.targets import objects_space, open_target


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
        ("object", "no target 'object'. Did you mean 'objects'? Targets are: objects, open_clip."),
        ("openclip:ViT-B-32:/w.pt", "no target 'openclip'. Did you mean 'open_clip'?"),
        ("", "no target ''. Targets are"),
        ("objects:large", "takes nothing behind its name"),
    ],
)
def test_a_target_that_is_not_there_is_told(name: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_target(name)
    assert words in str(refused.value)
