"""The thread that draws: the newest belief wins, decoding never waits, and what fails leaves the last picture."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.generation.nearest import nearest_files, read_nearest
from decode_stream.sessions.drawer import Drawer
from decode_stream.sessions.painter import Painter
from decode_stream.stream.errors import GeneratorError
from tests.app.painted_trials import Trials, accounted, picture_of, raising, until
from tests.decoders.generation.picture_bundle import N_LATENCIES, picture_bundle
from tests.decoders.generation.plain_generator import PlainGenerator

_ENDS = 13  # samples of the first window at 128 Hz


def test_a_picture_is_drawn_of_what_a_trial_says(started: Any) -> None:
    painter, told = started(PlainGenerator(), n_steps=2, seed=3)
    assert painter.reconstruction() is None
    trials = Trials(painter)
    trials.say(0, 0)
    until(painter.reconstruction)
    first = picture_of(painter)
    assert (first.number, first.of, first.n_steps, first.held) == (
        1,
        "trial 1, up to 102 ms after onset",
        2,
        "",
    )
    assert first.picture.shape == first.prior.shape == (32, 32, 3)
    assert 0 < first.confidence < 0.5
    assert 0 <= first.age_ms < 5000
    assert first.draw_ms > 0
    for k in range(1, N_LATENCIES):
        trials.say(0, k)
    until(lambda: picture_of(painter).variance is not None)
    last = picture_of(painter)
    assert last.of == "trial 1, decided"
    assert last.confidence > first.confidence
    assert last.number > first.number
    assert last.variance is not None
    assert last.variance.shape == (32, 32)
    assert last.variance.max() > 0
    assert not np.array_equal(last.picture, first.picture)
    assert not told
    painter.stop()
    assert accounted(painter) == trials.said
    summary = painter.summary()
    assert (summary["steps"], summary["generator"], summary["provider"]) == (2, "plain", "CPU")
    assert summary["images_per_s"] > 0
    assert painter.times.summary_ms()["p50"] > 0  # type: ignore[index]


def test_the_same_evidence_gives_the_same_pictures(started: Any) -> None:
    pictures = []
    for _ in range(2):
        painter, _ = started(PlainGenerator(), seed=1)
        trials = Trials(painter)
        for k in range(N_LATENCIES):
            trials.say(0, k)
            until(lambda painter=painter, k=k: accounted(painter) == k + 1)
        pictures.append(picture_of(painter).picture)
    assert np.array_equal(*pictures)


def test_of_beliefs_that_come_while_one_is_drawn_the_newest_is_drawn(started: Any) -> None:
    gate, entered, loaded = threading.Event(), threading.Event(), threading.Event()

    def wait(n: int) -> None:
        if loaded.is_set():
            entered.set()
            assert gate.wait(10)

    painter, _ = started(PlainGenerator(before_draw=wait))
    loaded.set()
    trials = Trials(painter)
    trials.say(0, 0)
    assert entered.wait(5)
    began_s = time.perf_counter()
    for k in range(1, N_LATENCIES - 1):
        trials.say(0, k)
    assert time.perf_counter() - began_s < 1  # nobody waits for the drawing
    gate.set()
    until(lambda: accounted(painter) == trials.said)
    summary = painter.summary()
    assert summary["made"] == 2
    assert summary["superseded"] + summary["skipped"] == trials.said - 2
    assert summary["superseded"] > 0
    assert picture_of(painter).of == "trial 1, up to 266 ms after onset"


def test_a_belief_that_has_hardly_moved_is_not_drawn_again(started: Any) -> None:
    painter, _ = started(PlainGenerator())
    trials = Trials(painter)
    nothing = np.zeros(5, np.float32)
    trials.say(0, 0, nothing)
    until(painter.reconstruction)
    for k in range(1, 5):
        trials.say(0, k, nothing)
    until(lambda: accounted(painter) == 5)
    assert painter.summary()["skipped"] == 4
    assert picture_of(painter).number == 1
    assert picture_of(painter).of == "trial 1, up to 195 ms after onset"


def test_where_trials_overlap_only_those_decided_are_drawn(started: Any) -> None:
    painter, _ = started(PlainGenerator())
    trials = Trials(painter)
    trials.decoder.scores.overlapping = True
    for k in range(N_LATENCIES - 1):
        trials.say(0, k)
    assert painter.reconstruction() is None
    trials.say(0, N_LATENCIES - 1)
    until(painter.reconstruction)
    assert picture_of(painter).of == "trial 1, decided"


def test_of_two_open_trials_the_newer_is_drawn(started: Any) -> None:
    painter, _ = started(PlainGenerator())
    trials = Trials(painter)
    trials.say(1, 0)
    until(painter.reconstruction)
    trials.say(0, N_LATENCIES - 1)
    trials.say(1, 1)
    until(
        lambda: "127" not in picture_of(painter).of and picture_of(painter).of.endswith("125 ms after onset")
    )
    assert accounted(painter) == 2


@pytest.mark.parametrize("asked", [True, False])
def test_a_generator_that_does_not_load_is_told_where_it_was_asked_for(asked: bool) -> None:
    painter = Painter(picture_bundle(), raising(GeneratorError("the file is damaged")), asked=asked)
    told = list[tuple[str, str]]()
    painter.tell = lambda kind, text: told.append((kind, text))
    painter.start()
    until(lambda: painter.missing)
    Trials(painter).say(0, 0)
    painter.stop()
    assert painter.reconstruction() is None
    assert painter.summary()["missing"] == "the file is damaged"
    assert painter.generator == ""
    assert told == ([("generator", "no picture is drawn: the file is damaged")] if asked else [])


def test_the_nearest_training_picture_is_packed_once_while_it_stays_the_nearest() -> None:
    generator, rng = PlainGenerator(), np.random.default_rng(0)
    model = generator.pictures
    embeddings = rng.standard_normal((3, 192)).astype(np.float32)
    copies = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    files = nearest_files(model.mean, embeddings, copies)
    drawer = Drawer(
        picture_bundle(), generator, training=read_nearest(lambda name: files[name], 192, Path("files"))
    )
    drawn = [drawer.draw(model.known(scale * embeddings[k, None])) for scale, k in ((1, 1), (2, 1), (1, 2))]
    assert drawn[0].nearest is drawn[1].nearest
    assert drawn[2].nearest != drawn[0].nearest
    for one in drawn:
        assert one.nearest is not None
        assert one.nearest.startswith(b"\x89PNG")
        assert one.nearest_distance == pytest.approx(0, abs=1e-3)
        assert one.confidence == 1


def test_a_painter_that_was_never_started_ends() -> None:
    painter = Painter(picture_bundle(), raising(GeneratorError("nobody asked")))
    painter.stop()
    assert painter.summary()["made"] == 0
