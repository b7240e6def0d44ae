"""Makes what the demos play: simulated recordings, and bundles trained on other pictures that the same people saw.

``python -m decode_stream.demos.make_demos FOLDER [eeg|meg|fmri]`` makes them anew; the same seed gives the same files.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np

from decode_stream.decoders.bundle import save_bundle
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Gallery
from decode_stream.pictures.gallery import with_gallery
from decode_stream.pictures.targets import objects_space
from decode_stream.replay_data.pictures.image_files import thumbnail
from decode_stream.replay_data.pictures.picture_space import LAYOUT_SIZE, scene_embedding
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, Scene, compose, draw_scenes, object_names
from decode_stream.replay_data.simulation.forward import ForwardModel
from decode_stream.replay_data.simulation.schedules import PictureSet, Spaced
from decode_stream.replay_data.simulation.simulate_run import simulate_run
from decode_stream.replay_data.simulation.simulated import SimulatedRecording
from decode_stream.replay_data.simulation.simulation_files import save_simulation
from decode_stream.replay_data.simulation.subjects import eeg_subject, enlarged, meg_subject
from decode_stream.replay_data.things_eeg.names import CHANNELS_17
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray, Modality
from decode_stream.training.train import train

from .demo import DEMOS
from .make_demo_fmri import N_TRIALS as N_FMRI_TRIALS
from .make_demo_fmri import make_fmri_demo

__all__ = [
    "demo_gallery",
    "demo_person",
    "demo_scenes",
    "make_demo",
    "simulate_runs",
    "training_gallery",
    "training_scenes",
]

_SEED = 0
_N_PICTURES = 20
_THUMBNAIL_PX = 96
#: Scenes of the training, another for every trial: a decoder that is to draw what it decodes must have seen many.
_N_TRAINING_RUNS: dict[Modality, int] = {"eeg": 20, "meg": 12, "fmri": 40}
_TRAINING_SEED = 7
#: Trials of a run, and how pictures follow each other: the first as soon as the filters have settled.
_RUNS: dict[Modality, tuple[int, Spaced]] = {
    "eeg": (300, Spaced(soa_s=0.8, jitter_s=0.1, lead_s=1.4)),
    "meg": (200, Spaced(soa_s=1.5, jitter_s=0.2, lead_s=2.6)),
}
#: Sensors at the back of the head, where the answers are: small bundles, and quick ones.
_BACK: dict[Modality, tuple[str, ...]] = {"eeg": CHANNELS_17, "meg": ("MLO", "MRO", "MZO")}
#: Responses are larger than those of people, so that a few minutes show that it works; the recording says so.
_ENLARGED: dict[Modality, float] = {"eeg": 10.0, "meg": 4.0}
_SFREQ_HZ: dict[Modality, float] = {"eeg": 250.0, "meg": 1200.0}


def demo_scenes() -> tuple[Scene, ...]:
    """Return what the demos show: one scene each of twenty objects."""
    objects = np.linspace(0, N_OBJECTS - 1, _N_PICTURES).round().astype(int).tolist()
    return draw_scenes(_N_PICTURES, _SEED, objects)


def training_scenes(modality: Modality) -> tuple[Scene, ...]:
    """Return what a demo's decoder learns from: one object each, all of them about equally often."""
    a_run = N_FMRI_TRIALS if modality == "fmri" else _RUNS[modality][0]
    n = _N_TRAINING_RUNS[modality] * a_run
    objects = np.resize(np.random.default_rng(_TRAINING_SEED).permutation(N_OBJECTS), n)
    return draw_scenes(n, _TRAINING_SEED, objects.tolist())


def demo_gallery() -> Gallery:
    """Return the pictures of the demos: one scene each of twenty objects, by the objects' names."""
    names, scenes = object_names(), demo_scenes()
    chosen = tuple(names[scene.objects[0].object] for scene in scenes)
    return Gallery(
        chosen,
        np.stack([scene_embedding(scene) for scene in scenes]),
        objects_space(),
        {str(i): name for i, name in enumerate(chosen, start=1)},
        {
            name: thumbnail(compose(scene, _THUMBNAIL_PX), _THUMBNAIL_PX)
            for name, scene in zip(chosen, scenes, strict=True)
        },
    )


def training_gallery(modality: Modality) -> Gallery:
    """Return the scenes that a demo's decoder learns from, by their objects' names and numbers."""
    scenes = training_scenes(modality)
    concepts = tuple(object_names()[scene.objects[0].object] for scene in scenes)
    numbered = tuple(f"{concept} {number // N_OBJECTS}" for number, concept in enumerate(concepts))
    return Gallery(
        numbered,
        np.stack([scene_embedding(scene) for scene in scenes]),
        objects_space(),
        {str(i): name for i, name in enumerate(numbered, start=1)},
        {},
        concepts=concepts,
    )


def simulate_runs(modality: Modality, gallery: Gallery, n_runs: int) -> list[SimulatedRecording]:
    """Return runs of the demo's simulated person, EEG or MEG, who watches the pictures of a gallery in turn."""
    n = len(gallery.names)
    table = StimulusTable(np.full(n, -1), np.arange(1, n + 1), np.array(gallery.names))
    pictures = PictureSet(gallery.embeddings, LAYOUT_SIZE, table)
    n_trials, timing = _RUNS[modality]
    if n == n_runs * n_trials:  # each picture once
        shown = list(np.random.default_rng(_SEED).permutation(n).reshape(n_runs, n_trials))
    else:
        shown = [_order(n, n_trials, (_SEED, number)) for number in range(1, n_runs + 1)]
    return [
        simulate_run(
            pictures,
            demo_person(modality),
            order,
            timing=timing,
            seed=1000 * _SEED + number,
            name=f"{modality}_run-{number:02d}" if n == _N_PICTURES else f"{modality}_training-{number:02d}",
            run=number,
        )
        for number, order in enumerate(shown, start=1)
    ]


@cache
def demo_person(modality: Modality) -> ForwardModel:
    """Return how the demo's simulated person answers to pictures."""
    person = eeg_subject if modality == "eeg" else meg_subject
    forward = person(demo_gallery().embeddings, LAYOUT_SIZE, _SEED, sfreq_hz=_SFREQ_HZ[modality])
    return enlarged(forward, _ENLARGED[modality])


def _order(n_pictures: int, n_trials: int, seed: tuple[int, int]) -> IntArray:
    """Return which picture each trial shows: shuffled rounds of all, none twice in a row."""
    rng = np.random.default_rng(seed)
    shown = list[int]()
    while len(shown) < n_trials:
        order = rng.permutation(n_pictures)
        shown += (np.roll(order, 1) if shown and order[0] == shown[-1] else order).tolist()
    return np.array(shown[:n_trials], dtype=np.int64)


def make_demo(modality: Modality, folder: Path) -> None:
    """Simulate, train and write a demo's files.

    Parameters
    ----------
    folder : Path
        Where to; files of the same names are replaced.
    """
    gallery, learnt, demo = demo_gallery(), training_gallery(modality), DEMOS[modality]
    folder.mkdir(parents=True, exist_ok=True)
    if modality == "fmri":
        bundle = make_fmri_demo(gallery, learnt, LAYOUT_SIZE, folder / demo.bundle, folder / demo.recording)
    else:
        (played,) = simulate_runs(modality, gallery, 1)
        bundle, _ = train(
            simulate_runs(modality, learnt, _N_TRAINING_RUNS[modality]),
            name=f"demo-{modality}",
            modality=modality,
            model="encoding",
            gallery=learnt,
            protocol="concepts",
            target="objects",
            channels=[c.name for c in played.channels if c.name.startswith(_BACK[modality])],
            options=FitOptions(_SEED, report=lambda text: print(text, file=sys.stderr, flush=True)),
        )
        bundle = with_gallery(
            bundle,
            gallery.names,
            gallery.embeddings,
            gallery.labels,
            gallery.thumbnails,
            name=f"demo-{modality}",
        )
        save_bundle(bundle, folder / demo.bundle, overwrite=True)
        save_simulation(played, folder / demo.recording, overwrite=True)
    print(bundle.manifest.training)


if __name__ == "__main__":
    wanted = sys.argv[2:] or list(DEMOS)
    for name in DEMOS:
        if name in wanted:
            make_demo(name, Path(sys.argv[1]))
