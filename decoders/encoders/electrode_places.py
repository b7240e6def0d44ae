"""Where electrodes sit by their names, for recordings that do not say it."""

from collections.abc import Sequence

__all__ = ["standard_places"]

#: MNE's names of the montage, the newer one first.
_MONTAGES = ("colin27_1005", "standard_1005")


def standard_places(names: Sequence[str]) -> tuple[tuple[float, float, float] | None, ...]:
    """Return where electrodes of the 10-05 system sit on an average head (Oostenveld and Praamstra 2001).

    Parameters
    ----------
    names : sequence of str
        In any case; the older T3, T4, T5, T6 and the mastoids' M1, M2, A1, A2 are known as well.

    Returns
    -------
    tuple of (x, y, z) or None
        Metres, z upwards; None for a name that is not of the system.
    """
    import mne

    known = mne.channels.get_builtin_montages()
    montage = mne.channels.make_standard_montage(next(name for name in _MONTAGES if name in known))
    places = {name.casefold(): place for name, place in montage.get_positions()["ch_pos"].items()}
    found = (places.get(name.strip().casefold()) for name in names)
    return tuple(
        None if place is None else (float(place[0]), float(place[1]), float(place[2])) for place in found
    )
