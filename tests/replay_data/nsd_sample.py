"""A small dataset in NSD's layout, for the tests of its readers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats.voxels import voxel_channels
from decode_stream.replay_data.nsd.design import NsdDesign, design_trials
from decode_stream.replay_data.nsd.write import write_betas, write_pictures, write_regions, write_timeseries
from decode_stream.replay_data.nsd.write_design import write_design, write_responses
from decode_stream.stream.stimuli import StimulusTable

GRID = (7, 6, 5)
N_SLOTS = 8
AFFINE_MM = np.array([[-1.8, 0, 0, 90], [0, 1.8, 0, -120], [0, 0, 1.8, -70], [0, 0, 0, 1.0]])


@dataclass
class Sample:
    root: Path
    design: NsdDesign
    mask: npt.NDArray[np.bool_]
    betas: npt.NDArray[np.float64]
    volumes: npt.NDArray[np.float64]

    @property
    def func(self) -> Path:
        return self.root / "nsddata/ppdata/subj01/func1pt8mm"

    def beta_file(self, form: str = "hdf5", session: int = 1) -> Path:
        folder = self.root / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf"
        return folder / f"betas_session{session:02d}.{form}"

    def series_file(self, run: int = 1) -> Path:
        folder = self.root / "nsddata_timeseries/ppdata/subj01/func1pt8mm/timeseries"
        return folder / f"timeseries_session01_run{run:02d}.nii.gz"


def small_design(seed: int = 0, n_sessions: int = 2, n_runs: int = 12) -> NsdDesign:
    """Five or six of eight slots of a run show a picture; 4 pictures are shared, each is shown three times."""
    rng = np.random.default_rng(seed)
    pattern = np.zeros((n_sessions, n_runs, N_SLOTS), dtype=np.bool_)
    for session in range(n_sessions):
        for run in range(n_runs):
            shown = rng.choice(np.arange(1, N_SLOTS - 1), 6 - run % 2, replace=False)
            pattern[session, run, shown] = True
    n_images = int(pattern.sum()) // 3
    order = rng.permutation(np.repeat(np.arange(1, n_images + 1), 3))
    pattern.reshape(-1)[np.flatnonzero(pattern)[len(order) :]] = False
    shared = np.sort(rng.choice(np.arange(1, 401), 4, replace=False))
    others = np.setdiff1d(np.arange(1, 401), shared)
    subjectim = np.array(
        [np.concatenate([shared, rng.permutation(others)[: n_images - 4]]) for _ in range(8)]
    )
    return NsdDesign(order, subjectim, shared, pattern)


def write_sample(root: Path) -> Sample:
    rng = np.random.default_rng(1)
    design = small_design()
    cortex = rng.random(GRID) < 0.5
    streams = np.where(cortex, rng.integers(0, 8, GRID), -1)
    visual = np.where(cortex, rng.integers(0, 8, GRID), -1)
    mask = streams > 0
    trials = design_trials(design, 1)
    n_trials = len(trials.of(1).table)
    betas = np.round(rng.normal(0, 2, (n_trials, int(cortex.sum()))) * 300) / 300
    regions = {"brainmask": cortex.astype(int), "streams": streams, "prf-visualrois": visual}
    regions["nsdgeneral"] = np.where(cortex, mask.astype(int), -1)
    write_design(root, design, np.arange(400) * 7 + 11, [1])
    write_responses(root, design, 1, 2)
    write_regions(root, 1, regions, AFFINE_MM, {"streams": {1: "early", 5: "ventral"}})
    write_betas(root, 1, 1, betas, cortex, AFFINE_MM, version="betas_fithrf")
    volumes = rng.integers(0, 2000, (N_SLOTS * 3 + 1, int(cortex.sum()))).astype(float)
    run = trials.of(1, 1)
    assert run.slot is not None
    recording = ArrayRecording(
        volumes,
        voxel_channels(np.argwhere(cortex), None),
        0.75,
        stimuli=StimulusTable(run.slot * 3, run.table.id),
    )
    write_timeseries(root, 1, 1, 1, recording, cortex, AFFINE_MM)
    pictures = (np.full((4, 4, 3), i % 256, np.uint8) for i in range(400))
    write_pictures(root, pictures, 400, size=4)
    inside = mask[cortex]
    return Sample(root, design, mask, betas[:, inside], volumes[:, inside])
