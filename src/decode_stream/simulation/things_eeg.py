"""A simulated subject of THINGS-EEG2, file for file."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.replay_data.simulation.simulate_things import (
    EEG_SCALES,
    EegScale,
    simulate_things_eeg,
    things_eeg_pictures,
)
from decode_stream.replay_data.simulation.simulated import SimulatedRecording
from decode_stream.replay_data.things_eeg.cut_trials import RECIPES, Recipe, cut_trials, noise_whiteners
from decode_stream.replay_data.things_eeg.write import write_image_metadata, write_raw, write_source
from decode_stream.replay_data.things_eeg.write_trials import (
    TRIAL_FORMS,
    TrialForm,
    trials_path,
    write_trials,
)
from decode_stream.simulate_config import SimulateConfig
from decode_stream.stream.types import FloatArray

from .simulated_pictures import as_scenes, concept_names, meaning_geometry, save_simulations, write_scenes

__all__ = ["FORMS", "write_subject"]

FORMS = ("source", "raw", *TRIAL_FORMS)


def write_subject(config: SimulateConfig) -> Iterator[str]:
    """Write everything, and yield a line for each part that is whole."""
    scale, seed, out = EEG_SCALES[config.scale], config.seed, config.out
    forms = config.chosen(FORMS)
    names = concept_names(scale.n_train_concepts + scale.n_test_concepts)
    pictures = things_eeg_pictures(scale, seed, meaning=meaning_geometry(config.embeddings), concepts=names)
    images = {split: _images(pictures, split) for split in ("train", "test")}
    if config.embeddings is None:
        pictures, scenes = as_scenes(pictures, names, seed)
        files = [out / "image_set" / image for split in images for image in images[split]]
        yield f"{write_scenes(scenes[: len(files)], files)} pictures"
    folders, stems = (
        {split: [Path(image).parts[k] for image in shown] for split, shown in images.items()}
        for k in (-2, -1)
    )
    write_image_metadata(out, folders, stems)
    recordings = simulate_things_eeg(scale, seed=seed, subject=config.subject, pictures=pictures)
    sessions = [list(parts) for _, parts in groupby(recordings, key=_session)][: config.sessions]
    save_simulations([recording for session in sessions for recording in session], out)
    raw: list[Path] = []
    for number, session in enumerate(sessions, start=1):
        if "source" in forms:
            _write_source(session, number, config)
            yield f"session {number}, source"
        if "raw" in forms or set(forms) & set(TRIAL_FORMS):
            raw += _write_raw(session, number, config)
            yield f"session {number}, raw"
    whiteners: dict[Recipe, list[FloatArray]] = {}
    for form in TRIAL_FORMS:
        if form in forms:
            _write_trials(raw, form, scale, images, config, whiteners)
            yield f"trials, {form}"
    if "raw" not in forms:
        for path in raw:
            path.unlink()


def _images(pictures: PictureSet, split: str) -> list[str]:
    assert pictures.table.image is not None
    return [str(image) for image in pictures.table.image[pictures.where(split)]]


def _session(recording: SimulatedRecording) -> int:
    assert recording.stimuli.session is not None
    return int(recording.stimuli.session[0])


def _write_source(session: Sequence[SimulatedRecording], number: int, config: SimulateConfig) -> None:
    parts = [*range(1, len(session)), None]
    for part, recording in zip(parts, session, strict=True):
        write_source(recording, config.out, subject=config.subject, session=number, part=part)


def _write_raw(session: Sequence[SimulatedRecording], number: int, config: SimulateConfig) -> list[Path]:
    splits = {"train": session[:-1], "test": session[-1:]}
    return [
        write_raw(parts, config.out, subject=config.subject, session=number, split=split)
        for split, parts in splits.items()
    ]


def _write_trials(
    raw: Sequence[Path],
    form: TrialForm,
    scale: EegScale,
    images: dict[str, list[str]],
    config: SimulateConfig,
    known: dict[Recipe, list[FloatArray]],
) -> None:
    """Cut the raw files into trials, as they were cut for the dataset; `known` keeps whiteners for other forms."""
    recipe = RECIPES[form]
    recordings = [open_recording(path) for path in raw]
    sessions = {"train": [[run] for run in recordings[::2]], "test": [[run] for run in recordings[1::2]]}
    # In what order repeats come changes nothing in the noise.
    of_noise = replace(recipe, mixes_sessions=False)
    if of_noise not in known:
        known[of_noise] = noise_whiteners(sessions["train"], recipe)
    for split, n_repeats in (("train", scale.train_repeats), ("test", scale.test_repeats)):
        trials = cut_trials(
            sessions[split],
            recipe,
            split,
            n_images=len(images[split]),
            n_repeats=n_repeats,
            seed=config.seed,
            whiteners=known[of_noise],
        )
        shown = [image.replace("training_images/", "train_images/") for image in images[split]]
        path = trials_path(config.out, form, config.subject, split)
        write_trials(trials, path, form, split, images=shown)
