"""What a channel is, told from its name; and which channels of a recording are wanted."""

import re
from collections import Counter
from collections.abc import Sequence

from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.types import DECODED_TYPES, REFERENCE_TYPES, Channel

__all__ = ["guess_type", "select_channels"]

# The rows of the 10-05 system from the nose to the back of the head, then a z or a number, then half steps.
_TEN_FIVE = re.compile(
    r"(?:N|Fp|AFp|AF|AFF|F|FFT|FFC|FT|FC|FTT|FCC|T|C|TTP|CCP|TP|CP|TPP|CPP|P|PPO|PO|POO|O|OI|I)"
    r"(?:z|10|[1-9])h?|[AM][12]",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?:ch|chan|channel|eeg|exg|exg channel)[ _-]?\d+", re.IGNORECASE)
_BY_WORD = (
    ("eog", re.compile(r"[hv]?eog", re.IGNORECASE)),
    ("ecg", re.compile(r"ecg|ekg", re.IGNORECASE)),
    ("emg", re.compile(r"emg", re.IGNORECASE)),
)


def guess_type(name: str) -> str:
    """Return the type of a channel that is known by its name only.

    Parameters
    ----------
    name : str
        ``"TP9"``, ``"EEG Oz"``, ``"HEOG"``, ``"Right AUX"``, ...

    Returns
    -------
    str
        ``eeg`` for electrodes of the 10-05 system and plainly numbered channels; ``eog``, ``ecg`` or ``emg``
        where the name says so; else ``misc``.
    """
    electrode = re.sub(r"^EEG[ _-]", "", name.strip(), flags=re.IGNORECASE)
    if _TEN_FIVE.fullmatch(electrode) or _NUMBERED.fullmatch(name.strip()):
        return "eeg"
    return next((type_ for type_, word in _BY_WORD if word.search(name)), "misc")


def select_channels(
    channels: Sequence[Channel], source: str, exclude: Sequence[str], modality: str | None
) -> tuple[int, ...]:
    """Return the places of the wanted channels, in the recording's order.

    Parameters
    ----------
    channels : sequence of Channel
        All channels of the recording.
    source : str
        The recording, for messages.
    exclude : sequence of str
        Names of channels to leave out.
    modality : str or None
        ``"eeg"`` or ``"meg"`` keeps that modality's channels only (MEG with its reference sensors).

    Raises
    ------
    RecordingError
        If a name to leave out does not exist, the modality is unknown, or no channel is left.
    """
    names = [channel.name for channel in channels]
    for name in exclude:
        if name not in names:
            raise RecordingError(
                f"{source} has no channel {name!r} to leave out.{did_you_mean(name, names)} "
                f"Its channels are: {_listed(names)}."
            )
    if modality is not None and modality not in DECODED_TYPES:
        raise RecordingError(
            f"{source} cannot be read as {modality!r}; a sampled recording is read as 'eeg' or 'meg'."
        )
    types = None if modality is None else DECODED_TYPES[modality] + REFERENCE_TYPES[modality]
    kept = tuple(
        place
        for place, channel in enumerate(channels)
        if channel.name not in exclude and (types is None or channel.type in types)
    )
    if not kept:
        held = ", ".join(f"{n} {type_}" for type_, n in Counter(c.type for c in channels).items())
        wanted = f"{modality.upper()} channel" if modality else "channel"
        raise RecordingError(
            f"{source} has no {wanted} left to read; it holds {held or 'none'}. "
            "Name fewer channels to leave out, or another modality."
        )
    return kept


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
