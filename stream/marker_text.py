"""What a marker's text says: a label as it stands, or a JSON object that tells of the stimulus."""

import json
from dataclasses import dataclass

from .stimuli import LONGEST_S

__all__ = ["MarkerText", "read_marker_text", "write_marker_text"]


@dataclass(frozen=True, slots=True)
class MarkerText:
    """What is said of one stimulus.

    Attributes
    ----------
    label : str
        What it is looked up by: the id in decimal where there is one.
    concept : str
        Name of what the picture shows, or empty.
    image : str
        The picture's file, or empty.
    split : str
        ``train`` or ``test``, or empty.
    duration_s : float or None
        How long it is shown, in seconds.
    """

    label: str
    concept: str = ""
    image: str = ""
    split: str = ""
    duration_s: float | None = None


def read_marker_text(text: str) -> MarkerText:
    """Return what a marker says.

    Parameters
    ----------
    text : str
        A JSON object with any of the members ``id`` (a whole number or text), ``concept``, ``image``, ``split`` and
        ``duration_s`` (a number, 0 or more), such as ``{"id": 12, "concept": "aardvark"}``; other members are left
        alone. The label is the id, else the concept, else the image. Any other text, broken JSON too, is a label as it
        stands.
    """
    if not text.lstrip().startswith("{"):
        return MarkerText(text)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return MarkerText(text)
    id_ = said.get("id", "")
    concept, image, split = (_text(said.get(name)) for name in ("concept", "image", "split"))
    number = isinstance(id_, int) and not isinstance(id_, bool)
    label = (str(id_) if number else _text(id_)) or concept or image
    if not label:
        return MarkerText(text)
    return MarkerText(label, concept, image, split, _duration_s(said.get("duration_s")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _duration_s(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LONGEST_S else None


def write_marker_text(marker: MarkerText) -> str:
    """Return the JSON object that says it, without what is empty; a label in whole numbers is a number there."""
    label = marker.label
    # 007 is no number: its zeros would be lost.
    whole = label.isascii() and label.isdecimal() and str(int(label)) == label
    said: dict[str, object] = {"id": int(label) if whole else label}
    said |= {name: text for name in ("concept", "image", "split") if (text := getattr(marker, name))}
    if marker.duration_s is not None:
        said["duration_s"] = marker.duration_s
    return json.dumps(said, ensure_ascii=False)
