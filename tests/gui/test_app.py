import subprocess
import sys

import pytest
from PySide6.QtCore import QObject, Signal

from decode_stream.gui.app import run_window, window_available

pytestmark = pytest.mark.gui


def test_a_window_that_closes_at_the_end_returns_zero(fakes, application):
    puller = fakes.Puller(fakes.snapshot("ended"), fakes.signal(5))
    assert run_window(puller, "decode-stream", close_at_end=True) == 0
    assert puller.n_stops == 1


def test_the_end_stays_on_the_screen_unless_asked(fakes, application):
    class Patient(fakes.Puller):
        def snapshot(self):
            if self.n_pulls == 5:
                application.closeAllWindows()
            return super().snapshot()

    puller = Patient(fakes.snapshot("ended"))
    assert run_window(puller, "decode-stream") == 0
    assert puller.n_pulls > 5


@pytest.mark.parametrize("error", [RuntimeError("the ring is gone"), KeyboardInterrupt()])
def test_what_stops_the_drawing_is_raised_after_the_window_closed(fakes, application, error):
    class Broken(fakes.Puller):
        def snapshot(self):
            raise error

    puller = Broken(fakes.snapshot("decoding"))
    with pytest.raises(type(error)):
        run_window(puller, "decode-stream")
    assert puller.n_stops == 1


def test_a_window_is_available_offscreen(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert window_available() is None


def test_no_screen_is_said_without_trying_qt(monkeypatch):
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert window_available() == "no screen: neither DISPLAY nor WAYLAND_DISPLAY is set"


def test_a_missing_pyqtgraph_is_said_without_trying_qt(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert window_available() == "pyqtgraph is missing; reinstall with: pip install decode-stream"


def test_a_qt_that_aborts_is_survived_and_told(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setenv("QT_QPA_PLATFORM", "no-such-platform")
    reason = window_available()
    assert reason is not None
    assert reason.startswith("Qt cannot open a window: ")
    assert "no-such-platform" in reason


def test_missing_system_libraries_are_named_with_the_packages(monkeypatch):
    stderr = "Traceback\n  File x\nImportError: libEGL.so.1: cannot open shared object file\n"
    failed = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(sys, "platform", "linux")
    reason = window_available()
    assert reason is not None
    assert "libEGL.so.1" in reason
    assert "apt-get install libegl1" in reason


def test_emitting_signals_takes_no_reference_away():
    # PySide6 6.12.0 loses one to True at every emit, and Python 3.11 aborts when none is left.
    class Sender(QObject):
        told = Signal(int)

    sender = Sender()
    heard: list[int] = []
    sender.told.connect(heard.append)
    before = sys.getrefcount(True), sys.getrefcount(None)
    for k in range(200):
        sender.told.emit(k)
    after = sys.getrefcount(True), sys.getrefcount(None)
    assert heard == list(range(200))
    assert before[0] - after[0] < 50
    assert before[1] - after[1] < 50
