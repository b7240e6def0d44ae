"""What is told of providers is told once."""

from types import SimpleNamespace
from typing import Any

from decode_stream.sessions.provider_events import ProviderEvents

NO_DRIVER = "no NVIDIA driver, so it runs on the CPU"


def test_what_was_told_of_the_decoder_is_not_told_of_the_pictures_again() -> None:
    told = list[tuple[str, str]]()
    encoder: Any = SimpleNamespace(notes=(NO_DRIVER,), lost="")
    events = ProviderEvents(encoder, lambda kind, text: told.append((kind, text)))
    events.of_pictures("provider", NO_DRIVER)
    events.of_pictures("provider", "passed over CUDA: no cuBLAS")
    events.of_pictures("generator", NO_DRIVER)
    assert told == [
        ("provider", NO_DRIVER),
        ("provider", "passed over CUDA: no cuBLAS"),
        ("generator", NO_DRIVER),
    ]


def test_a_provider_is_lost_once() -> None:
    told = list[tuple[str, str]]()
    encoder: Any = SimpleNamespace(notes=(), lost="")
    events = ProviderEvents(encoder, lambda kind, text: told.append((kind, text)))
    events.look()
    assert not told
    encoder.lost = "CUDA failed"
    events.look()
    events.look()
    assert told == [("provider lost", "CUDA failed")]


def test_a_session_that_only_watches_has_no_provider_to_tell_of() -> None:
    told = list[tuple[str, str]]()
    events = ProviderEvents(None, lambda kind, text: told.append((kind, text)))
    events.look()
    events.of_pictures("provider", NO_DRIVER)
    assert told == [("provider", NO_DRIVER)]
