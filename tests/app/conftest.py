"""What tests of the application share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from decode_stream.decoders.generation.generator import Generator
from decode_stream.sessions.drawer import Drawer
from decode_stream.sessions.painter import Painter
from tests.app.painted_trials import until
from tests.decoders.generation.picture_bundle import picture_bundle

_ENDS = 13  # samples of the first window at 128 Hz


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
