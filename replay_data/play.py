"""Plays a recording in this process and tells about it: the work of ``decode-stream replay``."""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .player import Player
from .player_config import PlayerConfig

__all__ = ["play"]

_LOOK_S = 0.2


def play(
    path: Path,
    config: PlayerConfig,
    stop: threading.Event,
    tell: Callable[[str], None],
    **reading: Any,
) -> int:
    """Open a recording and play it in this process.

    ``p`` and Enter in the terminal pause the replay and let it go on; so does the signal SIGUSR1, where there is one.

    Parameters
    ----------
    path : Path
        Any recording that `open_recording` reads.
    config : PlayerConfig
        How to play it.
    stop : threading.Event
        Ends the replay.
    tell : callable
        Receives sentences for the user.
    **reading
        What else `open_recording` takes: ``marker_column``, ``modality``, ...

    Returns
    -------
    int
        Number of samples sent.

    Raises
    ------
    RecordingError, UsageError, StreamError
        As `open_recording` and `Player` do.
    """
    from .open import open_recording

    player = Player(open_recording(path, **reading), config, tell)
    recording = player.recording
    with _pausable(player) as by_key:
        tell(
            f"Replaying {recording.name}: {len(recording.channels)} channels at {player.rate_hz:g} Hz, "
            f"{recording.n_samples / recording.sfreq_hz:.1f} s, {len(recording.markers)} markers"
            + (f", {config.speed:g} times as fast as recorded" if config.speed != 1 else "")
            + (", looping" if config.loop else "")
            + f". Stream {player.name!r}, source_id {player.source_id}."
        )
        if faults := config.faults.told():
            tell(f"Faults, as asked for: {'; '.join(faults)}.")
        if by_key:
            tell("Type p and Enter to pause, and again to go on.")
        if config.wait_for_consumer:
            tell("Waiting for a consumer.")
        n_sent = player.run(stop)
    tell(f"{'Stopped' if stop.is_set() else 'Ended'} after {n_sent} samples.")
    if counted := player.faults.counted():
        tell(f"Faults: {'; '.join(counted)}.")
    return n_sent


@contextmanager
def _pausable(player: Player) -> Iterator[bool]:
    """Let the terminal and a signal pause a player while the block runs; says whether there is a terminal."""

    def toggle(*_: object) -> None:
        player.resume() if player.paused else player.pause()

    ended = threading.Event()
    # Windows has no such signal, and only the main thread may say what a signal does.
    in_main = threading.current_thread() is threading.main_thread()
    usr1 = getattr(signal, "SIGUSR1", None) if in_main else None
    before = None if usr1 is None else signal.signal(usr1, toggle)
    by_key = sys.stdin is not None and sys.stdin.isatty()
    if by_key:
        threading.Thread(target=_watch_keys, args=(toggle, ended), name="keys", daemon=True).start()
    try:
        yield by_key
    finally:
        ended.set()
        if usr1 is not None:
            signal.signal(usr1, before)


def _watch_keys(toggle: Callable[[], None], ended: threading.Event) -> None:
    """Toggle at every line ``p`` that is typed."""
    # Not sys.stdin itself: its lock, held by a daemon thread, can abort the interpreter's shutdown.
    keys = sys.stdin.fileno()
    while not ended.wait(_LOOK_S):
        if os.name == "posix" and (not select.select([keys], [], [], 0)[0] or _in_background(keys)):
            continue
        typed = os.read(keys, 4096)
        if not typed:
            return
        for _ in range(typed.lower().split().count(b"p")):
            toggle()


def _in_background(terminal: int) -> bool:
    """Return whether a shell has put this job in the background: it would be stopped if it read."""
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:  # a terminal without a shell
        return False
