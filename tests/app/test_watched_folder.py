"""What a session makes of a scanner's folder before it decodes: it waits, follows the head, and refuses."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.sessions.run import run_session
from decode_stream.sessions.session import Session
from decode_stream.stream.errors import StreamError, UsageError

from .scanned_runs import AFFINE_MM, GRID, decoder_of_volumes, numbered, source_of, told, watch, write


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedVolumes]:
    """A decoder that knows its grid, and a run that it has not seen."""
    made, unseen = decoder_of_volumes()
    path = tmp_path_factory.mktemp("bundles") / "small.bundle"
    save_bundle(made, path)
    return path, unseen


def test_a_reference_is_laid_as_the_volumes_are(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    volumes = numbered(decoder[1])[:4]
    write(tmp_path / "scan", volumes)
    left_mm = AFFINE_MM @ np.diag([-1.0, 1, 1, 1]) + np.array(
        [[0, 0, 0, 1.8 * (GRID[0] - 1)], *np.zeros((3, 4))]
    )
    write(tmp_path / "other", [(0, volumes[0][1][::-1])], affine_mm=left_mm)
    session = watch(
        tmp_path / "scan",
        load_bundle(decoder[0]),
        run_volumes=4,
        reference=tmp_path / "other" / "run_0000.nii",
    )
    view = session.snapshot().scan
    assert view is not None
    assert view.motion is not None
    assert np.abs(view.motion).max() < 0.3


def test_the_head_is_followed_and_its_movement_is_shown(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording = load_bundle(decoder[0]), decoder[1]
    volumes = numbered(recording)
    moved = [(n, np.roll(v, 1, axis=1) if n >= 3 else v) for n, v in volumes[:6]]
    write(tmp_path / "scan", moved)
    session = watch(tmp_path / "scan", bundle, run_volumes=6)
    view = session.snapshot().scan
    assert view is not None
    assert view.motion is not None
    assert np.abs(view.motion[:3]).max() < 0.1
    # What is a voxel farther to the front is brought back.
    np.testing.assert_allclose(view.motion[3:, 1], -1.8, atol=0.2)
    assert "the first volume of the run" in told(session, "note")
    assert "ms a volume" in told(session, "registration")


def test_without_a_bundle_the_head_is_looked_at(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    write(tmp_path / "scan", numbered(decoder[1])[:4])
    session = watch(tmp_path / "scan", None, run_volumes=4, motion_correction=False)
    assert session.snapshot().scan is not None
    assert not (tmp_path / "scan.journal").exists()


def test_a_folder_that_may_not_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    _, source = source_of(tmp_path / "kept" / "scan", None, onsets=tmp_path / "events.tsv")
    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(UsageError, match="scan cannot be looked at: Permission denied. Ask for the right"):
        source.connect(threading.Event())


def test_a_folder_that_comes_later_is_waited_for(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    def meanwhile(session: Session) -> None:
        while "there is no folder" not in told(session, "waiting"):
            time.sleep(0.01)
        (tmp_path / "scan").mkdir()
        while "no volume has come" not in told(session, "waiting"):
            time.sleep(0.01)
        write(tmp_path / "scan", numbered(decoder[1])[:3])

    session = watch(
        tmp_path / "scan", load_bundle(decoder[0]), meanwhile, run_volumes=3, motion_correction=False
    )
    assert session.pipeline is not None
    assert session.pipeline.ingest.next_sample == 3


def refused(folder: Path, bundle: Bundle, **more: object) -> str:
    _, source = source_of(folder, bundle, **more)
    try:
        with pytest.raises((StreamError, UsageError)) as raised:
            source.connect(threading.Event())
    finally:
        source.close()
    return str(raised.value)


def test_what_does_not_fit_the_decoder_is_refused(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, volumes = load_bundle(decoder[0]), numbered(decoder[1])[:2]
    write(tmp_path / "matrix", [(n, np.pad(v, ((0, 2), (0, 0), (0, 0)))) for n, v in volumes])
    assert "matrix of 16 x 16 x 14" in refused(tmp_path / "matrix", bundle)
    small = replace(bundle, manifest=replace(bundle.manifest, volume=None))
    write(tmp_path / "small", [(n, v[:6]) for n, v in volumes])
    assert "do not have" in refused(tmp_path / "small", small)
    write(tmp_path / "tr", volumes, tr_s=2.0)
    assert "every 2 s" in refused(tmp_path / "tr", bundle)
    write(tmp_path / "fine", volumes)
    assert "There is no --reference" in refused(tmp_path / "fine", bundle, reference=tmp_path / "none.nii")
    assert "--onsets" in refused(tmp_path / "fine", bundle, onsets=tmp_path / "none.tsv")
    (tmp_path / "diary").write_text("dear diary")
    assert "is a file" in refused(tmp_path / "diary", bundle)
    assert "no journal" in refused(tmp_path / "fine", bundle, journal=tmp_path / "diary")
    thick = next((tmp_path / "matrix").iterdir())
    assert "matrix of 16" in refused(tmp_path / "fine", bundle, reference=thick)


def test_what_only_lies_elsewhere_or_is_thin_goes_on_with_a_note(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, volumes = load_bundle(decoder[0]), numbered(decoder[1])[:2]
    shifted_mm = AFFINE_MM.copy()
    shifted_mm[:3, 3] += 3
    write(tmp_path / "shifted", volumes, affine_mm=shifted_mm)
    session = watch(tmp_path / "shifted", bundle, run_volumes=2, motion_correction=False)
    assert "5.2 mm from those of the training" in told(session, "note")
    write(tmp_path / "thin", [(n, v[:, :, 7:8]) for n, v in volumes])
    session = watch(tmp_path / "thin", None, run_volumes=2)
    assert "goes on without motion correction" in told(session, "note")
    assert session.snapshot().scan is not None


def test_flags_of_a_folder_are_refused_without_one(tmp_path: Path) -> None:
    for flags in ({"tr_s": 2.0}, {"onsets": tmp_path}, {"motion_correction": False}, {"journal": tmp_path}):
        with pytest.raises(UsageError, match="belongs to --watch"):
            SessionConfig(**flags)  # type: ignore[arg-type]
    for flags in ({"replay": tmp_path}, {"demo": True}, {"modality": "eeg"}, {"tr_s": 0.0}):
        with pytest.raises(UsageError):
            SessionConfig(watch=tmp_path, **flags)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one or the other"):
        SessionConfig(watch=tmp_path, onsets=tmp_path / "e.tsv", first_volume="start")
    with pytest.raises(UsageError, match="leave out --counter-channel"):
        run_session(SessionConfig(watch=tmp_path, counter_channel="count"))
