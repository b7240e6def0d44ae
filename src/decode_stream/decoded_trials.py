"""The trials of a recording, decoded as a session would, for what looks at each by itself."""

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import Decoded, Keeper
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.runtime import Encoder
from decode_stream.stream.errors import RecordingError, StreamError
from decode_stream.stream.recording import Recording

from .config import Reading, parse_events

__all__ = ["decoded_trials"]


def decoded_trials(
    bundle: Bundle,
    encoder: Encoder,
    recording: Recording,
    offset_s: float,
    config: Reading,
    *,
    windows: bool,
) -> Decoded:
    """Return what was decoded of each whole trial of a recording.

    Parameters
    ----------
    bundle : Bundle
    encoder : Encoder
        The bundle's.
    recording : Recording
    offset_s : float
        From a marker to its onset; see `decode_stream.betas.decoded_recording`.
    config : Reading
    windows : bool
        Whether the windows themselves are kept too.

    Raises
    ------
    RecordingError
        If it does not fit the bundle, or no trial is whole and shows an entry of the gallery.
    """
    manifest = bundle.manifest
    with Keeper(bundle, windows=windows) as keeper:
        try:
            decoder = decode_recording(
                bundle,
                encoder,
                recording,
                manifest.stimuli(parse_events(config.events)),
                marker_offset_s=offset_s,
                onset_channel=config.onset_channel,
                keep=keeper,
            )
        except StreamError as error:
            raise RecordingError(f"{recording.name} does not fit {manifest.name!r}. {error}") from error
        if not decoder.scores.n:
            raise RecordingError(
                f"No trial of {recording.name} is whole and shows an entry of the gallery. Check that the markers name "
                "entries of the gallery, with --events."
            )
        keeper.end(decoder)
        return keeper.decoded(decoder.scores)
