"""Trials as a bundle's decoder gets them: the windows that a live session would have cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.config import Reading, parse_events
from decode_stream.decoders.brain.readout import Readout, readout_of
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.epochs import TrialSet, cut_trials
from decode_stream.decoders.runtime import OFFLINE_BATCHES, Encoder
from decode_stream.evaluation.evaluation import check_pictures
from decode_stream.evaluation.table import print_notes
from decode_stream.replay_data.open import fingerprint
from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.fmri.beta_recording import holds_betas
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

from .maps import Space, space_of
from .memory import check_memory
from .trials import open_recordings

__all__ = ["DecodedTrials", "decoded_trials"]


@dataclass(frozen=True, slots=True, eq=False)
class DecodedTrials:
    """Trials of recordings, and what decodes them.

    Attributes
    ----------
    bundle : Bundle
    readout : Readout
    recordings : sequence of Recording
    windows : array of shape (n_trials, n_voxels, n_times), float32
        In the decoder's units; mapped from a file.
    pictures : array of shape (n_trials,), int64
        Place of each trial's label among `labels`.
    labels : tuple of str
    entries : array of shape (n_trials,), int64
        Gallery entry of each; -1 where the gallery lacks it.
    runs : array of shape (n_trials,), int64
        Recording of each.
    onsets : array of shape (n_trials,), int64
    space : Space
        Of the decoder's voxels.
    notes : tuple of str
        What was left out, and what keeps scores from being held-out ones.
    """

    bundle: Bundle
    readout: Readout
    recordings: Sequence[Recording]
    windows: npt.NDArray[np.float32]
    pictures: IntArray
    labels: tuple[str, ...]
    entries: IntArray
    runs: IntArray
    onsets: IntArray
    space: Space
    notes: tuple[str, ...]

    def answers(self) -> npt.NDArray[np.float32]:
        """Return the mean volume of each trial's window, shape (n_trials, n_voxels)."""
        means: npt.NDArray[np.float32] = self.windows.mean(axis=2, dtype=np.float32)
        return means

    def known(self) -> IntArray:
        """Return the trials whose picture is in the gallery.

        Raises
        ------
        UsageError
            If there is none.
        """
        found = np.flatnonzero(self.entries >= 0)
        if not len(found):
            raise UsageError(
                f"No trial shows an entry of the gallery of {self.bundle.manifest.name!r}. Name the codes with "
                "--events, or give a bundle with the gallery of these pictures: decode-stream gallery"
            )
        return found

    def trial(self, number: int) -> int:
        """Return the place of a trial by its number, which counts from 1.

        Raises
        ------
        UsageError
            If there is no such trial.
        """
        if not 1 <= number <= len(self.pictures):
            raise UsageError(f"There is no trial {number}; they are 1 to {len(self.pictures)}.")
        return number - 1


def decoded_trials(
    paths: Sequence[Path], config: Reading, bundle_path: Path, provider: str, copies: float = 1.0
) -> DecodedTrials:
    """Cut the trials of recordings for a bundle.

    Parameters
    ----------
    copies : float
        How many times all trials are held at once, see `check_memory`.

    Raises
    ------
    DecodeStreamError
        If bundle and recordings do not go together, or no trial is whole and sound.
    """
    bundle = load_bundle(bundle_path)
    manifest = bundle.manifest
    encoder = Encoder(bundle, provider, warm=OFFLINE_BATCHES)
    print_notes(encoder.notes)
    readout = readout_of(bundle, encoder)
    recordings = open_recordings(paths, config, manifest)
    n_values = manifest.chain.n_out * manifest.schedule.n_times
    check_memory(sum(len(r.markers) for r in recordings), n_values, copies)
    for recording in recordings:
        _check_voxels(recording, bundle)
        if config.events is None:
            check_pictures(recording, bundle)
    labels = tuple(dict.fromkeys(label for r in recordings for _, label in r.markers))
    trials = _cut(recordings, bundle, config, {label: i for i, label in enumerate(labels)})
    index = manifest.stimuli(parse_events(config.events))
    entry_of = np.array([index.get(label, -1) for label in labels], np.int64)
    trained = [
        recording.name
        for recording, path in zip(recordings, paths, strict=True)
        if fingerprint(path) in manifest.training.fingerprints
    ]
    notes = [f"{n} trials left out: {why}." for why, n in trials.left_out.items()]
    if trained:
        notes.append(f"NOT HELD OUT: the decoder was trained on {', '.join(trained)}.")
    assert trials.onsets is not None
    return DecodedTrials(
        bundle,
        readout,
        recordings,
        trials.windows[:, 0],
        trials.labels,
        labels,
        entry_of[trials.labels],
        trials.runs,
        trials.onsets,
        space_of(paths[0], recordings[0], manifest.chain.channels, bundle.regions),
        tuple(notes),
    )


def _check_voxels(recording: Recording, bundle: Bundle) -> None:
    """Refuse a recording of another person or mask, before its channels are listed one by one."""
    there = {channel.name for channel in recording.channels}
    wanted = bundle.manifest.chain.channels
    if n_missing := sum(name not in there for name in wanted):
        raise RecordingError(
            f"{recording.name} lacks {n_missing} of the {len(wanted)} voxels that {bundle.manifest.name!r} decodes: it "
            "is of another person or space, or another mask was given. Give that of the training with --mask, or 'all'."
        )


def _cut(
    recordings: Sequence[Recording], bundle: Bundle, config: Reading, stimuli: Mapping[str, int]
) -> TrialSet:
    manifest = bundle.manifest
    try:
        trials = cut_trials(
            recordings,
            manifest.chain,
            manifest.window,
            manifest.schedule,
            manifest.n_latencies,
            stimuli,
            # Betas were made with the offset.
            marker_offset_s=0.0 if holds_betas(recordings[0]) else config.marker_offset_ms / 1e3,
            onset_channel=config.onset_channel,
        )
    except StreamError as error:
        names = ", ".join(recording.name for recording in recordings)
        raise RecordingError(f"{names} and {manifest.name!r} do not go together. {error}") from error
    if not len(trials.labels):
        why = ", ".join(f"{n} {reason}" for reason, n in trials.left_out.items())
        raise RecordingError(f"No trial is whole and sound: {why}. Is a voxel without data in some session?")
    return trials
