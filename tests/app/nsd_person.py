"""A small simulated person in NSD's folders, who is easy to decode."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from decode_stream.replay_data.nsd.facts import LABELS, file_run
from decode_stream.replay_data.nsd.write import write_betas, write_regions, write_timeseries
from decode_stream.replay_data.nsd.write_design import write_design
from decode_stream.replay_data.simulation.embedding_geometry import CLIP_GEOMETRY, draw_embeddings
from decode_stream.replay_data.simulation.simulate_fmri import fmri_subject
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design

N_VOXELS, N_SESSIONS = 200, 3
_N_RUNS, _N_SLOTS = 6, 44


@dataclass(frozen=True)
class NsdPerson:
    """Where the files of a person lie, and the truth about it."""

    root: Path
    nsd: SimulatedNsd

    @property
    def betas(self) -> list[Path]:
        """One file a session."""
        folder = self.root / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
        return [folder / f"betas_session{session:02d}.hdf5" for session in range(1, N_SESSIONS + 1)]

    @property
    def runs(self) -> list[Path]:
        """Volumes of the first session, one file a run."""
        folder = self.root / "nsddata_timeseries/ppdata/subj01/func1pt8mm/timeseries"
        return [folder / f"timeseries_session01_run{run:02d}.nii.gz" for run in range(1, _N_RUNS + 1)]

    @property
    def target(self) -> str:
        """The pictures' embeddings."""
        return f"file:{self.root / 'e.safetensors'}"

    @property
    def regions(self) -> Path:
        """Folder of the atlases."""
        return self.root / "nsddata/ppdata/subj01/func1pt8mm/roi"


def write_person(root: Path, *, empty: int = 0) -> NsdPerson:
    """Write the files; the first `empty` voxels hold no data in the second session."""
    design = simulate_nsd_design(N_SESSIONS, n_runs=_N_RUNS, n_slots=_N_SLOTS)
    n_pictures = int(design.subjectim.max())
    embeddings = draw_embeddings(CLIP_GEOMETRY, n_pictures, 1, np.random.default_rng(0))
    subject = fmri_subject(embeddings, 40, grid=(14, 16, 14), n_voxels=N_VOXELS, signal_pct=0.8)
    nsd = SimulatedNsd(subject, design, 1, embeddings)
    write_design(root, design, np.arange(1, n_pictures + 1), [1])
    write_regions(root, 1, subject.regions(), subject.affine_mm, LABELS)
    for session in range(1, N_SESSIONS + 1):
        betas = nsd.betas(session)
        if session == 2:
            betas[:, :empty] = 0
        write_betas(root, 1, session, betas, subject.mask, subject.affine_mm, forms=("hdf5",))
    for number in range(1, _N_RUNS + 1):
        where = (root, 1, 1, file_run(1, 1, number))
        write_timeseries(*where, nsd.run(1, number), subject.mask, subject.affine_mm)
    ids = np.arange(n_pictures)
    save_file({"embeddings": np.asarray(embeddings, np.float32), "ids": ids}, root / "e.safetensors")
    return NsdPerson(root, nsd)
