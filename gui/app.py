"""Opens the window of a session, or says why none can be opened. Qt is loaded only when asked for."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable

from .snapshot import Puller

__all__ = ["run_window", "window_available"]

_PROBE = "from PySide6.QtWidgets import QApplication; QApplication([])"
_PROBE_TIMEOUT_S = 30.0
_LINUX_HINT = (
    " On Debian or Ubuntu: apt-get install libegl1 libgl1 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0"
    " libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0"
)
_SCREENLESS = ("offscreen", "minimal", "vnc", "eglfs", "linuxfb", "vkkhrdisplay")


def window_available() -> str | None:
    """Return None if a window can be opened here, else one sentence that says why not.

    Qt ends the whole process when it finds no usable screen, so it is tried in a process of its own.
    """
    wants_screen = not os.environ.get("QT_QPA_PLATFORM", "").startswith(_SCREENLESS)
    no_screen = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and wants_screen and no_screen:
        return "no screen: neither DISPLAY nor WAYLAND_DISPLAY is set"
    if importlib.util.find_spec("pyqtgraph") is None:
        return "pyqtgraph is missing; reinstall with: pip install decode-stream"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Qt could not be tried: {error}"
    if probe.returncode == 0:
        return None
    return f"Qt cannot open a window: {_reason(probe.stderr)}."


def _reason(stderr: str) -> str:
    """Return the telling line of a failed start of Qt, with the packages that are usually missing."""
    lines = [line.strip().rstrip(".") for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line or line.startswith("qt.qpa")]
    reason = (telling or lines or ["it ended without a word"])[0]
    if "ModuleNotFoundError" in reason:
        return f"{reason}; reinstall with: pip install decode-stream"
    return f"{reason}.{_LINUX_HINT}" if sys.platform.startswith("linux") else reason


def run_window(
    session_puller: Puller,
    title: str,
    *,
    close_at_end: bool = False,
    shown: Callable[[], None] = lambda: None,
) -> int:
    """Show a session until its window is closed; closing it asks the session to stop.

    Parameters
    ----------
    session_puller : Puller
        The session to draw.
    title : str
        Title of the window.
    close_at_end : bool
        Close by itself when the session has ended; otherwise the end stays on the screen.
    shown : callable, optional
        Is called once, when the window has been drawn and answers.

    Returns
    -------
    int
        Exit code of Qt's loop, 0 when all went well.

    Raises
    ------
    BaseException
        Whatever the puller raised while it was drawn, KeyboardInterrupt included; the window is closed first.
    """
    from PySide6.QtCore import QCoreApplication, QEvent
    from PySide6.QtWidgets import QApplication

    from .main_window import MainWindow
    from .theme import apply_theme

    known = QApplication.instance()
    application = known if isinstance(known, QApplication) else QApplication(["decode-stream"])
    apply_theme(application)
    window = MainWindow(session_puller, title, close_at_end=close_at_end, shown=shown)
    window.show()
    code = application.exec()
    # pyqtgraph's items must be gone before the interpreter ends, or Qt frees them a second time.
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    if window.failure is not None:
        raise window.failure
    return code
