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
    tell(
        f"Replaying {recording.name}: {len(recording.channels)} channels at {player.rate_hz:g} Hz, "
        f"{recording.n_samples / recording.sfreq_hz:.1f} s, {len(recording.markers)} markers"
        + (f", {config.speed:g} times as fast as recorded" if config.speed != 1 else "")
        + (", looping" if config.loop else "")
        + f". Stream {player.name!r}, source_id {player.source_id}."
    )
    if faults := config.faults.told():
        tell(f"Faults, as asked for: {'; '.join(faults)}.")
    if config.wait_for_consumer:
        tell("Waiting for a consumer.")
    with _pausable(player, tell):
        n_sent = player.run(stop)
    tell(f"{'Stopped' if stop.is_set() else 'Ended'} after {n_sent} samples.")
    if counted := player.faults.counted():
        tell(f"Faults: {'; '.join(counted)}.")
    return n_sent


@contextmanager
def _pausable(player: Player, tell: Callable[[str], None]) -> Iterator[None]:
    """Let the terminal and a signal pause a player, as long as the block runs."""

    def toggle(*_: object) -> None:
        player.resume() if player.paused else player.pause()

    ended = threading.Event()
    usr1 = getattr(signal, "SIGUSR1", None)
    has_signal = usr1 is not None and threading.current_thread() is threading.main_thread()
    before = signal.signal(usr1, toggle) if has_signal and usr1 is not None else None
    if sys.stdin is not None and sys.stdin.isatty():
        tell("Type p and Enter to pause, and again to go on.")
        threading.Thread(target=_watch_keys, args=(toggle, ended), name="keys", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if has_signal and usr1 is not None:
            signal.signal(usr1, before)


def _watch_keys(toggle: Callable[[], None], ended: threading.Event) -> None:
    """Toggle at every line ``p`` that is typed."""
    # Not sys.stdin itself: its lock, held by a daemon thread, can abort the interpreter's shutdown.
    keys = sys.stdin.fileno()
    while not ended.wait(_LOOK_S):
        # A job in the background that reads from its terminal would be stopped by the shell.
        if os.name == "posix" and not (
            select.select([keys], [], [], 0)[0] and os.tcgetpgrp(keys) == os.getpgrp()
        ):
            continue
        typed = os.read(keys, 4096)
        if not typed:
            return
        for _ in range(typed.lower().split().count(b"p")):
            toggle()
