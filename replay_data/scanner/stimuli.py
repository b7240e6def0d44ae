"""What a scan shows while it plays: the recording's stimuli on the scan's own time line, to send and to write."""

import csv
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats.bids import number_in, read_events, read_table
from decode_stream.replay_data.outgoing import marker_texts
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.stimuli import StimulusTable

__all__ = ["ScanStimuli", "stimuli_of_events", "stimuli_of_volumes", "write_onsets"]

#: Onsets are kept to the millisecond, not to the volume.
_RATE_HZ = 1000.0


@dataclass(frozen=True, slots=True)
class ScanStimuli:
    """What is shown, in seconds from the beginning of the first volume.

    Attributes
    ----------
    markers : tuple of (float, str)
        When each marker is due, and its text.
    rows : tuple of dict
        Rows of an events table as BIDS has it, with the columns ``onset`` and ``duration`` first.
    """

    markers: tuple[tuple[float, str], ...]
    rows: tuple[dict[str, str], ...]

    def between(self, start_s: float, stop_s: float) -> "ScanStimuli":
        """Return what is shown in [start, stop), in seconds from the start."""
        markers = tuple((at_s - start_s, text) for at_s, text in self.markers if start_s <= at_s < stop_s)
        rows = tuple(
            row | {"onset": f"{float(row['onset']) - start_s:.3f}"}
            for row in self.rows
            if start_s <= float(row["onset"]) < stop_s
        )
        return ScanStimuli(markers, rows)


def stimuli_of_events(
    table: Path, images: Path, column: str | None, marker_format: str, notes: list[str]
) -> ScanStimuli:
    """Return what an ``events.tsv`` says was shown.

    Parameters
    ----------
    table, images : Path
        The table, and the recording that it belongs to.
    column : str or None
        Column of the labels, where `decode_stream.replay_data.formats.bids.read_events` would take another.
    marker_format : {"id", "json"}
        As `decode_stream.replay_data.outgoing.marker_texts` has it.
    notes : list of str
        Is added to.

    Raises
    ------
    RecordingError
        If it is no such table.
    """
    events = read_events(table, images, _RATE_HZ, column, notes, timed=True)
    rows = []
    for number, row in enumerate(read_table(table), start=2):
        onset_s = number_in(table, number, row, "onset")
        if onset_s is not None and isfinite(onset_s):
            told = {name: cell or "n/a" for name, cell in row.items() if name not in ("onset", "sample")}
            rows.append({"onset": f"{onset_s:.3f}", "duration": "n/a"} | told)
    return ScanStimuli(_due(events.stimuli, events.markers, marker_format), tuple(rows))


def stimuli_of_volumes(
    stimuli: StimulusTable, tr_s: float, stimulus_s: float, marker_format: str
) -> ScanStimuli:
    """Return what a table of NSD's pictures says was shown, whose onsets are volumes.

    Parameters
    ----------
    stimuli : StimulusTable
        Onsets in volumes, ids from 0; both stand in the markers, and ids from 1 in the rows, as in NSD's ``73k_id``.
    tr_s : float
        Repetition time in seconds.
    stimulus_s : float
        How long each was shown, in seconds.
    marker_format : {"id", "json"}
    """
    onsets_s = stimuli.onset * tr_s
    timed = stimuli.at(np.rint(onsets_s * _RATE_HZ).astype(np.int64))
    ids = stimuli.id if stimuli.id is not None else np.empty(0, np.int64)
    rows = tuple(
        {"onset": f"{onset_s:.3f}", "duration": f"{stimulus_s:g}", "73k_id": str(number + 1)}
        for onset_s, number in zip(onsets_s.tolist(), ids.tolist(), strict=False)
    )
    return ScanStimuli(_due(timed, timed.markers(), marker_format), rows)


def write_onsets(path: Path, stimuli: ScanStimuli) -> None:
    """Write an events table as BIDS has it, columns separated by tabs.

    Raises
    ------
    RecordingError
        If the file is there already or cannot be written.
    """
    columns = dict.fromkeys(name for row in stimuli.rows for name in row) or dict.fromkeys(
        ("onset", "duration")
    )
    with written_whole(path) as place, place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), restval="n/a", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(stimuli.rows)


def _due(
    stimuli: StimulusTable, markers: tuple[tuple[int, str], ...], marker_format: str
) -> tuple[tuple[float, str], ...]:
    held = ArrayRecording(np.empty((0, 0)), (), _RATE_HZ, markers, stimuli=stimuli)
    texts = marker_texts(held, marker_format)
    return tuple((at / _RATE_HZ, text) for (at, _), text in zip(held.markers, texts, strict=True))
