"""Find the files that a scanner's export writes into a folder, and read each once it is whole."""

import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .files import read_content
from .scans import Content, Unfinished, Unreadable

__all__ = ["Found", "NewFiles", "Tell"]

Tell = Callable[[str, str], None]

#: What programs call a file that they have not finished, and what lies beside volumes and is none.
_NO_VOLUME = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".lock", ".swp", "~", ".json")
_PATIENCE_S = 5.0
_SETTLED_S = 0.25
_LOOK_AGAIN_S = 1.0
_READ_FOR_S = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """A file that has become whole, and when it was first seen so."""

    path: Path
    content: Content
    at_s: float


@dataclass(slots=True)
class _Pending:
    """A file that is not known to be whole; it has `content` if it may be."""

    changed_s: float
    next_look_s: float
    state: tuple[int, ...] = ()
    needed: int = 0
    reason: str = ""
    content: Content | None = None
    told: bool = False


class NewFiles:
    """Finds new files by listing the folder, which works on network shares too.

    That a file is whole is told by the lengths it states itself, never by waiting. One that is not is looked at again,
    the more seldom the longer it has not changed, and is told after 5 s without a change. A file that ends in blank
    voxels may be a copy that got its length before its content: it is read again until it was the same for 0.25 s. A
    file that was read is never looked at again.

    Parameters
    ----------
    folder : Path
    tell : callable
        Takes ``(kind, text)``, of kind ``folder`` or ``unreadable``.

    Attributes
    ----------
    n_unreadable : int
        Files that were told as not whole or as no volume, and did not become one.
    behind : bool
        Whether there are files that were found and not looked at yet.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        self._folder = folder
        self._tell = tell
        self._done: set[str] = set()
        self._pending: dict[str, _Pending] = {}
        self._is_gone = self._has_folders = False
        self.n_unreadable = 0
        self.behind = False

    def look(self, now_s: float) -> list[Found]:
        """Return the files that have become whole, in the order of their names as far as they are new.

        Reading stops after a tenth of a second, so that a folder full of files does not hold up the first of them.
        """
        self._list(now_s)
        until_s = time.perf_counter() + _READ_FOR_S
        found, self.behind = [], False
        for name in [name for name, file in self._pending.items() if now_s >= file.next_look_s]:
            if time.perf_counter() > until_s:
                self.behind = True
                break
            file = self._pending[name]
            content = self._read(name, file, now_s)
            if content is not None:
                found.append(Found(self._folder / name, content, file.changed_s))
        return found

    def _list(self, now_s: float) -> None:
        """Note the names that are new."""
        new = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name not in self._done and entry.name not in self._pending:
                        new.append((entry.name, entry.is_dir()))
        except OSError as error:
            if not self._is_gone:
                self._tell("folder", f"{self._folder} cannot be listed: {error.strerror}. It is tried again.")
            self._is_gone = True
            return
        self._is_gone = False
        for name, is_folder in sorted(new):
            if is_folder and not self._has_folders:
                self._has_folders = True
                text = "is a folder and is not looked into. Name the folder that holds the volumes itself."
                self._tell("folder", f"{self._folder / name} {text}")
            if is_folder or name.startswith(".") or name.lower().endswith(_NO_VOLUME):
                self._done.add(name)
            else:
                self._pending[name] = _Pending(now_s, now_s)

    def _read(self, name: str, file: _Pending, now_s: float) -> Content | None:
        """Look at a file, and return what it holds if it is whole."""
        try:
            self._look_at(self._folder / name, file, now_s)
        except FileNotFoundError:  # an unfinished file that got its name now
            self._forget(name)
            return None
        except OSError as error:
            file.reason = f"it cannot be opened ({error.strerror})"
        except Unfinished as error:
            file.reason, file.needed = str(error), error.needed
        except Unreadable as error:
            file.reason, file.needed = str(error), 0
        age_s = now_s - file.changed_s
        if file.content is not None and (age_s >= _SETTLED_S or not file.content.ends_blank):
            self._forget(name)
            self._done.add(name)
            return file.content
        file.next_look_s = now_s + (_SETTLED_S if file.content else min(_LOOK_AGAIN_S, age_s / 8))
        if age_s >= _PATIENCE_S and not file.told:
            file.told = True
            self.n_unreadable += 1
            text = f"{self._folder / name} is no whole volume: {file.reason}. It is read if it changes."
            self._tell("unreadable", text)
        return None

    def _look_at(self, path: Path, file: _Pending, now_s: float) -> None:
        """Read a file if it has changed."""
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        if file.told and file.state[:2] == stamp:
            return
        if file.state and status.st_size < file.state[0]:  # it is written anew
            file.needed = 0
        if status.st_size < file.needed:
            if file.state[:2] != stamp:
                file.state, file.changed_s = stamp, now_s
            return
        content = path.read_bytes()
        # A share may show a new content under an old size and date.
        state = (*stamp, zlib.crc32(content))
        if state != file.state:
            file.state, file.changed_s, file.content = state, now_s, None
            file.content = read_content(path, content)

    def _forget(self, name: str) -> None:
        self.n_unreadable -= self._pending.pop(name).told
