"""A session from the loading of its decoder to its summary, in a window or in the terminal."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from decode_stream.betas import bundle_glm
from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.gui.app import run_window, window_available
from decode_stream.stream.errors import DecodeStreamError, UsageError
from decode_stream.summary import check_writable, write_json

from .beta_pipeline import revised_words
from .generators import painter_of
from .session import Session
from .session_summary import session_summary
from .source import Source

__all__ = ["result_lines", "run_live"]


def run_live(config: SessionConfig, bundle_path: Path | None, source: Source) -> int:
    """Run a session until it ends.

    Parameters
    ----------
    config : SessionConfig
        What to do.
    bundle_path : Path or None
        The decoder.
    source : Source
        Where the samples come from.

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
    if config.json is not None:
        check_writable(config.json)
    bundle = load_bundle(bundle_path) if bundle_path else None
    config = _with_modality(config, bundle)
    if bundle is not None:
        # What the flags ask that the bundle does not do is told before a stream is looked for.
        bundle_glm(bundle.manifest, config, ())
    source.modality, source.bundle = config.modality, bundle
    # Asked in good time, since the answer takes a process of its own; but not before the one that plays the demo is up.
    no_screen = None if config.headless else _in_background(window_available)
    caveat = _caveat_of_replay(bundle, config.replay, config) if bundle and config.replay else ""
    painter, undrawn = painter_of(config, bundle)
    session = Session(
        config, source, bundle, lambda info: watch_chain(info, config.modality), caveat, painter, undrawn
    )
    session.start()
    code = 0
    try:
        _show(session, console, no_screen)
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
    for line in result_lines(session):
        console.print(line, highlight=False, soft_wrap=True)
    return code


def _in_background(ask: Callable[[], str | None]) -> Future[str | None]:
    pool = ThreadPoolExecutor(1, "screen")
    answer = pool.submit(ask)
    pool.shutdown(wait=False)
    return answer


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


def _caveat_of_replay(bundle: Bundle, recording: Path, config: SessionConfig) -> str:
    """Return what keeps the scores of a replay from being held-out ones, or an empty string.

    Raises
    ------
    RecordingError
        If its markers are numbers that name other pictures in the gallery.
    """
    from decode_stream.evaluation.evaluation import check_pictures
    from decode_stream.replay_data.open import fingerprint, open_recording

    if not bundle.manifest.space.of_categories and config.events is None:
        check_pictures(
            open_recording(recording, marker_column=config.marker_column, mask=config.mask), bundle
        )
    if fingerprint(recording) not in bundle.manifest.training.fingerprints:
        return ""
    return f"NOT HELD OUT: the decoder was trained on {recording.name}"


def _show(session: Session, console: Console, no_screen: Future[str | None] | None) -> None:
    """Show the session until it ends, in a window where there can be one."""
    if no_screen is not None:
        why_not = no_screen.result()
        if why_not is None:
            title = session.bundle.manifest.name if session.bundle else "watching"
            # A session of a given length is meant to end; one without ends with its window.
            timed = session.config.duration_s is not None
            run_window(
                session,
                f"decode-stream: {title}",
                close_at_end=timed,
                shown=lambda: session.startup.reach("window_up"),
            )
            return
        session.tell("headless", f"no window: {why_not}")
        console.print(f"No window can be opened ({why_not}); the session runs in the terminal.")
    from .terminal import run_terminal

    run_terminal(session, console)


def result_lines(session: Session) -> tuple[str, ...]:
    """Return in sentences how right a session was, with the trials that its accuracy leaves out."""
    decoder = session.pipeline.decoder if session.pipeline else None
    if decoder is None:
        return ()
    lines, accuracy = list[str](), session.snapshot().accuracy
    if accuracy.n:
        auc = f", AUC {accuracy.auc:.3f}" if accuracy.auc is not None else ""
        withheld = f"; {decoder.withheld} more withheld" if decoder.withheld else ""
        lines.append(
            f"{accuracy.n} trials, top-1 {accuracy.top1[-1]:.3f} (95 % {accuracy.low[-1]:.3f} to "
            f"{accuracy.high[-1]:.3f}, {accuracy.interval}; chance {accuracy.chance:.3f}){auc}{withheld}"
        )
    return (*lines, *revised_words(decoder))
