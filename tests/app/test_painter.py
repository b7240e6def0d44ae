"""The thread that draws: the newest belief wins, decoding never waits, and what fails leaves the last picture."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.generation.condition import Condition
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.generation.nearest import nearest_files, read_nearest
from decode_stream.gui.snapshot import UNLIKE_TRAINING, Reconstruction
from decode_stream.sessions import painter as painter_module
from decode_stream.sessions.drawer import Drawer
from decode_stream.sessions.painter import Painter
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.errors import GeneratorError
from decode_stream.stream.trials import TrialWindow
from decode_stream.stream.types import Trial
from tests.decoders.generation.picture_bundle import N_LATENCIES, picture_bundle
from tests.decoders.generation.plain_generator import PlainGenerator

_ENDS = 13  # samples of the first window at 128 Hz


class Trials:
    """Says what a decoder says: windows of trials a second apart, and what a session asks the decoder."""

    def __init__(self, painter: Painter) -> None:
        self.painter, self.rng = painter, np.random.default_rng(0)
        self.decoder: Any = SimpleNamespace(
            scores=SimpleNamespace(overlapping=False),
            cutter=SimpleNamespace(schedule=SimpleNamespace(sfreq_hz=128)),
            novelty=None,
        )
        self.said = 0

    def say(self, trial: int, k: int, embedding: np.ndarray | None = None) -> None:
        onset = 128 * trial
        shown = Trial(trial, onset, 0, "1", onset / 128)
        stop = onset + _ENDS + 3 * k
        window = CutWindow(stop, TrialWindow(shown, k, stop - 13, stop), np.zeros((2, 13), np.float32))
        if embedding is None:
            embedding = 5 * self.rng.standard_normal(5).astype(np.float32)
            embedding[-1] = 40 / N_LATENCIES
        self.painter.keep(window, embedding)
        self.painter.look(self.decoder, lambda stop: time.monotonic())
        self.said += 1


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def picture_of(painter: Painter) -> Reconstruction:
    shown = painter.reconstruction()
    assert shown is not None
    return shown


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[Painter, list[tuple[str, str]]]]]:
    running = list[Painter]()

    def start(generator: Generator, **settings: Any) -> tuple[Painter, list[tuple[str, str]]]:
        bundle = picture_bundle()
        painter = Painter(bundle, lambda: Drawer(bundle, generator, **settings))
        told = list[tuple[str, str]]()
        painter.tell = lambda kind, text: told.append((kind, text))
        painter.start()
        running.append(painter)
        assert painter.generator in ("being loaded", "plain")
        until(lambda: painter.summary()["generator"])
        assert painter.generator == "plain"
        return painter, told

    yield start
    for painter in running:
        painter.stop()


def accounted(painter: Painter) -> int:
    summary = painter.summary()
    return sum(summary[name] for name in ("made", "superseded", "skipped", "held", "failed"))


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


class Failing(PlainGenerator):
    """Fails in a way while it is told to."""

    def __init__(self, how: Callable[[], Any]) -> None:
        super().__init__()
        object.__setattr__(self, "how", how)
        object.__setattr__(self, "fails", False)

    def draw(self, condition: Condition, noise: np.ndarray, n_steps: int) -> Any:
        return self.how() if self.fails else super().draw(condition, noise, n_steps)  # type: ignore[attr-defined]


def raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


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
