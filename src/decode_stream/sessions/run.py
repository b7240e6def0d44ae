"""Starts a session or a replay. What takes long begins here, before the decoder and all that it needs are loaded."""

import threading
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from decode_stream.config import SessionConfig
from decode_stream.demos.demo import demo_files
from decode_stream.replay_config import ReplayConfig, parse_stall
from decode_stream.stream.errors import UsageError
from decode_stream.stream.lsl import quiet_liblsl

from .source import Source

__all__ = ["run_replay", "run_session"]


def run_session(config: SessionConfig) -> int:
    """Run a session until it ends.

    Returns
    -------
    int
        Exit code: 0 done, 130 interrupted.

    Raises
    ------
    DecodeStreamError
        If it fails; the summary is written all the same.
    """
    quiet_liblsl()
    bundle, recording = config.bundle, config.replay
    if config.demo:
        config = replace(config, modality=config.modality or "eeg")
        of_demo, recording = demo_files(config.modality or "eeg")
        bundle = bundle or of_demo
    elif not (bundle or recording or config.stream or config.source_id or config.predicate or config.watch):
        from decode_stream.overview import overview

        raise UsageError(overview(config.modality))
    if recording is not None and not recording.exists():
        raise UsageError(f"There is no recording at {recording}.")
    if (folder := config.watch) is not None:
        if config.counter_channel is not None:
            raise UsageError(
                "--watch counts volumes by the scanner's own numbers; leave out --counter-channel."
            )
        from .watched_run import VOLUME_NUMBER
        from .watched_source import WatchedSource

        config = replace(config, modality="fmri", counter_channel=VOLUME_NUMBER)
        source: Source = WatchedSource(config, folder)
    else:
        source = Source(config, recording)
    # Of a recording of one's own every window counts, so that it plays only to a decoder that is ready.
    if config.demo:
        source.begin()
    try:
        from .live import run_live

        return run_live(config, bundle, source)
    finally:
        source.close()


def run_replay(recording: Path, config: ReplayConfig) -> int:
    """Publish a recording as LSL streams until it ends or is interrupted; returns the exit code."""
    from decode_stream.replay_data.faults import Faults
    from decode_stream.replay_data.play import play
    from decode_stream.replay_data.player_config import PlayerConfig

    faults = Faults(
        drop=config.drop,
        jitter_ms=config.jitter_ms,
        clock_offset_s=config.clock_offset_s,
        clock_drift_ppm=config.clock_drift_ppm,
        stall=tuple(parse_stall(text) for text in config.stall),
        permute_channels=config.permute_channels,
        marker_jitter_ms=config.marker_jitter_ms,
        seed=config.seed,
    )
    player = PlayerConfig(
        name=config.name,
        loop=config.loop,
        start_s=config.start_s,
        speed=config.speed,
        wait_for_consumer=config.wait,
        marker_format=config.marker_format,
        trigger_channel=config.trigger_channel,
        faults=faults,
    )
    if config.source_id:
        player = replace(player, source_id=config.source_id)
    quiet_liblsl()
    console = Console(stderr=True)
    play(
        recording,
        player,
        threading.Event(),
        lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        marker_column=config.marker_column,
        modality=config.modality,
        unit=config.unit,
        mask=config.mask,
        stream=config.stream,
    )
    return 0
