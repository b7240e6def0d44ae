import io
from dataclasses import replace
from math import pi

import numpy as np
import pytest
from PIL import Image

from decode_stream.replay_data.pictures.scenes import (
    N_CONCEPTS,
    N_OBJECTS,
    Background,
    Placed,
    Scene,
    compose,
    concept_name,
    concept_objects,
    draw_scenes,
    encode_png,
    object_names,
)

GREY = Background((100, 100, 100), (100, 100, 100))


def alone(item: int = 0, x: float = 0.5, y: float = 0.5, size: float = 0.5) -> Scene:
    return Scene((Placed(item, x, y, size),), GREY)


def extent(picture: np.ndarray) -> tuple[float, float, float]:
    """Return the centre and the longest side of what stands on the grey, as shares of the side."""
    seen = (abs(picture.astype(int) - 100) > 12).any(axis=2)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    side = len(picture)
    centre = ((columns[0] + columns[-1] + 1) / 2 / side, (rows[0] + rows[-1] + 1) / 2 / side)
    return *centre, max(np.ptp(columns) + 1, np.ptp(rows) + 1) / side


def test_there_are_two_hundred_names_that_differ() -> None:
    names = object_names()
    assert len(names) == len(set(names)) == N_OBJECTS
    assert all(name == name.strip().lower() and name.isascii() for name in names)
    assert {"apple", "tiger", "airplane", "guitar", "chair", "house"} <= set(names)


def test_every_object_is_drawn_and_no_two_look_alike() -> None:
    small = np.stack([compose(alone(item, size=1.0), 24) for item in range(N_OBJECTS)]).astype(float)
    assert all(extent(picture.astype(np.uint8))[2] > 0.9 for picture in small)
    flat = small.reshape(N_OBJECTS, -1)
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(axis=2))
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 15


@pytest.mark.parametrize(("x", "y", "size"), [(0.5, 0.5, 0.5), (0.3, 0.7, 0.4), (0.61, 0.333, 0.55)])
@pytest.mark.parametrize("side_px", [64, 200])
def test_an_object_stands_where_the_scene_says(x: float, y: float, size: float, side_px: int) -> None:
    ball = object_names().index("soccer ball")  # round: its outline has a centre
    assert extent(compose(alone(ball, x, y, size), side_px)) == pytest.approx((x, y, size), abs=1.6 / side_px)


def test_places_count_in_fractions_of_a_pixel() -> None:
    def light(x: float) -> float:
        weight = abs(compose(alone(44, x=x), 32).astype(float) - 100).sum(axis=(0, 2))
        return float(weight @ np.arange(32) / weight.sum())

    assert light(0.5 + 0.25 / 32) - light(0.5) == pytest.approx(0.25, abs=0.05)


def test_what_lies_outside_is_cut_off() -> None:
    whole = compose(alone(5, 0.5, 0.5, 1.0), 48)
    half = compose(alone(5, 0.0, 0.5, 1.0), 48)
    np.testing.assert_array_equal(half[:, :24], whole[:, 24:])
    assert (compose(alone(5, 2.5, 0.5, 1.0), 48) == 100).all()


def test_the_later_object_lies_on_top() -> None:
    lower, upper = Placed(0, 0.5, 0.5, 0.9), Placed(90, 0.5, 0.5, 0.6)
    both = compose(Scene((lower, upper), GREY))
    middle = (slice(28, 36), slice(28, 36))
    np.testing.assert_array_equal(both[middle], compose(Scene((upper,), GREY))[middle])
    assert (both != compose(Scene((upper, lower), GREY))).any()


def test_the_ground_runs_or_parts_along_its_angle() -> None:
    far = Placed(0, 3, 3, 0.1)  # out of sight
    ground = Background((0, 50, 200), (200, 50, 0))
    runs = compose(Scene((far,), ground))
    assert (np.diff(runs[..., 0].astype(int), axis=1) >= 0).all()
    assert (runs[..., 1] == 50).all()
    assert (runs[0] == runs[-1]).all()
    parts = compose(Scene((far,), replace(ground, kind="split", angle=pi / 2)))
    assert (parts[:32] == (0, 50, 200)).all()
    assert (parts[32:] == (200, 50, 0)).all()
    np.testing.assert_array_equal(compose(Scene((far,), replace(ground, angle=pi))), runs[:, ::-1])


@pytest.mark.parametrize("side_px", [8, 17, 64])
def test_pictures_are_the_same_every_time(side_px: int) -> None:
    (scene,) = draw_scenes(1, seed=3, concepts=[450])
    picture = compose(scene, side_px)
    assert (picture.shape, picture.dtype) == ((side_px, side_px, 3), np.uint8)
    np.testing.assert_array_equal(picture, compose(scene, side_px))


def test_concepts_are_objects_and_then_every_pair_once() -> None:
    assert N_CONCEPTS > 1854
    assert [concept_objects(i) for i in (0, 199)] == [(0,), (199,)]
    pairs = [concept_objects(i) for i in range(N_OBJECTS, N_CONCEPTS)]
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 200 * 199 // 2
    assert all(0 <= a < N_OBJECTS and 0 <= b < N_OBJECTS and a != b for a, b in pairs)
    names = object_names()
    assert concept_name(0) == names[0]
    assert concept_name(200) == f"{names[0]} and {names[67]}"
    assert len({concept_name(i) for i in range(2000)}) == 2000
    for wrong in (-1, N_CONCEPTS):
        with pytest.raises(ValueError, match="numbered from 0"):
            concept_objects(wrong)


def test_scenes_vary_in_all_but_what_they_show() -> None:
    scenes = draw_scenes(300, seed=1, concepts=[7] * 300)
    assert {scene.objects[0].object for scene in scenes} == {7}
    x, y, size = (np.array([getattr(s.objects[0], name) for s in scenes]) for name in ("x", "y", "size"))
    assert size.min() < 0.5 < 0.8 < size.max()
    assert min(x.std(), y.std()) > 0.08
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.2
    for centre in (x, y):  # nothing is cut off
        assert (centre >= size / 2).all()
        assert (centre <= 1 - size / 2).all()
    assert {scene.background.kind for scene in scenes} == {"gradient", "split"}
    assert len({scene.background for scene in scenes}) == 300


def test_two_objects_do_not_cover_each_other() -> None:
    for scene in draw_scenes(200, seed=2, concepts=range(200, 400)):
        a, b = scene.objects
        assert max(abs(a.x - b.x), abs(a.y - b.y)) >= (a.size + b.size) / 2 - 1e-9


def test_the_seed_decides() -> None:
    assert draw_scenes(5, seed=1) == draw_scenes(5, seed=1)
    assert draw_scenes(5, seed=1) != draw_scenes(5, seed=2)
    assert draw_scenes(0, seed=1) == ()
    with pytest.raises(ValueError, match="3 scenes need as many concepts; got 2"):
        draw_scenes(3, seed=0, concepts=[1, 2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Placed(200, 0.5, 0.5, 0.5), "number below 200"),
        (lambda: Placed(0, 0.5, 0.5, float("nan")), "size of 0.05 to 2"),
        (lambda: Placed(0, float("nan"), 0.5, 0.5), "in the picture or near it"),
        (lambda: Background((0, 0, 256), (0, 0, 0)), "three numbers of 0 to 255"),
        (lambda: Scene((), GREY), "one object or two; got 0"),
        (lambda: compose(alone(), 7), "8 pixels or more; got 7"),
    ],
)
def test_what_cannot_be_is_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_png_holds_the_picture() -> None:
    picture = compose(draw_scenes(1, seed=0)[0], 40)[:, :20]
    png = encode_png(picture)
    assert png == encode_png(picture)
    with Image.open(io.BytesIO(png)) as file:
        assert file.format == "PNG"
        np.testing.assert_array_equal(np.asarray(file), picture)
