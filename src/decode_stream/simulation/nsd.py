"""A simulated subject of NSD, file for file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decode_stream.replay_data.nsd.facts import LABELS, file_run
from decode_stream.replay_data.nsd.write import write_betas, write_pictures, write_regions, write_timeseries
from decode_stream.replay_data.nsd.write_design import write_design, write_responses
from decode_stream.replay_data.pictures.picture_space import picture_space, scene_embedding
from decode_stream.replay_data.pictures.scenes import compose, draw_scenes
from decode_stream.replay_data.simulation.simulate_fmri import fmri_subject
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design
from decode_stream.simulate_config import SimulateConfig
from decode_stream.stream.errors import UsageError

__all__ = ["FORMS", "write_subject"]

FORMS = ("betas-hdf5", "betas-nifti", "timeseries", "pictures")


@dataclass(frozen=True)
class _Scale:
    n_sessions: int
    n_runs: int
    n_slots: int
    grid: tuple[int, int, int]
    n_voxels: int


_SCALES = {
    "small": _Scale(2, 4, 40, (36, 43, 36), 1500),
    "full": _Scale(40, 12, 75, (81, 104, 83), 15_724),
}


def write_subject(config: SimulateConfig) -> Iterator[str]:
    """Write everything, and yield a line for each part that is whole."""
    scale, out = _SCALES[config.scale], config.out
    forms = config.chosen(FORMS)
    if config.subject > 8:
        raise UsageError(f"--subject is {config.subject}; NSD has eight.")
    design = simulate_nsd_design(
        scale.n_sessions, n_runs=scale.n_runs, n_slots=scale.n_slots, seed=config.seed
    )
    n_pictures = int(design.subjectim.max())
    scenes = draw_scenes(n_pictures, config.seed)
    space = picture_space()
    embeddings = np.zeros((n_pictures, len(space.layout_axes) + space.centres.shape[1]), np.float32)
    own = np.unique(design.subjectim[config.subject - 1]) - 1
    for place in own:
        embeddings[place] = scene_embedding(scenes[place], space)
    subject = fmri_subject(
        embeddings[own],
        len(space.layout_axes),
        grid=scale.grid,
        n_voxels=scale.n_voxels,
        seed=config.seed * 8 + config.subject,
    )
    simulated = SimulatedNsd(subject, design, config.subject, embeddings, config.seed)
    write_design(out, design, np.arange(1, n_pictures + 1), [config.subject])
    write_responses(out, design, config.subject, scale.n_sessions)
    write_regions(out, config.subject, subject.regions(), subject.affine_mm, LABELS)
    yield "design, answers, regions of interest"
    if "pictures" in forms:
        write_pictures(out, (compose(scene, 425) for scene in scenes), n_pictures)
        yield f"{n_pictures} pictures"
    for session in range(1, min(config.sessions or scale.n_sessions, scale.n_sessions) + 1):
        yield _write_session(simulated, session, out, forms)


def _write_session(simulated: SimulatedNsd, session: int, out: Path, forms: tuple[str, ...]) -> str:
    subject = simulated.subject
    place = (out, simulated.number, session)
    written = {"betas-hdf5": "hdf5", "betas-nifti": "nii.gz"}
    if betas := [ending for form, ending in written.items() if form in forms]:
        write_betas(*place, simulated.betas(session), subject.mask, subject.affine_mm, forms=betas)
    n_runs = 0
    if "timeseries" in forms:
        for run in simulated.runs(range(session, session + 1)):
            n_runs += 1
            number = file_run(simulated.number, session, n_runs)
            write_timeseries(*place, number, run, subject.mask, subject.affine_mm)
    return f"session {session}: {', '.join(betas) or 'no'} betas, {n_runs} runs"
