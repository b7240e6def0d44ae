"""How well the simulated person in the scanner can be decoded: a plain ridge, and the ideal observer.

``python -m benchmarks.simulated_fmri --sessions 4 --voxels 15724`` prints, for single trials and for means of three
repeats, how often each is right among 200 pictures that it was not trained on.
"""

import argparse
import time

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.chains import design_chain
from decode_stream.decoders.encoders.ridge import entries, fit_ridge
from decode_stream.decoders.evidence import similarity
from decode_stream.decoders.ideal.ideal_observer import Sufficient, log_likelihood
from decode_stream.decoders.ideal.ideal_observer_fmri import (
    VoxelModel,
    alone,
    betas_observer,
    volumes_observer,
)
from decode_stream.decoders.scoring.fraction_of_ideal import fraction_of_ideal
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.simulation.embedding_geometry import (
    CLIP_GEOMETRY,
    LAYOUT_GEOMETRY,
    draw_embeddings,
    join_parts,
)
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject, fmri_subject, response_course
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.stream.filters import CausalChain
from decode_stream.stream.types import FloatArray, IntArray

N_GALLERY, N_LAYOUT = 200, 64
#: The window of a trial in volumes: 4 to 8 s after the onset.
LAG, WIDTH = 3, 3


def simulated(n_sessions: int, n_voxels: int, grid: tuple[int, int, int], seed: int) -> SimulatedNsd:
    """Return a person's part in a simulated NSD, with embeddings of CLIP's geometry."""
    rng = np.random.default_rng(seed)
    design = simulate_nsd_design(n_sessions, seed=seed)
    n = int(design.subjectim.max())
    layout = draw_embeddings(LAYOUT_GEOMETRY, n, 1, rng)
    meaning = draw_embeddings(CLIP_GEOMETRY, n // 10 + 1, 10, rng)[:n]
    embeddings = join_parts(layout, meaning)
    subject = fmri_subject(embeddings, N_LAYOUT, grid=grid, n_voxels=n_voxels, seed=seed)
    return SimulatedNsd(subject, design, 1, embeddings, seed)


def model(subject: FmriSubject, noise: float) -> VoxelModel:
    """Return the truth about a person, with noise of a share of that of volumes."""
    return VoxelModel(
        tuning=subject.tuning.astype(np.float64),
        common=subject.common.astype(np.float64),
        origin=subject.origin,
        own_noise=noise * subject.own_noise.astype(np.float64),
        shared_noise=noise * subject.shared_noise.astype(np.float64),
    )


def window_means(run: SimulatedVolumes) -> npt.NDArray[np.float32]:
    """Return each trial's mean volume behind the chain that fMRI has, shape (n_trials, n_voxels)."""
    spec = design_chain(run.channels, run.sfreq_hz, "fmri")
    volumes = CausalChain(spec, run.channels, run.sfreq_hz).process(run.read(0, run.n_samples), 0)
    return np.stack([volumes[at + LAG : at + LAG + WIDTH].mean(axis=0) for at in run.stimuli.onset])


def seen_in_volumes(
    nsd: SimulatedNsd, run: SimulatedVolumes, truth: VoxelModel, rows: IntArray
) -> Sufficient:
    """Return what the ideal observer knows of each trial of a run without artefacts."""
    subject, course = nsd.subject, response_course(run.tr_s)
    percent = 100 * (run.read(0, run.n_samples) / subject.level - 1)
    cut, kept = alone(percent, run.stimuli.onset, subject.answers(run.shown), course, 1, LAG + WIDTH)
    own = np.concatenate([[0.0], course[: LAG + WIDTH]])
    return volumes_observer(cut, own, subject.ar, truth, rows[kept])


def report(
    what: str, features: FloatArray, nsd: SimulatedNsd, test: IntArray, seen: Sufficient, chance: float
) -> None:
    """Fit the ridge on all trials of other pictures, and print how it and the ideal observer do on the rest."""
    began_s = time.monotonic()
    table = nsd.trials.table
    assert table.id is not None
    assert table.session is not None
    held = np.isin(table.id, test)
    wanted = entries(nsd.embeddings, "unit")
    readout = fit_ridge(features[~held], wanted, table.session[~held], labels=table.id[~held])
    fit_s = time.monotonic() - began_s
    decoded = features[held] @ readout.weights + readout.offset
    truth = np.searchsorted(test, table.id[held])
    gallery = np.asarray(nsd.embeddings[test], np.float64)
    right = hits(similarity(decoded, gallery, "unit"), truth)
    means = np.stack([decoded[truth == k].mean(axis=0) for k in range(len(test))])
    repeated = hits(similarity(means, gallery, "unit"), np.arange(len(test)))
    ideal = hits(log_likelihood(seen, gallery), np.searchsorted(test, table.id[seen.rows]))
    low, high = wilson(right.sum(), len(right))
    print(
        f"{what}: ridge on {np.count_nonzero(~held)} trials ({fit_s:.0f} s): single trial {right.mean():.3f} "
        f"(95 % {low:.3f} to {high:.3f}, n = {len(right)}), {right.mean() / chance:.1f} times chance; mean of three "
        f"{repeated.mean():.3f}, {repeated.mean() / chance:.1f} times; ideal observer, single trial {ideal.mean():.3f}"
    )
    mine = np.isin(np.flatnonzero(held), seen.rows)
    n_training = int(np.count_nonzero(~held))
    print(f"  {fraction_of_ideal(right[mine], ideal, chance, n_training, pictures=truth[mine])}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--voxels", type=int, default=15_724)
    parser.add_argument("--grid", type=int, nargs=3, default=(81, 104, 83))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    grid = (asked.grid[0], asked.grid[1], asked.grid[2])
    nsd = simulated(asked.sessions, asked.voxels, grid, asked.seed)
    table, subject = nsd.trials.table, nsd.subject
    assert table.id is not None
    test = np.sort(np.random.default_rng(asked.seed).permutation(np.unique(table.id))[:N_GALLERY])
    held = np.flatnonzero(np.isin(table.id, test))
    print(
        f"{asked.voxels} voxels, {asked.sessions} sessions, {len(table)} trials; among {N_GALLERY} pictures"
    )
    betas = np.concatenate([nsd.betas(session) for session in range(1, asked.sessions + 1)])
    seen = betas_observer(betas[held], model(subject, subject.beta_noise), held)
    report("betas", betas, nsd, test, seen, 1 / N_GALLERY)
    del betas
    parts, known, first = [], list[Sufficient](), 0
    truth = model(subject, 1.0)
    sessions, numbers = table.session, table.run
    assert sessions is not None
    assert numbers is not None
    for run in nsd.runs(range(1, asked.sessions + 1)):
        rows = first + np.arange(len(run.stimuli))
        first += len(rows)
        parts.append(window_means(run))
        known.append(
            seen_in_volumes(
                nsd,
                nsd.run(int(sessions[rows[0]]), int(numbers[rows[0]]), artefacts=False),
                truth,
                rows,
            )
        )
    b, rows = np.concatenate([part.b for part in known]), np.concatenate([part.rows for part in known])
    mine = np.isin(rows, held)
    seen = Sufficient(rows[mine], b[mine], np.ones((mine.sum(), 1), np.int64), known[0].grams)
    report("volumes", np.concatenate(parts), nsd, test, seen, 1 / N_GALLERY)


if __name__ == "__main__":
    main()
