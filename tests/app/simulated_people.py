"""Two simulated people of NSD who are easy to decode, with voxels of their own, file for file."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from decode_stream.replay_data.nsd.write import write_betas, write_regions
from decode_stream.replay_data.nsd.write_design import write_design, write_responses
from decode_stream.replay_data.simulation.simulate_fmri import fmri_subject
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design

N_SESSIONS, N_TOKENS, TOKEN_DIM = 5, 3, 4
#: Voxels of each person.
N_VOXELS = {1: 120, 2: 90}


@dataclass(frozen=True)
class People:
    """What was written.

    Attributes
    ----------
    betas : dict of int to list of Path
        By person, a file a session.
    target : str
        Embeddings of all pictures, in tokens.
    """

    betas: dict[int, list[Path]]
    target: str


def write_people(root: Path) -> People:
    """Write betas, design and regions of both, and the embeddings of what they saw."""
    design = simulate_nsd_design(N_SESSIONS, n_runs=4, n_slots=45)
    n_pictures = int(design.subjectim.max())
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((n_pictures, N_TOKENS * TOKEN_DIM)).astype(np.float32)
    write_design(root, design, np.arange(1, n_pictures + 1), list(N_VOXELS))
    betas = {}
    for number, n_voxels in N_VOXELS.items():
        made = fmri_subject(embeddings, 6, grid=(14, 16, 14), n_voxels=n_voxels, seed=number)
        person = replace(made, tuning=30 * made.tuning)
        simulated = SimulatedNsd(person, design, number, embeddings)
        write_responses(root, design, number, N_SESSIONS)
        write_regions(root, number, person.regions(), person.affine_mm, {})
        for session in range(1, N_SESSIONS + 1):
            write_betas(root, number, session, simulated.betas(session), person.mask, person.affine_mm)
        folder = root / f"nsddata_betas/ppdata/subj{number:02d}/func1pt8mm"
        betas[number] = sorted(folder.rglob("betas_session*.hdf5"))
    path = root / "tokens.safetensors"
    tokens: npt.NDArray[np.float32] = embeddings.reshape(n_pictures, N_TOKENS, TOKEN_DIM)
    save_file({"embeddings": tokens, "ids": np.arange(n_pictures)}, path)
    return People(betas, f"file:{path}")
