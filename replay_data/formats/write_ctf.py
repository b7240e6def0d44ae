"""Write a recording as a CTF ``.ds`` folder, block by block.

Of the folder, ``.res4`` holds the header and every channel with its coils, ``.meg4`` the samples as integers, and
``.hc`` the head coils, by which dewar and head coordinates are tied. MEG channels are axial gradiometers: two coils
5 cm apart, wound against each other. The head is in the dewar as nominally placed, so positions survive the way there
and back.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray
from decode_stream.stream.units import unit_factor

from .ctf_samples import HEADER, MEG4_START

__all__ = ["MEG_TESLA", "write_ctf"]

#: Position (x, y, z) in metres, head coordinates, or direction.
Vector = tuple[float, float, float]

_MAX_BYTES = 2**31 - 1  # of a file of samples: CTF counts bytes in int32
_BLOCK_BYTES = 32 << 20
_TRIAL_S = 10.0  # of a recording that does not fit into one file
_CLOCK = "SCLK01-177"
_CLOCK_PER_S = 12000.0
_MAX_NAME = 15  # mne keeps as many characters
_BASELINE_M = 0.05

#: Sensor types, and the two gains whose product is counts per unit, as acquisition writes them.
_REF_MAG, _REF_GRAD, _MEG, _STIM = 0, 1, 5, 11
_GAINS = {
    _REF_MAG: (-1.18e8, 2.0**20),
    _REF_GRAD: (-6.54e9, 2.0**20),
    _MEG: (2.86e9, 2.0**20),
    _STIM: (1.0, 1.0),
}
#: What is neither MEG nor stim, by the beginning of its name: system clock, trigger port, else ADC (+-20 V).
_OTHERS = (("SCLK", 17, _CLOCK_PER_S), ("UPPT", 20, 1.0), ("", 18, 2.0**30 / 10))

#: Tesla of one count of a MEG channel.
MEG_TESLA = 1 / (_GAINS[_MEG][0] * _GAINS[_MEG][1])

_COIL = np.dtype(
    [
        *[("pos", ">f8", 3), ("d0", ">f8"), ("norm", ">f8", 3), ("d1", ">f8"), ("turns", ">i2")],
        *[("d2", ">i4"), ("d3", ">i2"), ("area", ">f8")],
    ]
)
_CHANNEL = np.dtype(
    [
        *[("type", ">i2"), ("run", ">i2"), ("coil_type", ">i4"), ("proper_gain", ">f8"), ("gain", ">f8")],
        *[("io_gain", ">f8"), ("io_offset", ">f8"), ("n_coils", ">i2"), ("grade", ">i2"), ("d0", ">i4")],
        *[("coil", _COIL, 8), ("head_coil", _COIL, 8)],
    ]
)
_MAX_REFERENCES = 50
_COEFFICIENTS = np.dtype(
    [
        *[("name", "S32"), ("kind", ">i4"), ("d0", ">i4"), ("n", ">i2")],
        *[("sensors", "S31", _MAX_REFERENCES), ("values", ">f8", _MAX_REFERENCES)],
    ]
)
_COMPENSATIONS = (b"G1BR", b"G2BR", b"G3BR")

# Dewar and CTF head coordinates of the coils at nasion, left and right ear, in cm. The CTF head's x points to the
# nasion and y to the left; mne's x points to the right and y to the nasion.
_S = 8 * 2**-0.5
_COILS = {
    "nasion": ((_S, _S, -27.0), (8.0, 0.0, 0.0)),
    "left ear": ((-_S, _S, -27.0), (0.0, 8.0, 0.0)),
    "right ear": ((_S, -_S, -27.0), (0.0, -8.0, 0.0)),
}
_HALF = 2**-0.5
_HEAD_TO_DEWAR = np.array([[_HALF, _HALF, 0.0], [-_HALF, _HALF, 0.0], [0.0, 0.0, 1.0]])
_HEAD_TO_CTF_HEAD = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_DEWAR_Z_M = -0.27


def write_ctf(
    recording: Recording,
    path: Path,
    *,
    orientations: Mapping[str, Vector] | None = None,
    grade: int = 0,
    subject: str = "",
    max_bytes: int = _MAX_BYTES,
    overwrite: bool = False,
) -> None:
    """Write a continuous recording as a CTF folder that MNE-Python reads back.

    Samples are rounded to the format's steps: 0.33 fT for MEG, 8 fT and 0.15 fT for reference magnetometers and
    gradiometers, 9 nV for ADC channels, whole numbers for triggers. A recording is one trial; one that does not fit
    into `max_bytes` is cut into trials of 10 s over several files, with the last one filled up, and the system clock
    (channel SCLK01-177, made where there is none) says where the signal ends.

    Parameters
    ----------
    recording : Recording
        Channels of type ``mag`` (written as axial gradiometers) and ``ref_meg`` with positions in head coordinates
        and a unit of tesla; ``stim``; ``misc`` in volts or without unit: UPPT* are trigger ports, SCLK* the clock in
        seconds above zero, others ADCs. Reference channels named B* are magnetometers, as CTF names them.
    path : Path
        The folder to be, ``NAME.ds``.
    orientations : mapping of str to (x, y, z), optional
        Direction of the sensor by channel name, head coordinates; else away from the origin.
    grade : int
        Order of the synthetic gradiometer that the header declares (3 in THINGS-MEG). Nothing is compensated here:
        the coefficients written are zero.
    subject : str
        Name of the person, at most 31 characters.
    max_bytes : int
        Size above which samples go on in another file.

    Raises
    ------
    ValueError
        If a channel has no place in the format: its type, its unit or a missing position.
    RecordingError
        If something stands at `path`, it cannot be written, or a value is beyond what the format holds. Nothing is
        left then.
    """
    if path.suffix != ".ds":
        raise ValueError(f"A CTF recording is a folder NAME.ds, not {path.name}.")
    channels = tuple(recording.channels)
    n_trials, n_times = 1, recording.n_samples
    whole_bytes = len(MEG4_START) + 4 * n_times * len(channels)
    if whole_bytes > max_bytes:
        if all(channel.name != _CLOCK for channel in channels):
            channels = (*channels, Channel(_CLOCK, "misc"))
        n_times = min(round(_TRIAL_S * recording.sfreq_hz), n_times)
        n_trials = -(-recording.n_samples // n_times)
    records = np.array([_record(channel, orientations or {}, grade) for channel in channels], _CHANNEL)
    with written_whole(path, overwrite=overwrite) as folder:
        folder.mkdir()
        header = _header(n_times, len(channels), n_trials, recording.sfreq_hz, subject)
        names = b"".join(channel.name.encode().ljust(32, b"\0") for channel in channels)
        # No run description and no filters.
        parts = (header, b"\0\0", names, records.tobytes(), _compensation(channels))
        (folder / f"{path.stem}.res4").write_bytes(b"".join(parts))
        (folder / f"{path.stem}.hc").write_text(_head_coils(), encoding="ascii")
        _write_samples(
            recording, channels, records, (n_trials, n_times), folder / f"{path.stem}.meg4", max_bytes
        )


def _header(n_times: int, n_channels: int, n_trials: int, sfreq_hz: float, subject: str) -> bytes:
    header = np.zeros(1, HEADER)
    header["start"] = b"MEG41RS"
    header["time"], header["date"] = b"12:00:00", b"01/01/2000"
    header["n_times"], header["n_channels"], header["n_trials"] = n_times, n_channels, n_trials
    header["sfreq_hz"], header["length_s"] = sfreq_hz, n_times * n_trials / sfreq_hz
    header["subject"] = subject.encode()[:31]
    return header.tobytes()


def _record(channel: Channel, orientations: Mapping[str, Vector], grade: int) -> npt.NDArray[np.void]:
    """Return a channel's entry in the header."""
    if not 0 < len(channel.name.encode()) <= _MAX_NAME:
        raise ValueError(f"A CTF channel's name has 1 to {_MAX_NAME} bytes; {channel.name!r} does not fit.")
    record = np.zeros((), _CHANNEL)
    record["io_gain"] = 1.0
    if channel.type in ("mag", "ref_meg"):
        first = _REF_MAG if re.match("B", channel.name) else _REF_GRAD
        record["type"] = _MEG if channel.type == "mag" else first
        record["proper_gain"], record["gain"] = _GAINS[int(record["type"])]
        record["grade"] = grade if channel.type == "mag" else 0
        _place(record, channel, orientations.get(channel.name))
    elif channel.type == "stim":
        record["type"], (record["proper_gain"], record["gain"]) = _STIM, _GAINS[_STIM]
    elif channel.type == "misc":
        _, record["type"], record["gain"] = next(row for row in _OTHERS if channel.name.startswith(row[0]))
        record["proper_gain"] = 1.0
    else:
        raise ValueError(
            f"Channel {channel.name!r} is of type {channel.type!r}, which is not written to CTF."
        )
    return record


def _compensation(channels: tuple[Channel, ...]) -> bytes:
    """Return the table of coefficients, all zero; mne reads no file without one."""
    references = [channel.name.encode() for channel in channels if channel.type == "ref_meg"]
    references = references[:_MAX_REFERENCES]
    meg = [channel.name.encode() for channel in channels if channel.type == "mag"]
    table = np.zeros((len(_COMPENSATIONS), len(meg)), _COEFFICIENTS)
    table["name"] = meg
    table["kind"] = np.array([[int.from_bytes(kind, "big")] for kind in _COMPENSATIONS])
    table["n"] = len(references)
    table["sensors"][..., : len(references)] = references
    return table.size.to_bytes(2, "big") + table.tobytes()


def _place(record: npt.NDArray[np.void], channel: Channel, orientation: Vector | None) -> None:
    """Enter where a sensor's coils are and where they face."""
    if channel.position_m is None or not np.any(channel.position_m):
        raise ValueError(
            f"MEG channel {channel.name!r} has no position; CTF holds no MEG channel without one."
        )
    position = np.array(channel.position_m)
    facing = np.array(position if orientation is None else orientation, dtype=np.float64)
    facing /= np.linalg.norm(facing)
    # mne turns the coil's normal where the gain is positive.
    normal = -np.sign(record["proper_gain"]) * facing
    n_coils = 1 if record["type"] == _REF_MAG else 2
    record["n_coils"] = n_coils
    for coil, (distance_m, side) in enumerate(((0.0, 1.0), (_BASELINE_M, -1.0))[:n_coils]):
        at = position + distance_m * facing
        frames = (
            ("coil", _HEAD_TO_DEWAR, np.array([0.0, 0.0, _DEWAR_Z_M])),
            ("head_coil", _HEAD_TO_CTF_HEAD, np.zeros(3)),
        )
        for name, turn, shift in frames:
            record[name]["pos"][coil] = 100 * (turn @ at + shift)
            record[name]["norm"][coil] = side * (turn @ normal)
        record["coil"]["turns"][coil], record["coil"]["area"][coil] = 2, 2.54


def _head_coils() -> str:
    lines = []
    for kind, frame, column in (
        ("standard", "dewar", 0),
        ("measured", "dewar", 0),
        ("measured", "head", 1),
    ):
        for coil, places in _COILS.items():
            lines.append(f"{kind} {coil} coil position relative to {frame} (cm):")
            lines += [f"\t{axis} = {value:.12g}" for axis, value in zip("xyz", places[column], strict=True)]
    return "\n".join(lines) + "\n"


def _scales(channels: tuple[Channel, ...], records: npt.NDArray[np.void]) -> FloatArray:
    """Return counts per value of each channel."""
    scales = np.asarray(records["proper_gain"] * records["gain"], dtype=np.float64)
    for place, channel in enumerate(channels):
        wanted = {"mag": "T", "ref_meg": "T"}.get(channel.type)
        if channel.type == "misc" and channel.unit:
            wanted = "V"
        factor = 1.0 if wanted is None else unit_factor(channel.unit, wanted)
        if factor is None:
            raise ValueError(
                f"Channel {channel.name!r} is in {channel.unit or 'no unit'}; CTF holds {wanted} there."
            )
        scales[place] *= factor
    return scales


def _write_samples(
    recording: Recording,
    channels: tuple[Channel, ...],
    records: npt.NDArray[np.void],
    trials: tuple[int, int],
    path: Path,
    max_bytes: int,
) -> None:
    (n_trials, n_times), n_channels = trials, len(channels)
    scales = _scales(channels, records)
    per_file = max(1, (max_bytes - len(MEG4_START)) // (4 * n_channels * n_times))
    step = max(1, _BLOCK_BYTES // (8 * n_channels))
    for number, begin in enumerate(range(0, n_trials, per_file)):
        place = path if number == 0 else path.with_suffix(f".{number}_meg4")
        with place.open("wb") as file:
            file.write(MEG4_START)
            for trial in range(begin, min(begin + per_file, n_trials)):
                at = len(MEG4_START) + (trial - begin) * 4 * n_channels * n_times
                for first in range(0, n_times, step):
                    n = min(step, n_times - first)
                    counts = _counts(recording, channels, scales, trial * n_times + first, n)
                    for row in range(n_channels):
                        file.seek(at + 4 * (row * n_times + first))
                        file.write(counts[row].data)


def _counts(
    recording: Recording, channels: tuple[Channel, ...], scales: FloatArray, start: int, n: int
) -> npt.NDArray[np.int32]:
    """Return samples [start, start + n) as stored, shape (n_channels, n), zero behind the end."""
    counts = np.zeros((len(channels), n), ">i4")
    n_held = min(n, recording.n_samples - start)
    if n_held <= 0:
        return counts
    values = np.asarray(recording.read(start, start + n_held), dtype=np.float64)
    n_own = len(recording.channels)
    if values.shape != (n_held, n_own):
        raise RecordingError(f"{recording.name} gave samples of shape {values.shape}, not {(n_held, n_own)}.")
    values = np.rint(values * scales[:n_own])
    beyond = ~(np.abs(values) < 2**31).all(axis=0)  # so that NaN is beyond, too
    if beyond.any():
        name = channels[int(np.argmax(beyond))].name
        raise RecordingError(
            f"{recording.name}, channel {name}: a value between samples {start} and {start + n_held} is not a number, "
            "or beyond what CTF holds (0.7 uT for MEG, 20 V for ADC). Check the channel's unit."
        )
    counts[:n_own, :n_held] = values.T
    if n_own < len(channels):  # the clock made here counts from 1 s: zero says that there is no signal
        counts[n_own, :n_held] = np.rint(
            (1 + (start + np.arange(n_held)) / recording.sfreq_hz) * _CLOCK_PER_S
        )
    return counts
