"""The benchmark's command answers without the peers, and counts the windows that are due."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def without_peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as it is found where the extra `bench` is not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setitem(sys.modules, "mne_lsl", None)
    monkeypatch.setitem(sys.modules, "ezmsg", None)
    return importlib.import_module("benchmarks.ingest")


def test_help_needs_no_peers(without_peers: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        without_peers.main(["--help"])
    assert ended.value.code == 0
    assert "--repeats" in capsys.readouterr().out


def test_missing_peers_give_one_message(
    without_peers: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert without_peers.main([]) == 2
    message = capsys.readouterr().err
    assert "mne-lsl, ezmsg-sigproc" in message
    assert ".[bench]" in message


@pytest.mark.parametrize("sfreq_hz", [250, 512])
@pytest.mark.parametrize("chunk", [1, 10, 10_000])
def test_ten_seconds_hold_397_windows(without_peers: ModuleType, sfreq_hz: int, chunk: int) -> None:
    assert without_peers.decode_stream_count(sfreq_hz, 10, chunk) == 397
