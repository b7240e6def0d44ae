"""A player in a process of its own, so that a replay shares no interpreter with what decodes it.

The child gets its orders as one line of JSON on its standard input and answers with lines of JSON on its
standard output: first that its streams can be found, at last how it ended. Its input stays open as long as
it is wanted; when that ends, by `close` or because the parent died, so does the child.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from decode_stream.stream import errors
from decode_stream.stream.errors import DecodeStreamError, StreamError

from .player_config import PlayerConfig

__all__ = ["PlayerProcess", "play_in_process"]

_START_TIMEOUT_S = 60.0
_CLOSE_TIMEOUT_S = 3.0


class PlayerProcess:
    """A running replay that its owner can watch and end; a context manager.

    Attributes
    ----------
    name, source_id, marker_source_id : str
        The streams to look for; `marker_source_id` is empty where the recording has no markers.
    pid : int
        Process number.
    """

    def __init__(self, child: "subprocess.Popen[str]", timeout_s: float) -> None:
        self._child = child
        self.pid = child.pid
        self._closed = False
        self._last: dict[str, Any] = {}
        self._first: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="player-answers", daemon=True)
        self._listener.start()
        try:
            ready = self._first.get(timeout=timeout_s)
        except queue.Empty:
            self.close()
            raise StreamError(f"The replay's process was not ready within {timeout_s:g} s.") from None
        if "source_id" not in ready:
            self.close()
            raise _error(ready, child.returncode)
        self.name: str = ready["name"]
        self.source_id: str = ready["source_id"]
        self.marker_source_id: str = ready["marker_source_id"]

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                self._last = json.loads(line)
                self._first.put(self._last)
        self._first.put({})

    def poll(self) -> int | None:
        """Return the process's exit code, or None while it plays."""
        return self._child.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait until the replay has ended; return its exit code, or None if it still plays."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    @property
    def sent(self) -> int | None:
        """How many samples were sent, once all are; the streams then stay for those who have not read them."""
        return self._last.get("sent")

    @property
    def error(self) -> DecodeStreamError | None:
        """Why the replay failed, of the class and with the message that it had there; None if it did not."""
        code = self._child.poll()
        if not code or self._closed:
            return None
        self._listener.join(_CLOSE_TIMEOUT_S)
        return _error(self._last, code)

    def close(self) -> None:
        """End the replay if it still plays, and let go of the process; later calls do nothing."""
        self._closed = self._closed or self._child.poll() is None
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._listener.join(_CLOSE_TIMEOUT_S)
        child.stdout.close()

    def __enter__(self) -> "PlayerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _error(answer: dict[str, Any], code: int | None) -> DecodeStreamError:
    """Return the child's error as it was there, or say that it died without a word."""
    if "error" not in answer:
        return StreamError(f"The replay's process ended with code {code} and gave no reason.")
    kind = getattr(errors, answer["error"], StreamError)
    error: DecodeStreamError = kind(answer["message"])
    return error


def play_in_process(
    path: Path, config: PlayerConfig, *, timeout_s: float = _START_TIMEOUT_S, **reading: Any
) -> PlayerProcess:
    """Play a recording in a child process; return once its streams can be found.

    Parameters
    ----------
    path : Path
        Any recording that `open_recording` reads.
    config : PlayerConfig
        How to play it.
    timeout_s : float
        How long the process may take to be ready.
    **reading
        What else `open_recording` takes: ``marker_column``, ``modality``, ...

    Raises
    ------
    DecodeStreamError
        What `open_recording` or `Player` raised in the child, or `StreamError` if it was not ready in time.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "decode_stream.replay_data.player_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        # Ctrl-C in a terminal reaches the whole group; the parent alone decides when the replay ends.
        start_new_session=True,
    )
    assert child.stdin is not None
    orders = {"path": str(path), "reading": reading, "config": asdict(config)}
    # That a child died before it read is told by what waits for its answer.
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps(orders) + "\n")
        child.stdin.flush()
    return PlayerProcess(child, timeout_s)


def _answer(**what: object) -> None:
    # A parent that died no longer listens, and that is no error of the replay.
    with suppress(BrokenPipeError):
        print(json.dumps(what), flush=True)


def main() -> int:
    """Run the child: read the orders, play, tell."""
    orders = json.loads(sys.stdin.readline())
    stop = threading.Event()

    def wait_for_end() -> None:
        # Not sys.stdin: its lock, held by a daemon thread, can abort the interpreter's shutdown.
        while os.read(0, 4096):
            pass
        stop.set()

    threading.Thread(target=wait_for_end, name="parent", daemon=True).start()
    try:
        from decode_stream.stream.lsl import quiet_liblsl

        from .open import open_recording
        from .player import Player

        quiet_liblsl()
        recording = open_recording(orders["path"], **orders["reading"])
        player = Player(recording, msgspec.convert(orders["config"], PlayerConfig))
        _answer(name=player.name, source_id=player.source_id, marker_source_id=player.marker_source_id)
        player.run(stop, lambda n_sent: _answer(sent=n_sent))
    except DecodeStreamError as error:
        _answer(error=type(error).__name__, message=str(error))
        return error.exit_code
    except KeyboardInterrupt:
        # Where a new session does not shield the child from Ctrl-C; the parent tells the story.
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
