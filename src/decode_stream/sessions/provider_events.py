"""What a session tells of the providers that run its networks."""

from collections.abc import Callable

from decode_stream.decoders.runtime import Encoder

__all__ = ["ProviderEvents"]


class ProviderEvents:
    """Tells, once each, why better providers were passed over, and that one was lost.

    Parameters
    ----------
    encoder : Encoder or None
        The session's; its notes are told at once.
    tell : callable
        Takes the kind and text of an event.
    """

    def __init__(self, encoder: Encoder | None, tell: Callable[[str, str], None]) -> None:
        self._encoder, self._tell = encoder, tell
        self._told = {("provider", note) for note in encoder.notes} if encoder else set()
        self._told_lost = False
        for note in encoder.notes if encoder else ():
            tell("provider", note)

    def look(self) -> None:
        """Tell of the encoder's provider if it was lost since the last look."""
        if self._encoder is not None and self._encoder.lost and not self._told_lost:
            self._told_lost = True
            self._tell("provider lost", self._encoder.lost)

    def of_pictures(self, kind: str, text: str) -> None:
        """Tell an event of the painter, unless it was told of the encoder in the same words."""
        if (kind, text) not in self._told:
            self._tell(kind, text)
