"""What ifs of a session: the last trials, decoded anew beside it."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.brain.readout import readout_of
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.decoders.runtime import Encoder
from decode_stream.demos.make_demo_fmri import demo_run
from decode_stream.gui.snapshot import WhatIfAnswer, WhatIfQuestion
from decode_stream.replay_data.simulation.simulate_fmri import fmri_subject
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.replay_data.stored import store
from decode_stream.sessions.session import Session
from decode_stream.sessions.source import Source
from decode_stream.sessions.what_if import LiveWhatIf
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.trials import TrialWindow
from decode_stream.stream.types import Trial
from decode_stream.training.train import train
from decode_stream.voxel_regions import subject_regions
from tests.decoders.bundles import small_bundle

NAMES = ("cat", "house", "plane", "tree", "shoe", "face")


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    looks = np.random.default_rng(0).standard_normal((len(NAMES), 8)).astype(np.float32)
    return Gallery(NAMES, looks, EmbeddingSpace("drawn", "at random", 8, "unit"), {}, {})


@pytest.fixture(scope="module")
def runs(gallery: Gallery) -> list[SimulatedVolumes]:
    subject = fmri_subject(gallery.embeddings, 3, grid=(14, 16, 14), n_voxels=200, signal_pct=2.0, seed=1)
    return [demo_run(subject, gallery, 18, (0, number)) for number in range(4)]


@pytest.fixture(scope="module")
def bundle(runs: list[SimulatedVolumes], gallery: Gallery) -> Bundle:
    made, _ = train(runs[1:], name="small", modality="fmri", model="ridge", gallery=gallery)
    return replace(made, regions=subject_regions(runs[0].subject))


def answered(live: LiveWhatIf | Session, question: WhatIfQuestion) -> WhatIfAnswer:
    """Wait for the answer to a question."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        found = live.answer if isinstance(live, LiveWhatIf) else live.snapshot().what_if
        if found is not None and found.question == question:
            return found
        time.sleep(0.005)
    raise AssertionError("no answer came")


def window(bundle: Bundle, number: int) -> CutWindow:
    data = np.random.default_rng(number).standard_normal((200, bundle.manifest.schedule.n_times))
    trial = Trial(number, 0, number % 2 - 1, "x", 0.0)
    return CutWindow(3, TrialWindow(trial, 0, 0, 3), data.astype(np.float32))


def test_the_last_trials_are_kept_and_no_more(bundle: Bundle) -> None:
    live = LiveWhatIf(bundle, Encoder(bundle))
    for number in range(25):
        live.keep(window(bundle, number), np.zeros(1, np.float32))
    assert [trial.number for trial in live.past] == list(range(5, 25))
    assert "streams=early" in live.regions
    gone = WhatIfQuestion(2, "streams=early", None)
    live.ask(gone)
    assert answered(live, gone).failure == "its window is no longer kept"
    nowhere = WhatIfQuestion(20, "streams=nowhere", None)
    live.ask(nowhere)
    assert answered(live, nowhere).failure == "there is no such region"


def test_answers_are_those_of_the_decoder(bundle: Bundle) -> None:
    live = LiveWhatIf(bundle, Encoder(bundle))
    kept = window(bundle, 1)
    live.keep(kept, np.zeros(1, np.float32))
    assert kept.data is not None
    before = kept.data.copy()
    kept.data[:] = 0  # what the session does with a window does not matter
    question = WhatIfQuestion(1, "streams=ventral", None)
    live.ask(WhatIfQuestion(1, "streams=early", 2.0))
    live.ask(question)
    found = answered(live, question)
    readout = readout_of(bundle, Encoder(bundle))
    assert bundle.regions is not None
    mask = bundle.regions.mask("streams=ventral")
    p = readout.read(before[None]).probability[0]
    assert found.before[0].probability == pytest.approx(p.max())
    assert found.before[0].name == bundle.manifest.gallery[int(p.argmax())]
    before[mask] = 0
    assert found.after[0].probability == pytest.approx(readout.read(before[None]).probability[0].max())
    assert found.n_voxels == mask.sum()
    assert found.truth == bundle.manifest.gallery[0]


def test_a_failure_is_an_answer_and_no_end(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError("too much")

    live = LiveWhatIf(bundle, Encoder(bundle))
    live.keep(window(bundle, 1), np.zeros(1, np.float32))
    monkeypatch.setattr("decode_stream.sessions.what_if.what_if", fails)
    question = WhatIfQuestion(1, "streams=early", None)
    live.ask(question)
    assert answered(live, question).failure == "it could not be decoded: too much"


@pytest.mark.lsl
def test_a_replay_can_be_asked_when_it_is_over(
    runs: list[SimulatedVolumes], bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "run.recording"
    store(runs[0], path)
    config = SessionConfig(modality="fmri", replay=path, speed=100.0)
    session = Session(config, Source(config, path), bundle, lambda info: watch_chain(info, config.modality))
    session.start()
    try:
        assert session.wait(60)
    finally:
        session.stop()
        session.join()
    snapshot = session.snapshot()
    assert len(snapshot.past) == 18
    newest = snapshot.past[-1]
    question = WhatIfQuestion(newest.number, "streams=early", 3.0)
    session.ask_what_if(question)
    found = answered(session, question)
    assert found.failure == ""
    assert found.truth == newest.name
    assert found.cosine < 1


def test_a_bundle_without_regions_is_asked_nothing(bundle: Bundle) -> None:
    plain = small_bundle()
    with pytest.raises(ValueError, match="'small' knows no regions"):
        LiveWhatIf(plain, Encoder(plain))
