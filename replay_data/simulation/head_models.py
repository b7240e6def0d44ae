"""What dipoles in a spherical head give to EEG electrodes and MEG gradiometers, computed by MNE-Python.

Idealised: the head is a sphere, electrodes lie where the standard montage puts them, and the gradiometers of a CTF
helmet lie on a sphere about the head, where the layout of the helmet, unrolled, says.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.things_eeg.names import CHANNELS_63
from decode_stream.stream.types import Channel, FloatArray

__all__ = [
    "CENTRE_M",
    "CTF_CHANNELS",
    "RADIUS_M",
    "brain_dipoles",
    "eeg_channels",
    "eeg_lead_field",
    "meg_channels",
    "meg_lead_field",
]

#: The sphere that fits the standard montage, head coordinates.
CENTRE_M = (0.0, 0.015, 0.044)
RADIUS_M = 0.095
#: Radius on which the helmet's inner coils lie, and the angle from the vertex of its lowest.
_HELMET_M = 0.121
_HELMET_RIM = np.radians(117.0)


#: Of THINGS-EEG2.
EEG_REFERENCE = "Fz"
#: Gradiometers of the CTF 275 helmet that THINGS-MEG does not have.
_CTF_MISSING = ("MLF25", "MRF43", "MRO11", "MRO13")
CTF_CHANNELS = 271


def eeg_channels(names: tuple[str, ...] = CHANNELS_63) -> tuple[Channel, ...]:
    """Return EEG channels in microvolts at the places of the standard 10-05 montage.

    Raises
    ------
    ValueError
        If the montage lacks a name.
    """
    places = _montage()
    if missing := [name for name in names if name not in places]:
        raise ValueError(f"The 10-05 montage has no electrode {', '.join(missing)}.")
    return tuple(Channel(name, "eeg", "uV", places[name]) for name in names)


def _montage() -> dict[str, tuple[float, float, float]]:
    import mne

    # MNE-Python 1.12 gave the montage another name.
    known = mne.channels.get_builtin_montages()
    montage = mne.channels.make_standard_montage(
        "colin27_1005" if "colin27_1005" in known else "standard_1005"
    )
    info = mne.create_info(montage.ch_names, 1000.0, "eeg")
    info.set_montage(montage)
    return {channel["ch_name"]: _place(channel["loc"][:3]) for channel in info["chs"]}


def _place(place_m: FloatArray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in np.asarray(place_m, dtype=np.float32))
    return x, y, z


def meg_channels(n_channels: int = CTF_CHANNELS) -> tuple[Channel, ...]:
    """Return CTF axial gradiometers in femtotesla, named as THINGS-MEG names them.

    Parameters
    ----------
    n_channels : int
        Fewer than 271 are picked evenly over the helmet.
    """
    import mne

    layout = mne.channels.read_layout("CTF275")
    flat = {name.split("-")[0]: place[:2] for name, place in zip(layout.names, layout.pos, strict=True)}
    names = sorted(name for name in flat if name not in _CTF_MISSING)
    middle = flat["MZC03"]
    unrolled = np.array([flat[name] - middle for name in names])
    radius = np.linalg.norm(unrolled, axis=1)
    down = radius / radius.max() * _HELMET_RIM
    around = np.arctan2(unrolled[:, 1], unrolled[:, 0])
    out = np.stack([np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)], axis=1)
    places = np.array(CENTRE_M) + _HELMET_M * out
    which = np.linspace(0, len(names) - 1, n_channels).round().astype(int)
    return tuple(Channel(f"{names[i]}-1609", "mag", "fT", _place(places[i])) for i in which)


def brain_dipoles(n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return `n` dipoles all over the brain: places (n, 3) in metres and unit moments (n, 3)."""
    towards = rng.standard_normal((4 * n, 3))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    towards = towards[towards[:, 2] > -0.5][:n]  # below lies the neck
    depth = rng.uniform(0.45, 0.85, (len(towards), 1))
    moments = rng.standard_normal(towards.shape)
    return np.array(CENTRE_M) + RADIUS_M * depth * towards, moments / np.linalg.norm(
        moments, axis=1, keepdims=True
    )


def eeg_lead_field(
    channels: tuple[Channel, ...], places_m: FloatArray, moments: FloatArray
) -> npt.NDArray[np.float64]:
    """Return what dipoles of 1 nAm give to electrodes referenced to Fz, shape (n_dipoles, n_channels), in uV.

    A sphere of four shells (brain, fluid, skull, skin) with the conductivities that are MNE-Python's default.

    Parameters
    ----------
    places_m, moments : array of shape (n_dipoles, 3)
        Head coordinates.
    """
    import mne

    places = {EEG_REFERENCE: _montage()[EEG_REFERENCE]}
    places |= {channel.name: channel.position_m for channel in channels if channel.position_m is not None}
    info = mne.create_info(list(places), 1000.0, "eeg")
    for described, place in zip(info["chs"], places.values(), strict=True):
        described["loc"][:6] = (*place, *places[EEG_REFERENCE])
    field = _solve(info, places_m, moments, meg=False)
    reference = field[:, list(places).index(EEG_REFERENCE)]
    wanted = [list(places).index(channel.name) for channel in channels]
    return 1e-3 * (field[:, wanted] - reference[:, None])  # V/(Am) to uV/(nAm)


def meg_lead_field(
    channels: tuple[Channel, ...], places_m: FloatArray, moments: FloatArray
) -> npt.NDArray[np.float64]:
    """Return what dipoles of 1 nAm give to axial gradiometers, shape (n_dipoles, n_channels), in fT.

    The gradiometers point away from the centre of the sphere and have a baseline of 5 cm.

    Parameters
    ----------
    places_m, moments : array of shape (n_dipoles, 3)
        Head coordinates.
    """
    import mne

    info = mne.create_info([channel.name for channel in channels], 1200.0, "mag")
    for described, channel in zip(info["chs"], channels, strict=True):
        place = np.array(channel.position_m)
        out = (place - CENTRE_M) / np.linalg.norm(place - np.array(CENTRE_M))
        across = np.cross(out, [1.0, 0.0, 0.0] if abs(out[0]) < 0.9 else [0.0, 1.0, 0.0])
        across /= np.linalg.norm(across)
        described["loc"][:] = np.concatenate([place, across, np.cross(out, across), out])
        described["coil_type"] = mne.io.constants.FIFF.FIFFV_COIL_CTF_GRAD
        described["coord_frame"] = mne.io.constants.FIFF.FIFFV_COORD_DEVICE
    with info._unlock():
        info["dev_head_t"] = mne.transforms.Transform("meg", "head")
    return 1e6 * _solve(info, places_m, moments, meg=True)  # T/(Am) to fT/(nAm)


def _solve(info: Any, places_m: FloatArray, moments: FloatArray, *, meg: bool) -> npt.NDArray[np.float64]:
    """Return the field of unit dipoles at the sensors, shape (n_dipoles, n_sensors), SI units."""
    import mne

    sphere = mne.make_sphere_model(r0=CENTRE_M, head_radius=None if meg else RADIUS_M, verbose="error")
    source_space = mne.setup_volume_source_space(
        pos={"rr": np.asarray(places_m), "nn": np.asarray(moments)},
        sphere=(*CENTRE_M, RADIUS_M),
        mindist=0.0,
        verbose="error",
    )
    solution = mne.make_forward_solution(
        info, None, source_space, sphere, meg=meg, eeg=not meg, mindist=0.0, verbose="error"
    )
    if solution["nsource"] != len(places_m):
        raise ValueError(f"{len(places_m) - solution['nsource']} dipoles lie outside the head.")
    free = solution["sol"]["data"].reshape(len(info["chs"]), len(places_m), 3)
    field: npt.NDArray[np.float64] = np.einsum("cnx,nx->nc", free, moments)
    return field
