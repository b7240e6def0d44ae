"""What every test shares: LSL that stays on this machine, Qt without a screen, and the real recordings."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

# All are read once, when the libraries load, so they are set before any test module imports them.
os.environ["LSLAPICFG"] = str(Path(__file__).parent / "lsl_api.cfg")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# BLAS and PyTorch share small products among threads that wait for each other in a loop: beside another process that
# takes twenty times as long as one thread does, and what a test starts inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

DATA = "DECODE_STREAM_TEST_DATA"
_counts = {"left out": 0, "ran": 0}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    real = [item for item in items if "real_data" in getattr(item, "fixturenames", ())]
    for item in real:
        item.add_marker("real")
    if os.environ.get(DATA):
        return
    _counts["left out"] = len(real)
    config.hook.pytest_deselected(items=real)
    items[:] = [item for item in items if item not in real]


def pytest_collection_finish() -> None:
    """Let the ONNX exporter read its table of operators once: that is a third of every small export."""
    if "torch" not in sys.modules:
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore[assignment, method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    # A worker of pytest-xdist tells the process that prints the summary.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = _counts["left out"]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    # Every worker collects all tests.
    _counts["left out"] = getattr(node, "workeroutput", {}).get("left out", 0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _counts["ran"] += report.when == "call" and "real" in report.keywords


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _counts["left out"]:
        terminalreporter.write_line(
            f"{_counts['left out']} tests on real recordings were left out: {DATA} is not set. "
            "Their simulated twins ran.",
            yellow=True,
        )
    else:
        terminalreporter.write_line(f"{_counts['ran']} tests on real recordings ran; none was left out.")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests encode away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODE_STREAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real recordings, from DECODE_STREAM_TEST_DATA."""
    folder = Path(os.environ[DATA])
    assert folder.is_dir(), f"{DATA} names {folder}, which is no folder."
    return folder


@pytest.fixture
def source_id() -> str:
    """Identifier of a stream that no other test has."""
    return f"test-{uuid4().hex}"


class Child:
    """A process that plays a ramp: channel 0 carries the sample number."""

    def __init__(self, **orders: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "ramp_process.py"), json.dumps(orders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.source_id, self.marker_source_id = json.loads(self.process.stdout.readline())

    def close_stream(self) -> None:
        """Let the child close its outlets as a program does that ends well."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def ramp() -> Iterator[Callable[..., Child]]:
    """Start a ramp player in a child process; see ramp_process.py for its orders."""
    children: list[Child] = []

    def start(**orders: object) -> Child:
        children.append(Child(**orders))
        return children[-1]

    yield start
    for child in children:
        child.end()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread: small networks gain nothing from more, and the tests beside lose by them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
