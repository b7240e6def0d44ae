"""Write preprocessed trials in the layout of THINGS-MEG: FIF files of up to 2 GB, trial block by trial block."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.replay_data.formats.fif_epochs import write_part
from decode_stream.replay_data.formats.write_ctf import MEG_TESLA, Vector
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray

from .tables import CATCH
from .write import attribute_rows

__all__ = ["write_preprocessed"]

#: Bytes of trials in a part, at most.
_PART_BYTES = 2_000_000_000
#: FIFF's codes of an axial gradiometer of CTF and of device coordinates; the device's origin in the head's.
_CTF_GRADIOMETER, _DEVICE = 5001, 1
_DEVICE_Z_M = 0.08
#: Samples between the events, as if the runs had gone on at 1200 Hz without pause.
_EVENT_STEP = 1800


def write_preprocessed(
    root: Path,
    subject: int,
    blocks: Iterable[FloatArray],
    *,
    channels: tuple[Channel, ...],
    sfreq_hz: float,
    epoch: Epoch,
    stimuli: StimulusTable,
    orientations: Mapping[str, Vector] | None = None,
    part_bytes: int = _PART_BYTES,
    overwrite: bool = False,
) -> list[Path]:
    """Write a person's trials as ``derivatives/preprocessed/preprocessed_P*-epo.fif`` and the parts that follow.

    No more than a block is held at a time. The first part appears last, once all are whole.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    subject : int
        1-based.
    blocks : iterable of array of shape (n, n_channels, n_times)
        All trials in order, any number at once, in standard deviations of their baseline.
    channels : tuple of Channel
        MEG channels, with positions if these are known.
    sfreq_hz : float
        200 Hz in the published files.
    epoch : Epoch
        281 samples with the onset at sample 20 in the published files; the trials are in order.
    stimuli : StimulusTable
        One row a trial, with id, split, session and run, and concept and image if they are to be named.
    orientations : mapping of str to (x, y, z), optional
        Direction of the sensor by channel name, head coordinates; else away from the origin.
    part_bytes : int
        Size of a part's trials, at most.

    Returns
    -------
    list of Path
        The parts.

    Raises
    ------
    ValueError
        If the stimuli lack a column, or not one trial fits into a part.
    RecordingError
        If the blocks do not hold one trial for each row, or a file cannot be written. Nothing is left then.
    """
    if stimuli.id is None or stimuli.split is None or stimuli.session is None or stimuli.run is None:
        raise ValueError(f"The stimuli must tell id, split, session and run; they tell {stimuli.columns}.")
    n_trials, trial_bytes = len(stimuli), 4 * len(channels) * epoch.n_times
    if not 0 < trial_bytes <= part_bytes or n_trials == 0:
        raise ValueError(f"{n_trials} trials of {trial_bytes} bytes do not go into parts of {part_bytes}.")
    info = _info(channels, sfreq_hz, orientations or {})
    rows = attribute_rows([stimuli], sfreq_hz)
    ids = np.where(stimuli.id < 0, CATCH, stimuli.id)
    events = np.stack([_EVENT_STEP * np.arange(1, n_trials + 1), np.zeros(n_trials, np.int64), ids], axis=1)
    event_id = ";".join(f"{number}:{number}" for number in np.unique(ids))
    n_parts = -(-n_trials // (part_bytes // trial_bytes))
    spans = np.array_split(np.arange(n_trials), n_parts)
    folder = root / "derivatives" / "preprocessed"
    names = [f"preprocessed_P{subject}-epo{f'-{n}' if n else ''}.fif" for n in range(n_parts)]
    feed = _Feed(blocks)
    with ExitStack() as stack:
        # Left in the opposite order: the first part, without which the others are nothing, takes its name last.
        places = [stack.enter_context(written_whole(folder / name, overwrite=overwrite)) for name in names]
        for number, (place, span) in enumerate(zip(places, spans, strict=True)):
            of_part = [{"index": int(i), **rows[i]} for i in span]
            write_part(
                place,
                info,
                feed.take(len(span)),
                n_times=epoch.n_times,
                first=-epoch.onset,
                events=events[span],
                event_id=event_id,
                place=(int(span[0]), n_trials),
                metadata=json.dumps(of_part).encode("ascii"),
                follows=(names[number + 1], number + 1) if number + 1 < n_parts else None,
            )
        if feed.has_more():
            raise RecordingError(f"More trials came than the {n_trials} that the stimuli have.")
    return [folder / name for name in names]


class _Feed:
    """Blocks of trials, cut anew into what a part takes."""

    def __init__(self, blocks: Iterable[FloatArray]) -> None:
        self._blocks = iter(blocks)
        self._rest: FloatArray = np.empty(0)

    def take(self, n: int) -> Iterator[FloatArray]:
        """Yield blocks of `n` trials together, fewer where there are no more."""
        while n > 0 and self.has_more():
            block, self._rest = self._rest[:n], self._rest[n:]
            n -= len(block)
            yield block

    def has_more(self) -> bool:
        """Whether any trial is left."""
        while len(self._rest) == 0:
            block = next(self._blocks, None)
            if block is None:
                return False
            self._rest = block
        return True


def _info(channels: tuple[Channel, ...], sfreq_hz: float, orientations: Mapping[str, Vector]) -> Any:
    """Return mne's description of CTF gradiometers, scaled as a recording of them is."""
    import mne

    info = mne.create_info([channel.name for channel in channels], sfreq_hz, "mag", verbose="error")
    to_head = np.eye(4)
    to_head[2, 3] = _DEVICE_Z_M
    with info._unlock():
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", to_head)
    for ch, channel in zip(info["chs"], channels, strict=True):
        ch["cal"], ch["coil_type"], ch["coord_frame"] = MEG_TESLA, _CTF_GRADIOMETER, _DEVICE
        if channel.position_m is None:
            continue
        facing = np.array(orientations.get(channel.name, channel.position_m), dtype=np.float64)
        facing /= np.linalg.norm(facing)
        aside = np.cross(facing, np.eye(3)[int(np.argmin(np.abs(facing)))])
        aside /= np.linalg.norm(aside)
        place = np.array(channel.position_m) - (0, 0, _DEVICE_Z_M)
        ch["loc"] = np.concatenate([place, aside, np.cross(facing, aside), facing])
    return info
