"""Whatever keeps a picture from being drawn leaves the last one, marked as held and why."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.generation.condition import Condition
from decode_stream.gui.snapshot import UNLIKE_TRAINING
from decode_stream.sessions import painter as painter_module
from decode_stream.stream.errors import GeneratorError
from tests.app.painted_trials import Trials, accounted, picture_of, raising, until
from tests.decoders.generation.picture_bundle import N_LATENCIES
from tests.decoders.generation.plain_generator import PlainGenerator

_ENDS = 13  # samples of the first window at 128 Hz


class Failing(PlainGenerator):
    """Fails in a way while it is told to."""

    def __init__(self, how: Callable[[], Any]) -> None:
        super().__init__()
        object.__setattr__(self, "how", how)
        object.__setattr__(self, "fails", False)

    def draw(self, condition: Condition, noise: np.ndarray, n_steps: int) -> Any:
        return self.how() if self.fails else super().draw(condition, noise, n_steps)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (raising(GeneratorError("NaN in step 1")), "generator failed: NaN in step 1"),
        (raising(RuntimeError("CUDA error: device lost")), "generator failed: CUDA error: device lost"),
        (lambda: np.full((1, 32, 32, 3), np.nan), "generator failed: it gave float64"),
        (lambda: np.zeros((1, 8, 8, 3), np.uint8), "generator failed: it gave uint8 of shape (1, 8, 8, 3)"),
    ],
    ids=["nan", "device", "float", "shape"],
)
def test_when_a_drawing_fails_the_last_picture_is_held_until_one_succeeds(
    started: Any, how: Callable[[], Any], words: str
) -> None:
    generator = Failing(how)
    painter, told = started(generator)
    trials = Trials(painter)
    trials.say(0, 0)
    until(painter.reconstruction)
    before = picture_of(painter)
    object.__setattr__(generator, "fails", True)
    for k in (1, 2, 3):
        trials.say(0, k)
        until(lambda k=k: accounted(painter) == k + 1)
    held = picture_of(painter)
    assert held.held.startswith(words)
    assert held.number == before.number
    assert np.array_equal(held.picture, before.picture)
    assert painter.summary()["failed"] == 3
    assert len(told) == 1
    assert told[0][1].endswith("the last picture is held, decoding goes on")
    object.__setattr__(generator, "fails", False)
    # The belief is the one that failed: it is drawn although it has not moved since.
    trials.say(0, 4)
    until(lambda: not picture_of(painter).held)
    assert picture_of(painter).number == before.number + 1


def test_failures_that_are_worded_otherwise_each_time_are_told_once_of_each_kind(started: Any) -> None:
    said = iter(range(100))

    def fail() -> Any:
        raise (
            RuntimeError(f"device lost at 0x{next(said):x}") if trials.said < 4 else ValueError("wrong shape")
        )

    generator = Failing(fail)
    painter, told = started(generator)
    trials = Trials(painter)
    object.__setattr__(generator, "fails", True)
    for k in range(6):
        trials.say(0, k)
        until(lambda k=k: accounted(painter) == k + 1)
    assert picture_of(painter).held == "generator failed: wrong shape"
    assert [text.split(";")[0] for _, text in told] == [
        "generator failed: device lost at 0x0",
        "generator failed: wrong shape",
    ]


def test_a_drawing_that_does_not_end_is_told_once_and_holds_up_nobody(
    started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter_module, "_STUCK_S", 0.05)
    monkeypatch.setattr(painter_module, "_END_S", 0.05)
    gate = threading.Event()
    stuck = False

    def wait(n: int) -> None:
        if stuck:
            gate.wait(30)

    painter, told = started(PlainGenerator(before_draw=wait))
    trials = Trials(painter)
    trials.say(0, 0)
    until(painter.reconstruction)
    stuck = True
    trials.say(0, 1)
    until(lambda: picture_of(painter).held)
    assert picture_of(painter).held == "the generator has been at one picture for 0 s"
    for k in (2, 3, 4):
        trials.say(0, k)
    assert [kind for kind, _ in told] == ["generator"]
    assert "decoding goes on" in told[0][1]
    began_s = time.perf_counter()
    painter.stop()
    assert time.perf_counter() - began_s < 5
    gate.set()


def test_what_is_unlike_the_training_gives_no_picture(started: Any) -> None:
    painter, told = started(PlainGenerator())
    trials = Trials(painter)
    trials.decoder.novelty = 0.4
    trials.say(0, 0)
    until(painter.reconstruction)
    trials.decoder.novelty = 1.0
    for k in range(1, N_LATENCIES):
        trials.say(0, k)
    for k in range(N_LATENCIES):
        trials.say(1, k)
    until(lambda: picture_of(painter).held == UNLIKE_TRAINING)
    painter.stop()
    number = picture_of(painter).number
    assert painter.summary()["held"] >= N_LATENCIES
    assert accounted(painter) == trials.said
    assert [kind for kind, _ in told] == ["unlike"]
    assert number <= painter.summary()["made"] + 1


def test_the_picture_of_before_stays_marked_until_the_next_is_drawn(started: Any) -> None:
    gate = threading.Event()
    gate.set()
    painter, _ = started(PlainGenerator(before_draw=lambda n: gate.wait(30)))
    trials = Trials(painter)
    trials.decoder.novelty = 0.4
    trials.say(0, 0)
    until(painter.reconstruction)
    trials.decoder.novelty = 1.0
    for k in range(1, N_LATENCIES):
        trials.say(0, k)
    until(lambda: picture_of(painter).held == UNLIKE_TRAINING)
    time.sleep(0.1)  # what was asked for before is drawn by now
    number = picture_of(painter).number
    gate.clear()
    trials.decoder.novelty = 0.0
    for k in range(N_LATENCIES):
        trials.say(1, k)
    assert (picture_of(painter).number, picture_of(painter).held) == (number, UNLIKE_TRAINING)
    gate.set()
    until(lambda: picture_of(painter).number > number and not picture_of(painter).held)


def test_before_the_first_picture_what_is_held_shows_the_mean_of_all(started: Any) -> None:
    gate = threading.Event()
    gate.set()
    painter, _ = started(PlainGenerator(before_draw=lambda n: gate.wait(30)))
    gate.clear()  # the first windows may still be asked for
    trials = Trials(painter)
    trials.decoder.novelty = float("nan")
    for k in range(N_LATENCIES):
        trials.say(0, k)
    until(painter.reconstruction)
    shown = picture_of(painter)
    gate.set()
    assert shown.held == UNLIKE_TRAINING
    assert (shown.number, shown.confidence) == (0, 0.0)
    assert np.array_equal(shown.picture, shown.prior)


def test_numbers_that_are_not_finite_are_not_drawn(started: Any) -> None:
    painter, told = started(PlainGenerator())
    trials = Trials(painter)
    trials.say(0, 0, np.full(5, np.inf, np.float32))
    until(painter.reconstruction)
    assert picture_of(painter).held == "nothing to draw: what was decoded has numbers that are not finite"
    trials.say(1, 0)
    until(lambda: picture_of(painter).number == 1 and not picture_of(painter).held)
    assert len(told) == 1
