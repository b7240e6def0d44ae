"""A scanner's folder as a session's signal: decoded as offline, through losses and bad input."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.decoders.runtime import Encoder
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.sessions.session import Session
from decode_stream.sessions.watched_source import WatchedSource
from decode_stream.stream.errors import StreamError
from decode_stream.stream.fmri.beta_recording import beta_recording
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.journal import read_journal
from decode_stream.stream.lsl import lsl_now
from decode_stream.training.train import train

from .scanned_runs import (
    AFFINE_MM,
    GRID,
    NAMES,
    TR_S,
    decoder_of_volumes,
    embeddings,
    evidence,
    numbered,
    run,
    subject,
    told,
    watch,
    write,
    write_onsets,
)

N = 45


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedVolumes]:
    """A decoder that knows its grid, and a run that it has not seen."""
    made, unseen = decoder_of_volumes()
    path = tmp_path_factory.mktemp("bundles") / "small.bundle"
    save_bundle(made, path)
    return path, unseen


@pytest.fixture(scope="module")
def of_betas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedVolumes]:
    """A decoder of betas that are made from volumes, and a run that it has not seen."""
    who = subject()
    space = EmbeddingSpace("drawn", "at random", 8, "unit")
    gallery = Gallery(NAMES, embeddings().astype(np.float32), space, {}, {})
    runs = [run(who, number) for number in range(4)]
    spec = GlmSpec(stimulus_s=1.0, decide_s=8.0, planned_volumes=N)
    betas = [beta_recording(one, spec) for one in runs[1:]]
    made, _ = train(betas, name="betas", modality="fmri", model="ridge", gallery=gallery, glm=spec)
    path = tmp_path_factory.mktemp("bundles") / "betas.bundle"
    save_bundle(made, path)
    return path, runs[0]


def test_a_folder_is_decoded_as_the_recording_is(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording = load_bundle(decoder[0]), decoder[1]
    offline = decode_recording(bundle, Encoder(bundle), recording, bundle.manifest.stimuli())
    write(tmp_path / "scan", numbered(recording))
    session = watch(
        tmp_path / "scan",
        bundle,
        onsets=write_onsets(tmp_path / "events.tsv", recording),
        run_volumes=N,
        motion_correction=False,
    )
    expected = np.array([trial.log_evidence for trial in offline.scores.trials])
    assert len(expected) == 12
    # Windows are decoded one by one here and in batches there, which tells in the last bit.
    np.testing.assert_allclose(evidence(session), expected, atol=1e-9)
    assert f"{len(recording.channels)} voxels every 1.333 s" in told(session, "connected")
    # The number of the volume is no signal that is left over.
    assert "not used" not in told(session, "note")


def test_a_table_of_onsets_between_volumes_gives_the_betas_of_the_recording(
    of_betas: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording = load_bundle(of_betas[0]), of_betas[1]
    spec = bundle.manifest.glm
    assert spec is not None
    spec = replace(spec, own_durations=True)
    bundle = replace(bundle, manifest=replace(bundle.manifest, glm=spec))
    rng = np.random.default_rng(0)
    fraction, lasting_s = rng.uniform(-0.5, 0.5, 12), rng.uniform(0.5, 3.0, 12)
    timed = replace(recording, stimuli=replace(recording.stimuli, fraction=fraction, duration_s=lasting_s))
    made = beta_recording(timed, spec, voxels=bundle.manifest.chain.channels)
    offline = decode_recording(bundle, Encoder(bundle), made, bundle.manifest.stimuli())
    expected = np.array([trial.log_evidence for trial in offline.scores.trials])
    write(tmp_path / "scan", numbered(timed))
    rows = [
        f"{(at + behind) * TR_S:.6f}\t{lasts:.17g}\t{label}"
        for (at, label), behind, lasts in zip(recording.markers, fraction, lasting_s, strict=True)
    ]
    table = tmp_path / "events.tsv"
    table.write_text("\n".join(["onset\tduration\ttrial_type", *rows]) + "\n")
    session = watch(tmp_path / "scan", bundle, onsets=table, run_volumes=N, motion_correction=False)
    got = evidence(session)
    assert got.shape == expected.shape
    assert len(got) > 6
    np.testing.assert_allclose(got, expected, atol=1e-6)
    # Whole volumes would have told otherwise.
    whole = beta_recording(recording, spec, voxels=bundle.manifest.chain.channels).values
    assert np.abs(whole - made.values).max() > 0.01


def test_volumes_whose_axes_run_otherwise_are_laid_as_those_of_the_training(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording = load_bundle(decoder[0]), decoder[1]
    offline = decode_recording(bundle, Encoder(bundle), recording, bundle.manifest.stimuli())
    # As dcm2niix lays what the training has to the right, front and up; and with two axes changed for each other.
    left_mm = AFFINE_MM @ np.array([[-1, 0, 0, GRID[0] - 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    laid = [(n, values[::-1].transpose(0, 2, 1)) for n, values in numbered(recording)]
    write(tmp_path / "scan", laid, affine_mm=left_mm)
    session = watch(
        tmp_path / "scan",
        bundle,
        onsets=write_onsets(tmp_path / "events.tsv", recording),
        run_volumes=N,
        motion_correction=False,
    )
    expected = np.array([trial.log_evidence for trial in offline.scores.trials])
    np.testing.assert_allclose(evidence(session), expected, atol=1e-9)
    assert "turned from LSA to RAS" in told(session, "note")
    assert "lie up to" not in told(session, "note")


def test_lost_volumes_are_gaps_at_their_places(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording = load_bundle(decoder[0]), decoder[1]
    lost = (20, 21)
    write(tmp_path / "scan", [one for one in numbered(recording) if one[0] not in lost])
    session = watch(
        tmp_path / "scan",
        bundle,
        onsets=write_onsets(tmp_path / "events.tsv", recording),
        run_volumes=N,
        motion_correction=False,
    )
    assert "volumes 21 to 22 did not come" in told(session, "missing")
    assert session.pipeline is not None
    assert session.pipeline.ingest.continuity.lost == 2
    view = session.snapshot().scan
    assert view is not None
    assert view.lost == lost
    assert session.pipeline.decoder is not None
    assert session.pipeline.decoder.withheld > 0


def test_volumes_that_wait_are_taken_before_a_loss_ends_the_run(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    volumes = [one for one in numbered(decoder[1])[:9] if one[0] != 7]
    write(tmp_path / "scan", volumes)
    (tmp_path / "scan" / "diary_0001.nii").write_bytes((tmp_path / "scan" / "run_0000.nii").read_bytes())
    session = watch(
        tmp_path / "scan", load_bundle(decoder[0]), run_volumes=8, series="run_", motion_correction=False
    )
    assert session.pipeline is not None
    assert session.pipeline.ingest.next_sample >= 7
    assert told(session, "left out") == "1 files of other series"


def test_betas_without_onsets_are_refused_before_the_scan(
    of_betas: tuple[Path, SimulatedVolumes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other programs' markers may be on this machine's network.
    monkeypatch.setattr("decode_stream.sessions.watched_source.find_streams", lambda query, wait_s: [])
    bundle = load_bundle(of_betas[0])
    source = WatchedSource(SessionConfig(modality="fmri", watch=tmp_path), tmp_path)
    source.bundle = bundle
    with pytest.raises(StreamError, match="no marker stream.*--onsets"):
        source.connect(threading.Event())


def test_betas_of_a_folder_are_those_of_the_recording(
    of_betas: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording = load_bundle(of_betas[0]), of_betas[1]
    assert bundle.manifest.glm is not None
    betas = beta_recording(recording, bundle.manifest.glm)
    offline = decode_recording(bundle, Encoder(bundle), betas, bundle.manifest.stimuli())
    write(tmp_path / "scan", numbered(recording))
    session = watch(
        tmp_path / "scan",
        bundle,
        onsets=write_onsets(tmp_path / "events.tsv", recording),
        run_volumes=N,
        motion_correction=False,
    )
    expected = np.array([trial.log_evidence for trial in offline.scores.trials])
    assert len(expected) > 6
    np.testing.assert_allclose(evidence(session), expected, atol=1e-5)


@pytest.mark.lsl
def test_markers_over_lsl_are_placed_from_the_one_that_says_that_the_scan_begins(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    import pylsl

    bundle, volumes = load_bundle(decoder[0]), numbered(decoder[1])
    name = f"markers-{uuid4()}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, pylsl.cf_string, name))

    def meanwhile(session: Session) -> None:
        assert outlet.wait_for_consumers(10)
        while not told(session, "waiting"):
            time.sleep(0.01)
        began_s = lsl_now() - TR_S
        outlet.push_sample(["scan"], began_s - 60)  # of the run before
        outlet.push_sample(["scan"], began_s)
        outlet.push_sample(["tree"], began_s + 3 * TR_S)
        # As a scanner that sends a pulse with every volume.
        outlet.push_sample(["scan"], began_s + TR_S)
        time.sleep(0.3)
        write(tmp_path / "scan", volumes[:1])
        while not told(session, "connected"):
            time.sleep(0.01)
        write(tmp_path / "scan", volumes[1:12])

    (tmp_path / "scan").mkdir()
    session = watch(
        tmp_path / "scan",
        bundle,
        meanwhile,
        markers=name,
        first_volume="scan",
        run_volumes=12,
        motion_correction=False,
    )
    assert session.pipeline is not None
    assert session.pipeline.decoder is not None
    (trial,) = session.pipeline.decoder.scores.trials
    assert (trial.onset, NAMES[trial.stimulus]) == (3, "tree")
    kept = read_journal(tmp_path / "scan.journal")
    assert kept is not None
    assert [marker.label for marker in kept.markers] == ["tree"]
