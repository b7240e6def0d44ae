"""A simulated subject of THINGS-MEG, file for file."""

from collections.abc import Iterator, Sequence

from decode_stream.replay_data.simulation.simulate_things import (
    MEG_SCALES,
    simulate_things_meg,
    things_meg_pictures,
)
from decode_stream.replay_data.simulation.simulated import SimulatedRecording
from decode_stream.replay_data.things_meg.cut_trials import EPOCH, SFREQ_HZ, cut_things_meg
from decode_stream.replay_data.things_meg.write import write_attributes, write_runs
from decode_stream.replay_data.things_meg.write_trials import write_preprocessed
from decode_stream.simulate_config import SimulateConfig
from decode_stream.stream.stimuli import StimulusTable

from .simulated_pictures import as_scenes, concept_names, meaning_geometry, save_simulations, write_scenes

__all__ = ["FORMS", "write_subject"]

FORMS = ("bids", "preprocessed")


def write_subject(config: SimulateConfig) -> Iterator[str]:
    """Write everything, and yield a line for each part that is whole."""
    scale, seed, out = MEG_SCALES[config.scale], config.seed, config.out
    forms = config.chosen(FORMS)
    names = concept_names(scale.n_concepts)
    pictures = things_meg_pictures(scale, seed, meaning=meaning_geometry(config.embeddings), concepts=names)
    images = pictures.table.image
    assert images is not None
    if config.embeddings is None:
        pictures, scenes = as_scenes(pictures, names, seed)
        files = [out / "object_images" / str(image) for image in images if image]
        yield f"{write_scenes(scenes[: len(files)], files)} pictures"
    runs = simulate_things_meg(scale, seed=seed, subject=config.subject, pictures=pictures)
    runs = runs[: (config.sessions or scale.n_sessions) * scale.n_runs]
    save_simulations(runs, out)
    if "bids" in forms:
        yield f"{len(write_runs(out, config.subject, runs))} runs"
    if "preprocessed" in forms:
        if "bids" not in forms:
            write_attributes(out, config.subject, [run.stimuli for run in runs], runs[0].sfreq_hz)
        yield f"{len(_write_trials(runs, config))} files of trials"


def _write_trials(runs: Sequence[SimulatedRecording], config: SimulateConfig) -> list[object]:
    tables = [run.stimuli for run in runs]
    return list(
        write_preprocessed(
            config.out,
            config.subject,
            cut_things_meg(runs),
            channels=runs[0].channels,
            sfreq_hz=SFREQ_HZ,
            epoch=EPOCH,
            stimuli=StimulusTable.joined(tables, [0] * len(tables)),
        )
    )
