"""Plays a recording of volumes as the files of a scanner: the work of ``decode-stream scan``."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from rich.console import Console

from decode_stream.replay_data.formats.events_tables import find_events
from decode_stream.replay_data.formats.nifti_files import repetition_time_s
from decode_stream.replay_data.formats.nifti_volumes import NiftiImage, open_nifti
from decode_stream.replay_data.nsd.facts import STIMULUS_S, TR_S, nsd_file
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.scanner.arrivals import ScanFaults
from decode_stream.replay_data.scanner.marker_stream import ScanMarkers
from decode_stream.replay_data.scanner.scanner import Clock, Scan, Scanner, ScanSettings, WallClock
from decode_stream.replay_data.scanner.stimuli import (
    ScanStimuli,
    stimuli_of_events,
    stimuli_of_volumes,
    write_onsets,
)
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.lsl import quiet_liblsl

from .scan_config import ScanConfig, parse_volumes

__all__ = ["run_scan", "scan"]

#: From when somebody listens until the first volume begins: what all files share is made meanwhile.
_LEAD_S = 0.5


def run_scan(recording: Path, config: ScanConfig) -> int:
    """Play a recording as a scan, and say what was done; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If it cannot be played as asked.
    """
    quiet_liblsl()
    console = Console(stderr=True)
    done = scan(
        recording,
        config,
        WallClock(),
        datetime.now,
        threading.Event(),
        lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
    )
    print(f"{config.out}: {done.n_volumes} volumes in {done.n_files} files.")
    return 0


def scan(
    recording: Path,
    config: ScanConfig,
    clock: Clock,
    now: Callable[[], datetime],
    stop: threading.Event,
    tell: Callable[[str], None],
) -> Scan:
    """Play a recording as a scan.

    Parameters
    ----------
    recording : Path
        A NIfTI file of four axes.
    config : ScanConfig
    clock : Clock
        What its times are read from.
    now : callable
        What the scanner's own clock says, which the files tell.
    stop : threading.Event
        Ends it.
    tell : callable
        Receives sentences for the user.

    Raises
    ------
    DecodeStreamError
        As `run_scan`.
    """
    notes: list[str] = []
    image = _volumes(recording)
    tr_s = _tr_s(image, config.tr_s, notes)
    settings = _settings(config, tr_s)
    stimuli = _stimuli(image, tr_s, config, notes) if config.markers or config.onsets else None
    scanner = Scanner(image, settings, config.out, clock)
    if stimuli is not None:
        start_s = (config.start_volume - 1) * tr_s
        stimuli = stimuli.between(start_s, start_s + scanner.n_volumes * tr_s)
    if stimuli is not None and config.onsets is not None:
        write_onsets(config.onsets, stimuli)
    for text in (*notes, *_told(image, scanner, settings, config.out)):
        tell(text)
    markers = _open_markers(recording, config, stimuli, tell, stop) if stimuli and config.markers else None
    t0_s, began = clock.now_s() + _LEAD_S, now() + timedelta(seconds=_LEAD_S)
    if markers is not None:
        for due_s, text in markers.due(t0_s, config.speed):
            scanner.at(due_s, partial(markers.send, due_s, text))
    done = scanner.run(t0_s, began, stop)
    tell(f"{'Stopped' if stop.is_set() else 'Ended'} after {done.n_volumes} volumes.")
    if done.n_lost:
        tell(f"{done.n_lost} volumes were lost, as asked for.")
    if done.n_late:
        tell(
            f"{done.n_late} volumes came more than a tenth of {settings.step_s:.3g} s after they were due, the latest "
            f"{done.latest_s:.3f} s. Lower --speed where that matters."
        )
    if markers is not None:
        markers.linger(stop)
    return done


def _volumes(recording: Path) -> NiftiImage:
    if not recording.is_file():
        raise RecordingError(
            f"There is no file {recording}. Give a NIfTI file (.nii, .nii.gz) of a run: x, y, z and time."
        )
    image = open_nifti(recording)
    if image.n_volumes is None:
        raise RecordingError(
            f"{recording} holds one volume of shape {image.shape}; a scan needs four axes: x, y, z and time."
        )
    return image


def _tr_s(image: NiftiImage, asked_s: float | None, notes: list[str]) -> float:
    if asked_s is not None:
        return asked_s
    nsd = nsd_file(image.path)
    if nsd is not None and nsd.kind == "timeseries" and nsd.prep is not None:
        return TR_S[nsd.prep]
    try:
        return repetition_time_s(image, notes)
    except RecordingError as error:
        raise RecordingError(f"{error} Or give --tr-s.") from error


def _settings(config: ScanConfig, tr_s: float) -> ScanSettings:
    faults = ScanFaults(
        drop=config.drop,
        drop_volumes=parse_volumes("--drop-volumes", config.drop_volumes),
        delay_ms=config.delay_ms,
        shuffle_ms=config.shuffle_ms,
        partial=config.partial,
        truncate_volumes=parse_volumes("--truncate-volumes", config.truncate_volumes),
        second_series=config.second_series,
        seed=config.seed,
    )
    return ScanSettings(config.vendor, tr_s, config.speed, config.start_volume, config.rename, faults)


def _stimuli(image: NiftiImage, tr_s: float, config: ScanConfig, notes: list[str]) -> ScanStimuli:
    """Return what the recording says was shown, or refuse one that says nothing."""
    nsd = nsd_file(image.path)
    if nsd is not None and nsd.kind == "timeseries":
        shown = open_recording(image.path)
        if len(shown.stimuli):
            return stimuli_of_volumes(shown.stimuli, tr_s, STIMULUS_S, config.marker_format)
        raise RecordingError(f"{' '.join(shown.notes)} Leave out --markers and --onsets.")
    table = find_events(image.path)
    if table is None:
        raise RecordingError(
            f"{image.path} has no events.tsv beside it, so nothing says what was shown. Put it there, or leave out "
            "--markers and --onsets."
        )
    return stimuli_of_events(table, image.path, config.marker_column, config.marker_format, notes)


def _told(image: NiftiImage, scanner: Scanner, settings: ScanSettings, out: Path) -> list[str]:
    """Return what will be done, in sentences."""
    told = [
        f"Scanning {image.path.name} into {out} as {settings.vendor} writes it: {scanner.n_volumes} volumes of "
        f"{' x '.join(map(str, image.shape))} voxels, one every {settings.tr_s:.4g} s"
        + (f", {settings.speed:g} times as fast" if settings.speed != 1 else "")
        + "."
    ]
    scale = scanner.plan.scale
    if scale is not None and not scale.exact:
        told.append(
            f"Its values do not fit in 16 bits as they are, and are rounded to steps of {abs(scale.slope):.3g}, which "
            "Rescale Slope tells."
        )
    if faults := settings.faults.told():
        told.append(f"Faults, as asked for: {'; '.join(faults)}.")
    return told


def _open_markers(
    recording: Path,
    config: ScanConfig,
    stimuli: ScanStimuli,
    tell: Callable[[str], None],
    stop: threading.Event,
) -> ScanMarkers:
    source_id = config.source_id or f"decode-stream-{uuid4().hex}"
    markers = ScanMarkers(config.name or f"{recording.name}-markers", source_id, stimuli.markers)
    tell(f"{len(stimuli.markers)} markers: stream {markers.name!r}, source_id {source_id}.")
    if config.wait:
        tell("Waiting for a consumer of the markers.")
        markers.wait(stop)
    return markers
