"""The way of the data from samples to beliefs, built once the stream is known."""

from collections.abc import Mapping
from dataclasses import dataclass

from decode_stream.betas import bundle_glm
from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.chains import watch_schedule
from decode_stream.decoders.decoder import Decoder, Keep
from decode_stream.decoders.runtime import Encoder
from decode_stream.gui.words import signal_span_s
from decode_stream.stream.cutter import Cutter, WindowCutter, held_s
from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.lsl import lsl_now
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import StreamInfo
from decode_stream.stream.window_chain import WindowSpec

from .beta_pipeline import beta_cutter

__all__ = ["Pipeline", "build_pipeline"]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Samples to ring, ring to windows, windows to beliefs.

    Attributes
    ----------
    ingest : Ingest
        Belongs to the acquisition thread.
    cutter : Cutter
        Belongs to the decoding thread.
    decoder : Decoder or None
        Belongs to the decoding thread; None in a session that only watches.
    """

    ingest: Ingest
    cutter: Cutter
    decoder: Decoder | None

    @property
    def duration_s(self) -> float:
        """Seconds of signal so far, in recording time."""
        return self.ingest.next_sample / self.ingest.info.sfreq_hz


def build_pipeline(
    info: StreamInfo,
    chain: ChainSpec,
    config: SessionConfig,
    bundle: Bundle | None,
    encoder: Encoder | None,
    stimuli: Mapping[str, int],
    keep: Keep | None = None,
) -> Pipeline:
    """Build the way of the data for the stream that was found.

    Parameters
    ----------
    chain : ChainSpec
        The bundle's, or one to watch with.
    stimuli : mapping of str to int
        Gallery index by marker label.
    keep : callable or None
        Is handed every window of a trial with what was decoded from it.

    Raises
    ------
    StreamError
        If the stream does not fit the chain.
    UsageError
        If a channel that `config` names is not there.
    """
    manifest = bundle.manifest if bundle else None
    glm = None if manifest is None else bundle_glm(manifest, config, (c.name for c in info.channels))
    if manifest is not None and glm is not None:
        of_betas = beta_cutter(info, config, manifest, glm, stimuli)
        return Pipeline(of_betas.ingest, of_betas, _decoder(bundle, encoder, of_betas, keep))
    # A run in a folder has no end but the one that is told.
    if config.statistics is not None or (config.run_volumes is not None and config.watch is None):
        raise UsageError("--statistics and --run-volumes are of betas that are made from volumes, see --hrf.")
    schedule = manifest.schedule if manifest else watch_schedule(chain.sfreq_hz)
    n_latencies = manifest.n_latencies if manifest else 1
    window = manifest.window if manifest else WindowSpec()
    ingest = Ingest(
        info,
        chain,
        max(held_s(schedule, n_latencies, window), signal_span_s(chain.sfreq_hz)),
        counter_channel=config.counter_channel,
        onset_channel=config.onset_channel,
    )
    trials = Trials(schedule, n_latencies, stimuli, config.marker_offset_ms / 1e3 / info.speed, info.speed)
    cutter = WindowCutter(ingest, schedule, window, trials)
    return Pipeline(ingest, cutter, _decoder(bundle, encoder, cutter, keep))


def _decoder(
    bundle: Bundle | None, encoder: Encoder | None, cutter: Cutter, keep: Keep | None
) -> Decoder | None:
    if bundle is None or encoder is None:
        return None
    # A loop shows the same trials again: they are new evidence for nobody.
    turn = cutter.ingest.info.loop_samples
    score_until = None if turn is None else cutter.ingest.to_decoder(turn)
    return Decoder(bundle, encoder, cutter, clock=lsl_now, score_until=score_until, keep=keep, supersede=True)
