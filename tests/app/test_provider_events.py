"""What a session tells of providers: once, and no window is lost with one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.runtime import Encoder
from decode_stream.evaluation.evaluate import told_of_providers
from decode_stream.replay_data.open import open_recording
from decode_stream.sessions.drawer import Drawer
from decode_stream.sessions.painter import Painter
from decode_stream.sessions.provider_events import ProviderEvents
from decode_stream.sessions.session_summary import session_summary
from tests.app.painted_trials import Trials, accounted, until
from tests.app.test_session import filtered_bundle, kinds, make, run, write_csv
from tests.decoders.generation.picture_bundle import picture_bundle
from tests.decoders.generation.plain_generator import PlainGenerator
from tests.decoders.inference.failing import Fails, only

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


@pytest.mark.lsl
def test_a_provider_that_is_lost_is_told_and_costs_no_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bundle = write_csv(tmp_path / "run.csv"), filtered_bundle()
    offline = decode_recording(bundle, Encoder(bundle), open_recording(path), bundle.manifest.stimuli())
    only(monkeypatch, cuda=lambda model, warm: Fails(model, warm, at=40), tensorrt="no libnvinfer")
    session = make(SessionConfig(modality="eeg", replay=path, speed=4.0), bundle)
    assert session.snapshot().provider == "CUDA"
    live = run(session)
    assert live.snapshot().provider == "CPU"
    assert live.pipeline.decoder is not None
    for ours, theirs in zip(live.pipeline.decoder.scores.trials, offline.scores.trials, strict=True):
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-5)
    told = [event.text for event in live.events if event.kind.startswith("provider")]
    assert told[0].startswith("passed over TensorRT engine: not here")
    assert told[1:] == [
        "passed over TensorRT: no libnvinfer",
        "CUDA failed: CUDA failure 719: unspecified launch failure; the encoder of 'small' goes on on the CPU",
    ]
    summary = session_summary(live, 0)
    assert (summary["provider"], summary["provider_notes"]) == ("CPU", told)
    assert summary["windows"]["skipped"] == 0
    assert kinds(live).count("provider lost") == 1


def test_an_evaluation_says_once_what_runs_its_decoders() -> None:
    first = SimpleNamespace(encoder=SimpleNamespace(notes=(NO_DRIVER,), lost=""))
    other = SimpleNamespace(
        encoder=SimpleNamespace(notes=(NO_DRIVER, "an engine was built"), lost="CUDA failed")
    )
    evaluation: Any = SimpleNamespace(encoder=first.encoder, others=[other, first])
    assert told_of_providers(evaluation) == [NO_DRIVER, "an engine was built", "CUDA failed"]


def test_what_runs_the_generator_is_told_and_that_it_was_lost() -> None:
    bundle, told = picture_bundle(), list[tuple[str, str]]()
    lost = "TensorRT failed: error 719; the network goes on on the CPU"
    generator = PlainGenerator(notes=("passed over CUDA: no cuBLAS",), lost=lost)
    painter = Painter(bundle, lambda: Drawer(bundle, generator))
    painter.tell = lambda kind, text: told.append((kind, text))
    painter.start()
    try:
        until(lambda: told == [("provider", "passed over CUDA: no cuBLAS")])
        trials = Trials(painter)
        trials.say(0, 0)
        trials.say(0, 1)
        until(lambda: accounted(painter) == trials.said)
        until(lambda: told[1:] == [("provider lost", lost)])
    finally:
        painter.stop()
