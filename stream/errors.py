"""Errors a user can meet.

::

    DecodeStreamError            a message for the user; the command ends with `exit_code`
    |-- UsageError               what was asked cannot be (exit code 2)
    |   |-- RecordingError       a recording is missing, unreadable, empty or truncated
    |   `-- BundleError          a bundle is missing, changed, of an unknown schema, or does not fit the stream
    |-- ExportError              an exported network does not give what the one it came from gives (exit code 1)
    |-- GeneratorError           a generator could not draw (exit code 1)
    |-- GpuError                 a GPU, or a library that runs networks on it, could not do its work (exit code 1)
    |-- ProviderLost             what ran a network has failed while it ran (exit code 1)
    `-- SessionError             a session that had begun could not go on (exit code 1)
        `-- StreamError          no stream, two streams, or a stream that cannot be decoded

Each message says what happened, the value, the rule, and what to type next.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BundleError",
    "DecodeStreamError",
    "ExportError",
    "GeneratorError",
    "GpuError",
    "ProviderLost",
    "RecordingError",
    "SessionError",
    "StreamError",
    "UsageError",
    "did_you_mean",
]


class DecodeStreamError(Exception):
    """Base of every error that is a message for the user, not a defect of the program."""

    exit_code = 1


class UsageError(DecodeStreamError):
    """What was asked cannot be done as asked."""

    exit_code = 2


class RecordingError(UsageError):
    """A recording is missing, unreadable, empty, truncated, or lacks what was asked of it."""


class BundleError(UsageError):
    """A bundle is missing, changed, of an unknown schema, or does not fit what it is given."""


class ExportError(DecodeStreamError):
    """An exported network does not give what the one it came from gives, or cannot be made."""


class GeneratorError(DecodeStreamError):
    """A generator could not draw: what came out is no picture, or its device failed."""


class GpuError(DecodeStreamError):
    """A GPU, or a library that runs networks on it, could not do its work."""


class ProviderLost(DecodeStreamError):
    """What ran a network has failed while it ran; the CPU can go on with it."""


class SessionError(DecodeStreamError):
    """A session that had begun could not go on."""


class StreamError(SessionError):
    """No stream was found, too many were, or one cannot be decoded."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    by_folded = {k.casefold(): k for k in known}
    close = get_close_matches(name.casefold(), list(by_folded), n=1)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
