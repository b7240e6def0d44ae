"""Every key of the window, in one table: shortcuts, the help sheet and the tests are made from it."""

from typing import NamedTuple

__all__ = ["ACTIONS", "Action", "help_text"]


class Action(NamedTuple):
    """One thing a key does: its name, the keys in Qt's words, and what the help sheet says."""

    name: str
    keys: tuple[str, ...]
    text: str


ACTIONS = (
    Action("next_page", ("PgDown",), "next sixteen channels"),
    Action("previous_page", ("PgUp",), "previous sixteen channels"),
    Action("larger", ("+", "="), "larger traces"),
    Action("smaller", ("-",), "smaller traces"),
    Action("autoscale", ("A",), "fit the traces to their rows"),
    Action("hold", ("Space",), "hold the traces; the session runs on"),
    Action("what_if", ("W",), "what if a region of the last trials had been silent, or raised (fMRI)"),
    Action("reconstruction", ("G",), "show or hide the reconstruction"),
    Action("prior", ("P",), "beside the reconstruction: what is drawn of no evidence"),
    Action("variance", ("V",), "beside it: which of its parts are imagined, in the last decided trial"),
    Action("nearest", ("N",), "beside it: the nearest picture of the generator's training"),
    Action("motion", ("M",), "let the reconstruction fade or, with reduced motion, change once a second"),
    Action("full_screen", ("F11",), "full screen and back"),
    Action("help", ("F1", "?"), "this list"),
    Action("close", ("Ctrl+Q",), "end the session and close"),
)


def help_text() -> str:
    """Return the keys and what they do, one a line."""
    return "\n".join(f"{' or '.join(action.keys)}: {action.text}" for action in ACTIONS)
