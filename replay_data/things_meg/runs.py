"""One run of THINGS-MEG as it was recorded: a CTF folder with its events and the person's table of trials."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.replay_data.formats.ctf_samples import check_whole
from decode_stream.replay_data.formats.mne_files import MneRecording, in_our_words
from decode_stream.replay_data.formats.mne_raw import channels_of, stim_markers
from decode_stream.replay_data.formats.voxels import refuse_options
from decode_stream.replay_data.layout import Finding, ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .tables import EventRows, agreed, find_near, named_by_paths, read_attributes, read_events

__all__ = ["DOWNLOAD", "Run", "attributes_of", "check_place", "open_run", "run_at"]

DOWNLOAD = "OpenNeuro ds004212"
_RUN = re.compile(r"sub-BIGMEG(\d+)_ses-(\d+)_task-main_run-(\d+)_meg\.ds")
_TRIGGERS, _IMAGE_CODE = "UPPT001", "64"
_CLOCK = "SCLK01"
_DEAD = "MRO11"
#: Known losses of signal of 0.2 s, by person, session and run: where, in s.
_DROPOUTS = {(1, 11, 5): 13.4, (2, 10, 3): 59.8}


@dataclass(frozen=True, slots=True)
class Run:
    """Which run a folder is, by its name."""

    path: Path
    subject: int
    session: int
    run: int

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"THINGS-MEG, raw data, subject {self.subject}, session {self.session}, run {self.run}"

    @property
    def events(self) -> Path:
        """Its table of events, whether there or not."""
        return self.path.with_name(self.path.name.replace("_meg.ds", "_events.tsv"))


def run_at(path: Path) -> Run | None:
    """Return which run a path is, None if it is named as none."""
    match = _RUN.fullmatch(path.name)
    return Run(path, *map(int, match.groups())) if match else None


def attributes_of(path: Path, subject: int) -> Path | None:
    """Return a person's table of trials, near a path of the dataset."""
    name = f"sample_attributes_P{subject}.csv"
    return find_near(path, (f"sourcedata/{name}", name))


def open_run(run: Run, options: ReadOptions) -> tuple[MneRecording, tuple[Finding, ...]]:
    """Open a run with what was shown in it, and tell what was found on the way.

    Onsets are those of ``events.tsv`` (corrected by the optical sensor), else the codes 64 of UPPT001. Markers are the
    pictures' ids, or the codes of the channel that `options` names.

    Raises
    ------
    RecordingError
        If it is cut off, or its tables are not of this run.
    """
    path = run.path
    refuse_options(str(path), unit=options.unit, mask=options.mask, stream=options.stream)
    check_place(run)
    check_whole(path)
    warned: list[str] = []
    with in_our_words(path, warned):
        import mne

        raw = mne.io.read_raw_ctf(path, preload=False, verbose="warning")
        if _TRIGGERS in raw.ch_names:
            # Stored as a kind of channel that mne does not know for triggers.
            raw.set_channel_types({_TRIGGERS: "stim"}, on_unit_change="ignore", verbose="error")
        kept = select_channels(channels_of(raw.info), str(path), options.exclude_channels, options.modality)
        has_triggers = _TRIGGERS in raw.ch_names
        markers_from = options.marker_column or (_TRIGGERS if has_triggers else None)
        recording = MneRecording(raw, path.name, kept, markers_from)
        codes = stim_markers(raw, _TRIGGERS, raw.n_times, []) if has_triggers else []
    # The system clock counts seconds, which mne takes for volts.
    recording.channels = tuple(
        replace(channel, unit="") if channel.name.startswith(_CLOCK) else channel
        for channel in recording.channels
    )
    triggers = np.array([at for at, code in codes if code == _IMAGE_CODE], np.int64)
    recording.stimuli, found = _shown(run, recording, triggers)
    if options.marker_column is None and recording.stimuli.id is not None:
        recording.markers = recording.stimuli.markers()
    notes = [*warned, *recording.notes, *_remarks(run, raw)]
    findings = (*(Finding("note", note) for note in notes), *found)
    recording.notes = tuple(finding.text for finding in findings)
    return recording, findings


def check_place(run: Run) -> None:
    """Refuse a run that lies in another person's or session's folder.

    Raises
    ------
    RecordingError
        If it does.
    """
    for pattern, number, what in (
        (r"sub-BIGMEG(\d+)", run.subject, "subject"),
        (r"ses-(\d+)", run.session, "session"),
    ):
        for parent in run.path.absolute().parents:
            match = re.fullmatch(pattern, parent.name)
            if match and int(match[1]) != number:
                raise RecordingError(
                    f"{run.path.name} is of {what} {number} and lies in the folder of {what} {int(match[1])}, "
                    f"{parent}. Put it back where the download has it."
                )


def _remarks(run: Run, raw: Any) -> list[str]:
    said = []
    if not raw.info["comps"]:  # else it is told for every recording
        said.append(f"Gradient compensation is left as recorded, grade {raw.compensation_grade or 0}.")
    said += [
        f"Channel {name} was dead in all sessions, and the authors left it out: leave it out, too."
        for name in raw.ch_names
        if name.startswith(_DEAD)
    ]
    if (at_s := _DROPOUTS.get((run.subject, run.session, run.run))) is not None:
        said.append(
            f"The signal is lost for 0.2 s from {at_s} s on; the authors put each channel's median there."
        )
    return said


def _shown(run: Run, recording: MneRecording, triggers: IntArray) -> tuple[StimulusTable, list[Finding]]:
    """Return what was shown, from whatever of the tables is there."""
    if run.events.is_file():
        events = read_events(run.events, recording.sfreq_hz, recording.n_samples)
        findings = [Finding("note", text) for text in (events.note, _delay(events.sample, triggers)) if text]
    else:
        events = EventRows(triggers, None, "")
        text = (
            f"{run.events.name} is missing, so onsets are the triggers of {_TRIGGERS}, which come before the picture "
            f"appears: {DOWNLOAD}, beside the .ds folder."
        )
        findings = [Finding("missing", text)]
    attributes = attributes_of(run.path, run.subject)
    if attributes is None:
        table, found = _without_attributes(run, events)
    else:
        table, found = _with_attributes(run, events, attributes)
    return table, findings + found


def _without_attributes(run: Run, events: EventRows) -> tuple[StimulusTable, list[Finding]]:
    text = (
        f"sample_attributes_P{run.subject}.csv is missing, so split and repeat are not known: {DOWNLOAD}, "
        "sourcedata/."
    )
    findings = [Finding("missing", text)]
    n = len(events.sample)
    table = StimulusTable(events.sample, events.id, session=np.full(n, run.session), run=np.full(n, run.run))
    table, told_by = named_by_paths(table, run.path)
    if told_by:
        findings.append(Finding("note", f"Concepts and pictures are told by {told_by}."))
    elif events.id is not None:
        text = (
            "image_paths.csv is missing as well, so pictures have numbers only: THINGS, OSF jum2f, Metadata/."
        )
        findings.append(Finding("missing", text))
    return table, findings


def _with_attributes(run: Run, events: EventRows, path: Path) -> tuple[StimulusTable, list[Finding]]:
    whole = read_attributes(path)
    rows = whole.rows(np.flatnonzero((whole.session == run.session) & (whole.run == run.run)))
    if len(rows) != len(events.sample):
        other = run.events.name if run.events.is_file() else f"{_TRIGGERS} of {run.path.name}"
        raise RecordingError(
            f"{path.name} has {len(rows)} trials for session {run.session}, run {run.run}, and {other} has "
            f"{len(events.sample)}. One of them is of another subject or cut off; download both again."
        )
    table = replace(rows, onset=events.sample)
    if events.id is None:
        return table, [Finding("note", f"Ids are those of {path.name}, in the order of the onsets.")]
    table, said = agreed(table, events.id, run.events.name, path.name)
    return table, [Finding("note", text) for text in said]


def _delay(onsets: IntArray, triggers: IntArray) -> str:
    """Say how far the onsets lie from the triggers."""
    if len(triggers) == 0:
        return (
            f"{_TRIGGERS} holds no code {_IMAGE_CODE}, so the onsets could not be checked against triggers."
        )
    if len(triggers) != len(onsets):
        return (
            f"{_TRIGGERS} holds {len(triggers)} codes {_IMAGE_CODE} for {len(onsets)} pictures: some triggers were "
            "lost or doubled, and the onsets of the events are kept."
        )
    steps = onsets - triggers
    return (
        f"Onsets lie {np.median(steps):.0f} samples (median; {steps.min()} to {steps.max()}) behind the triggers of "
        f"{_TRIGGERS}."
    )
