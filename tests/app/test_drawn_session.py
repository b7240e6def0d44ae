"""Sessions that draw what they decode, over real LSL streams on this machine."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.generation.embedded_files import (
    EmbeddedManifest,
    EmbeddedParts,
    GeneratorTraining,
    save_parts,
)
from decode_stream.decoders.generation.embedding_belief import Posteriors
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.generation.picture_evidence import TrialEvidence, TrialReader
from decode_stream.decoders.runtime import Encoder
from decode_stream.replay_data.open import open_recording
from decode_stream.sessions.drawer import Drawer
from decode_stream.sessions.generators import check_generator, painter_of
from decode_stream.sessions.painter import Painter
from decode_stream.sessions.session import Session
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.source import Source
from decode_stream.sessions.terminal import picture, progress_line
from decode_stream.stream.errors import BundleError, UsageError
from tests.app.summaries import check_keys
from tests.app.test_session import run, write_csv
from tests.decoders.bundles import small_bundle
from tests.decoders.generation.picture_bundle import picture_bundle
from tests.decoders.generation.plain_generator import PlainGenerator, plain_picture_model

pytestmark = pytest.mark.lsl


def drawn_session(bundle: Bundle, recording: Path, generator: Generator, **settings: Any) -> Session:
    config = SessionConfig(modality="eeg", replay=recording, **settings)
    painter = Painter(bundle, lambda: Drawer(bundle, generator))
    return Session(
        config,
        Source(config, recording),
        bundle,
        lambda info: watch_chain(info, config.modality),
        painter=painter,
    )


class Listening:
    """A painter's keeper: notes the evidence of every window, as the painter gets it."""

    def __init__(self, bundle: Bundle) -> None:
        self.reader, self.heard = TrialReader(bundle), list[TrialEvidence]()

    def __call__(self, window: Any, embedding: np.ndarray) -> None:
        self.heard.append(self.reader.keep(window, embedding))


def test_a_session_draws_what_it_decodes_and_believes_what_it_would_offline(tmp_path: Path) -> None:
    path, bundle = write_csv(tmp_path / "run.csv"), picture_bundle()
    session = drawn_session(bundle, path, PlainGenerator(), speed=4.0)
    live = Listening(bundle)
    painter = session.painter
    assert painter is not None
    keep = painter.keep

    def listen(window: Any, embedding: np.ndarray) -> None:
        live(window, embedding)
        keep(window, embedding)

    painter.keep = listen  # type: ignore[method-assign]
    run(session)
    offline = Listening(bundle)
    decode_recording(bundle, Encoder(bundle), open_recording(path), bundle.manifest.stimuli(), keep=offline)
    believe = Posteriors(bundle, PlainGenerator().pictures)
    beliefs = [
        {(one.trial.onset, one.k): believe(one.evidence) for one in side.heard} for side in (live, offline)
    ]
    assert beliefs[0].keys() == beliefs[1].keys()
    assert len(beliefs[0]) > 50
    for place, ours in beliefs[0].items():
        assert ours.mean == pytest.approx(beliefs[1][place].mean, abs=1e-5)
        assert ours.open_share == pytest.approx(beliefs[1][place].open_share, abs=1e-6)
    summary = session_summary(session, 0)
    check_keys(summary)
    told = summary["reconstructions"]
    assert told["made"] > 5
    assert sum(told[name] for name in ("made", "superseded", "skipped", "held", "failed")) == len(live.heard)
    assert (told["held"], told["failed"], told["steps"], told["missing"]) == (0, 0, 1, None)
    assert summary["latency_ms"]["generate"]["p50"] > 0
    assert summary["windows"]["skipped"] == 0
    last = session.snapshot()
    assert last.generator == "plain"
    assert last.reconstruction is not None
    assert last.reconstruction.of.startswith("trial ")
    assert "generate" in [name for name, *_ in last.latency_ms]
    assert "settled" in progress_line(last)
    assert picture(last).renderables


def test_a_generator_that_never_answers_costs_the_pictures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decode_stream.sessions.painter._STUCK_S", 0.1)
    monkeypatch.setattr("decode_stream.sessions.painter._END_S", 0.1)
    gate = threading.Event()
    path, bundle = write_csv(tmp_path / "run.csv"), picture_bundle()

    session = drawn_session(bundle, path, PlainGenerator(before_draw=lambda _: wait()), speed=4.0)

    def wait() -> None:
        if session.painter is not None and session.painter.summary()["generator"]:  # it is loaded
            gate.wait(60)

    run(session)
    summary = session_summary(session, 0)
    gate.set()
    assert summary["reconstructions"]["made"] == 0
    assert summary["trials"]["scored"] > 5
    assert summary["windows"]["skipped"] == 0
    told = [event for event in session.events if event.kind == "generator"]
    assert len(told) == 1
    assert "decoding goes on" in told[0].text
    assert session.error is None


def test_of_a_generator_of_another_space_or_step_it_is_said_what_to_give(tmp_path: Path) -> None:
    bundle, path = picture_bundle(), tmp_path / "drawer.zip"
    other = replace(PlainGenerator().space, model="ViT-H-14", dimension=1024)
    with pytest.raises(UsageError, match=r"ViT-H-14 .*\(1024 numbers\).*--generator none"):
        check_generator(PlainGenerator(space=other), path, bundle, None)
    with pytest.raises(UsageError, match="--steps is 4, and .* draws in 1, 2"):
        check_generator(PlainGenerator(n_steps=(1, 2)), path, bundle, 4)
    check_generator(PlainGenerator(), path, bundle, 4)


@pytest.mark.parametrize(
    ("config", "bundle", "why"),
    [
        (SessionConfig(generator=Path("none")), picture_bundle(), "--generator none"),
        (SessionConfig(), None, "nothing is decoded"),
        (SessionConfig(), small_bundle(), "categories are decoded, not pictures"),
    ],
    ids=["none", "watching", "categories"],
)
def test_a_session_without_pictures_says_why(config: SessionConfig, bundle: Bundle | None, why: str) -> None:
    assert painter_of(config, bundle) == (None, why)


def test_a_generator_that_was_asked_for_is_refused_before_the_session(tmp_path: Path) -> None:
    config = SessionConfig(bundle=tmp_path, generator=tmp_path / "nothing.zip")
    with pytest.raises(BundleError, match="There is no generator at"):
        painter_of(config, picture_bundle())


def test_the_shipped_generator_is_compared_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, bundle, space = tmp_path / "generator.zip", picture_bundle(), PlainGenerator().space
    monkeypatch.setattr("decode_stream.sessions.generators.demo_generator", lambda: shipped)
    for model in (space.model, "ViT-H-14"):
        manifest = EmbeddedManifest(model, replace(space, model=model), 32, (1, 2), GeneratorTraining(""))
        # No network: whoever loads it fails.
        save_parts(EmbeddedParts(manifest, b"", plain_picture_model()), shipped, overwrite=True)
        painter, why = painter_of(SessionConfig(), bundle)
        if model == space.model:
            assert (painter is not None, why) == (True, "")
            # Somebody who asks for steps asks for pictures.
            with pytest.raises(UsageError, match="--steps is 4, and .* draws in 1, 2"):
                painter_of(SessionConfig(steps=4), bundle)
        else:
            assert painter is None
            assert "draws embeddings of ViT-H-14" in why


def test_an_old_bundle_says_that_it_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = replace(picture_bundle(), projector=None, gallery=np.eye(2, 192, dtype=np.float32))
    monkeypatch.setattr("decode_stream.sessions.generators.demo_generator", lambda: tmp_path)
    painter, why = painter_of(SessionConfig(), bundle)
    assert painter is None
    assert why.endswith("Train the bundle anew.")
