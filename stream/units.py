"""Units of signals: their symbols, how people write them, and the factors between them."""

from typing import NamedTuple

__all__ = ["UNITS", "Unit", "handy_unit", "unit_factor", "unit_symbol"]


class Unit(NamedTuple):
    """One unit.

    Attributes
    ----------
    exponent : int
        Power of ten by which it stands above its SI unit.
    si : str
        Its SI unit: ``V``, ``T``, ``T/m`` or ``m``; ``%`` and ``rad`` stand for themselves.
    word : str
        Its name in the singular.
    """

    exponent: int
    si: str
    word: str


#: Every unit that is known, by symbol.
UNITS = {
    "V": Unit(0, "V", "volt"),
    "mV": Unit(-3, "V", "millivolt"),
    "uV": Unit(-6, "V", "microvolt"),
    "nV": Unit(-9, "V", "nanovolt"),
    "T": Unit(0, "T", "tesla"),
    "pT": Unit(-12, "T", "picotesla"),
    "fT": Unit(-15, "T", "femtotesla"),
    "T/m": Unit(0, "T/m", "tesla/meter"),
    "fT/cm": Unit(-13, "T/m", "femtotesla/centimeter"),
    "%": Unit(0, "%", "percent"),  # signal change of a voxel
    "m": Unit(0, "m", "meter"),
    "mm": Unit(-3, "m", "millimeter"),  # of a head that moves
    "rad": Unit(0, "rad", "radian"),
}

#: By SI unit, the one in which numbers are of the order of 1 to 1000, which float32 and people like best.
_HANDY = {"V": "uV", "T": "fT", "T/m": "fT/cm", "%": "%", "m": "mm", "rad": "rad"}

_BY_WORD = {unit.word: symbol for symbol, unit in UNITS.items()} | {"uv": "uV"}
_BY_EXPONENT = {(unit.exponent, unit.si): symbol for symbol, unit in UNITS.items()}
#: SI unit of a channel type; all others that measure anything measure volts.
_SI = {"mag": "T", "ref_meg": "T", "grad": "T/m", "voxel": "%", "stim": "", "misc": ""}


def unit_symbol(text: str, type_: str = "eeg") -> str:
    """Return the symbol of a unit that is written in any of the usual ways, or an empty string.

    Parameters
    ----------
    text : str
        ``"microvolts"``, ``"µV"``, ``"Volts"``, ``"fT/cm"``, or the power of ten of the SI unit, ``"-6"``, as
        MNE-LSL writes it.
    type_ : str
        Channel type; names the SI unit behind a power of ten.

    Returns
    -------
    str
        A key of `UNITS`, or empty where the text names none of them.
    """
    text = text.strip().replace("\u00b5", "u").replace("\u03bc", "u")
    if text in UNITS:
        return text
    word = text.lower().replace(" per ", "/").replace(" ", "").replace("metre", "meter")
    # "microvolts" and "microvolt" are the same word; the plural stands before the "/".
    word = "/".join(part.removesuffix("s") for part in word.split("/"))
    if word in _BY_WORD:
        return _BY_WORD[word]
    try:
        return _BY_EXPONENT.get((int(text), _SI.get(type_, "V")), "")
    except ValueError:
        return ""


def unit_factor(have: str, want: str) -> float | None:
    """Return what a value in the unit `have` is multiplied by to be in `want`; None where that cannot be."""
    if have == want:
        return 1.0
    if have not in UNITS or want not in UNITS or UNITS[have].si != UNITS[want].si:
        return None
    return float(10.0 ** (UNITS[have].exponent - UNITS[want].exponent))


def handy_unit(symbol: str) -> str:
    """Return the unit of the same kind in which people read a signal: uV, fT, fT/cm; one unknown stays."""
    return _HANDY[UNITS[symbol].si] if symbol in UNITS else symbol
