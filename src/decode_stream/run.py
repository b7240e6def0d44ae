"""Runs a session or a replay from start to end, with a window or in the terminal."""

import threading
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.replay_data.open import fingerprint
from decode_stream.stream.errors import DecodeStreamError, UsageError
from decode_stream.stream.lsl import quiet_liblsl

from .config import SessionConfig
from .replay_config import ReplayConfig, parse_stall
from .session import Session
from .source import Source
from .summary import check_writable, session_summary, write_json

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
    console = Console(stderr=True)
    bundle_path, replay = config.bundle, config.replay
    if config.demo:
        from .demo import demo_files

        bundle_path, replay = demo_files()
    bundle = load_bundle(bundle_path) if bundle_path else None
    config = _with_modality(config, bundle)
    if replay is None and bundle is None and not (config.stream or config.source_id or config.predicate):
        raise UsageError(
            "Nothing to decode: give --bundle BUNDLE for a live session, --replay RECORDING to play a recording, or "
            "--demo to see the program at work. decode-stream doctor --streams lists the streams on the network."
        )
    if config.json is not None:
        check_writable(config.json)
    if replay is not None and not replay.exists():
        raise UsageError(f"There is no recording at {replay}.")

    quiet_liblsl()
    session = Session(config, Source(config, replay), bundle, lambda info: watch_chain(info, config.modality))
    if bundle and config.replay and fingerprint(config.replay) in bundle.manifest.training.fingerprints:
        session.caveat = f"NOT HELD OUT: the decoder was trained on {config.replay.name}"
        session.tell("caveat", session.caveat)
    session.start()
    code = 0
    try:
        _show(session, console)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        # A view that fails ends the session as any other part of it does.
        session.error = session.error or error
    session.stop()
    try:
        session.join()
    except DecodeStreamError as error:
        code = error.exit_code
        raise
    except Exception:
        code = 1
        raise
    finally:
        if config.json is not None:
            write_json(session_summary(session, code), config.json)
    _print_result(session, console)
    return code


def _with_modality(config: SessionConfig, bundle: Bundle | None) -> SessionConfig:
    if bundle is None:
        return config
    trained = bundle.manifest.modality
    if config.modality is not None and config.modality != trained:
        raise UsageError(
            f"--modality is {config.modality}, but {bundle.manifest.name!r} was trained on {trained}. "
            f"Give --modality {trained} or another --bundle."
        )
    return replace(config, modality=trained)


def _show(session: Session, console: Console) -> None:
    """Show the session until it ends, in a window where there can be one."""
    if not session.config.headless:
        from decode_stream.gui.app import run_window, window_available

        why_not = window_available()
        if why_not is None:
            title = session.bundle.manifest.name if session.bundle else "watching"
            # A session of a given length is meant to end; one without ends with its window.
            timed = session.config.duration_s is not None
            run_window(session, f"decode-stream: {title}", close_at_end=timed)
            return
        session.tell("headless", f"no window: {why_not}")
        console.print(f"No window can be opened ({why_not}); the session runs in the terminal.")
    from .terminal import run_terminal

    run_terminal(session, console)


def _print_result(session: Session, console: Console) -> None:
    accuracy = session.snapshot().accuracy
    if accuracy.n:
        auc = f", AUC {accuracy.auc:.3f}" if accuracy.auc is not None else ""
        console.print(
            f"{accuracy.n} trials, top-1 {accuracy.top1[-1]:.3f} (95 % {accuracy.low[-1]:.3f} to "
            f"{accuracy.high[-1]:.3f}, {accuracy.interval}; chance {accuracy.chance:.3f}){auc}",
            highlight=False,
            soft_wrap=True,
        )


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
