import numpy as np
import pytest

from decode_stream.pictures.fit_picture_space import draw_objects, features_and_layouts, retrieval
from decode_stream.replay_data.pictures.picture_space import LAYOUT_SIZE, embed, picture_layout, picture_space
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, compose


def test_every_object_is_drawn_as_often() -> None:
    scenes, objects = draw_objects(3, seed=7)
    assert (np.bincount(objects) == 3).all()
    assert [scene.objects[0].object for scene in scenes] == objects.tolist()


def test_the_space_finds_the_object_of_fresh_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    scenes, objects = draw_objects(1, seed=777)
    some = slice(0, N_OBJECTS, 4)
    features, layouts = features_and_layouts(scenes[some])
    np.testing.assert_array_equal(layouts[7], picture_layout(compose(scenes[28])))
    space = picture_space()
    top1, top5 = retrieval(embed(layouts, features, space), objects[some], space)
    assert top1 >= 0.95
    assert top5 == 1
    assert "50 of 50 scenes" in capsys.readouterr().err


def test_retrieval_counts_the_nearest_and_the_nearest_five() -> None:
    space = picture_space()
    objects = np.arange(N_OBJECTS)
    perfect = np.concatenate([np.zeros((N_OBJECTS, LAYOUT_SIZE)), space.centres], axis=1)
    assert retrieval(perfect, objects, space) == (1.0, 1.0)
    third = np.argsort(-(space.centres @ space.centres.T), axis=1)[:, 2]
    assert retrieval(perfect, third, space) == (0.0, 1.0)
    assert retrieval(-perfect, objects, space) == (0.0, 0.0)
