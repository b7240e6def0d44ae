"""A simulated person's runs as a scanner's files, and sessions that watch for them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel
import numpy as np

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.decoders.volume_space import VolumeSpace
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject, fmri_subject
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.sessions.session import Session
from decode_stream.sessions.watched_run import VOLUME_NUMBER
from decode_stream.sessions.watched_source import WatchedSource
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.training.train import train

GRID = (14, 16, 14)
AFFINE_MM = np.array([[1.8, 0, 0, -12], [0, 1.8, 0, -14], [0, 0, 1.8, -12], [0, 0, 0, 1]])
TR_S = 4 / 3
NAMES = ("cat", "house", "plane", "tree", "shoe", "face")
N_VOXELS = 120


def embeddings() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(NAMES), 8))


def subject() -> FmriSubject:
    """Return somebody who is easy to decode, so that a short run tells."""
    made = fmri_subject(embeddings(), 3, grid=GRID, n_voxels=N_VOXELS, seed=1)
    return replace(made, tuning=20 * made.tuning)


def run(who: FmriSubject, number: int, n_trials: int = 12) -> SimulatedVolumes:
    rng = np.random.default_rng(number)
    which = np.concatenate([rng.permutation(len(NAMES)) for _ in range(n_trials // len(NAMES))])
    onset = 3 + 3 * np.arange(n_trials)
    return SimulatedVolumes(
        who,
        embeddings()[which],
        StimulusTable(onset, which),
        3 * n_trials + 9,
        TR_S,
        (1, number),
        name=f"run-{number}",
        labels=tuple((int(at), NAMES[i]) for at, i in zip(onset, which, strict=True)),
    )


def head() -> np.ndarray:
    """Return what the rest of the volumes shows, so that there is something to register."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    rng = np.random.default_rng(5)
    return (x**2 + y**2 + z**2 < 0.8) * (800 + 100 * rng.random(GRID))


def images(recording: SimulatedVolumes) -> list[np.ndarray]:
    """Return the volumes of a run, shape (x, y, z) each, float32."""
    indices = np.array([[int(cell) for cell in c.name.split(",")] for c in recording.channels])
    found = []
    for values in recording.read(0, recording.n_samples):
        volume = head().astype(np.float32)
        volume[tuple(indices.T)] = values
        found.append(volume)
    return found


def write(
    folder: Path,
    volumes: Iterable[tuple[int, np.ndarray]],
    *,
    affine_mm: np.ndarray = AFFINE_MM,
    tr_s: float = TR_S,
    name: str = "run",
) -> None:
    """Write volumes as files with their places in the run, whole at once."""
    folder.mkdir(exist_ok=True)
    for number, volume in volumes:
        image = nibabel.Nifti1Image(volume[..., None], affine_mm)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((1.8, 1.8, 1.8, tr_s))
        part = folder.parent / f"part-{name}.nii"
        nibabel.save(image, part)
        part.rename(folder / f"{name}_{number:04d}.nii")


def write_onsets(path: Path, recording: SimulatedVolumes) -> Path:
    rows = [f"{at * TR_S:.4f}\t1.0\t{label}" for at, label in recording.markers]
    path.write_text("\n".join(["onset\tduration\ttrial_type", *rows]) + "\n")
    return path


def source_of(folder: Path, bundle: Bundle | None, **more: object) -> tuple[SessionConfig, WatchedSource]:
    """Return a folder as a session's source; without onsets or markers nothing is shown."""
    if not {"onsets", "markers"} & set(more):
        more["onsets"] = folder.parent / "nothing.tsv"
        (folder.parent / "nothing.tsv").write_text("onset\tduration\ttrial_type\n")
    config = SessionConfig(modality="fmri", watch=folder, counter_channel=VOLUME_NUMBER, **more)  # type: ignore[arg-type]
    source = WatchedSource(config, folder)
    source.bundle = bundle
    return config, source


def watch(
    folder: Path, bundle: Bundle | None, meanwhile: Callable[[Session], None] | None = None, **more: object
) -> Session:
    """Run a session on a folder until it ends."""
    config, source = source_of(folder, bundle, **more)
    session = Session(config, source, bundle, lambda info: watch_chain(info, "fmri"))
    session.start()
    try:
        if meanwhile is not None:
            meanwhile(session)
        assert session.wait(40)
    finally:
        session.stop()
        session.join()
    return session


@cache
def decoder_of_volumes() -> tuple[Bundle, SimulatedVolumes]:
    """Return a decoder that knows its grid, and a run that it has not seen."""
    who = subject()
    space = EmbeddingSpace("drawn", "at random", 8, "unit")
    gallery = Gallery(NAMES, embeddings().astype(np.float32), space, {}, {})
    runs = [run(who, number) for number in range(4)]
    made, _ = train(runs[1:], name="small", modality="fmri", model="ridge", gallery=gallery)
    manifest = replace(made.manifest, volume=VolumeSpace.of(GRID, AFFINE_MM))
    return replace(made, manifest=manifest), runs[0]


def told(session: Session, kind: str) -> str:
    return " | ".join(event.text for event in session.events if event.kind == kind)


def evidence(session: Session) -> np.ndarray:
    assert session.pipeline is not None
    assert session.pipeline.decoder is not None
    return np.array([trial.log_evidence for trial in session.pipeline.decoder.scores.trials])


def numbered(recording: SimulatedVolumes) -> list[tuple[int, np.ndarray]]:
    return list(enumerate(images(recording)))
