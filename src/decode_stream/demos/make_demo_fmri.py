"""Makes what the demo of fMRI plays: a simulated run of volumes, and a bundle trained on other pictures."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Gallery
from decode_stream.pictures.gallery import with_gallery
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject, fmri_subject
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.replay_data.simulation.volume_simulation_files import save_volumes
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.training.train import train
from decode_stream.voxel_regions import subject_regions

__all__ = ["N_TRIALS", "demo_run", "make_fmri_demo"]

_GRID, _N_VOXELS = (40, 48, 40), 1500
_TR_S, _VOLUMES_A_TRIAL = 4 / 3, 3
#: Pictures in a run, one every 4 s.
N_TRIALS = 70
#: Ten times that of the simulated NSD, whose person has ten times the voxels and is scanned for forty hours.
_SIGNAL_PCT = 1.0


def make_fmri_demo(
    gallery: Gallery,
    learnt: Gallery,
    n_layout: int,
    bundle_path: Path,
    recording_path: Path,
    *,
    n_trials: int = N_TRIALS,
    seed: int = 0,
) -> Bundle:
    """Simulate, train and write the demo's files; they replace those that are there.

    Parameters
    ----------
    gallery : Gallery
        The pictures, about twenty, with the embeddings that drive the simulated answers.
    learnt : Gallery
        Those of the training, each shown once: a whole number of runs.
    n_layout : int
        The first dimensions of the embeddings, which tell what is where.
    bundle_path, recording_path : Path
        ``NAME.bundle.zip`` and ``NAME.simulation.json``.
    n_trials : int
        Pictures in a run.

    Returns
    -------
    Bundle
    """
    pictures = np.asarray(gallery.embeddings, np.float64)
    subject = fmri_subject(
        pictures, n_layout, grid=_GRID, n_voxels=_N_VOXELS, signal_pct=_SIGNAL_PCT, seed=seed
    )
    played = demo_run(subject, gallery, n_trials, (seed, 0))
    shown = np.arange(len(learnt.names)).reshape(-1, n_trials)
    bundle, _ = train(
        [demo_run(subject, learnt.rows(some), n_trials, (seed, 1 + run)) for run, some in enumerate(shown)],
        name="demo-fmri",
        modality="fmri",
        model="ridge",
        gallery=learnt,
        protocol="concepts",
        target="objects",
        options=FitOptions(seed, report=lambda text: print(text, file=sys.stderr)),
    )
    bundle = with_gallery(
        bundle, gallery.names, gallery.embeddings, gallery.labels, gallery.thumbnails, name="demo-fmri"
    )
    save_volumes(played, pictures, n_layout, _SIGNAL_PCT, seed, recording_path, overwrite=True)
    return save_bundle(replace(bundle, regions=subject_regions(subject)), bundle_path, overwrite=True)


def demo_run(
    subject: FmriSubject, gallery: Gallery, n_trials: int, seed: tuple[int, int]
) -> SimulatedVolumes:
    """Return a run: one picture every 4 s for 3 s, each about equally often and none twice in a row.

    Parameters
    ----------
    seed : tuple of int
        Of the person, and the number of the run.
    """
    rng = np.random.default_rng([*seed, 5])
    n_entries, shown = len(gallery.names), list[int]()
    while len(shown) < n_trials:
        order = rng.permutation(n_entries)
        shown += (np.roll(order, 1) if shown and order[0] == shown[-1] else order).tolist()
    which = np.array(shown[:n_trials], dtype=np.int64)
    # The first picture comes after one empty trial, as soon as there is a level to see it against.
    onset = _VOLUMES_A_TRIAL * np.arange(1, n_trials + 1)
    names = np.array(gallery.names)[which]
    return SimulatedVolumes(
        subject=subject,
        shown=np.asarray(gallery.embeddings, np.float64)[which],
        stimuli=StimulusTable(onset=onset, id=which, concept=names),
        n_samples=_VOLUMES_A_TRIAL * (n_trials + 4),
        tr_s=_TR_S,
        seed=seed,
        name=f"simulated-fmri-run-{seed[1]:02d}",
        labels=tuple(zip(onset.tolist(), names.tolist(), strict=True)),
    )
