"""Synthetic sessions in every state, and windows that are closed before the test ends."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from decode_stream.gui.snapshot import (
    Accuracy,
    Match,
    Progress,
    Reconstruction,
    ScanView,
    SignalView,
    Snapshot,
    Stimulus,
    TrialLine,
    TwoWay,
    WhatIfQuestion,
)
from decode_stream.stream.types import Event

SFREQ_HZ = 250.0


def make_signal(
    seconds: float, n_channels: int = 5, stop: int = 5000, gap: tuple[int, int] | None = None
) -> SignalView:
    rng = np.random.default_rng(stop)
    n = round(seconds * SFREQ_HZ)
    time_s = (np.arange(stop - n, stop) / SFREQ_HZ)[:, None]
    phase = np.linspace(0, 3, n_channels)
    data = 12 * np.sin(2 * np.pi * 10 * time_s + phase) * (1.2 + np.sin(2 * np.pi * 0.3 * time_s + 5 * phase))
    data = (data + 6 * rng.standard_normal((n, n_channels))).astype(np.float32)
    if gap:
        data[gap[0] : gap[1]] = np.nan
    onsets = tuple((stop - k, ("face", "house")[i % 2]) for i, k in enumerate((1100, 820, 540, 260, 60)))
    names = ("TP9", "AF7", "AF8", "TP10", "AUX") if n_channels == 5 else ()
    names = names or tuple(f"MEG{k:04}" for k in range(1, n_channels + 1))
    return SignalView(data, names, "uV", SFREQ_HZ, stop, onsets)


def make_accuracy(n: int = 120, k: int = 2, auc: float | None = 0.78) -> Accuracy:
    rng = np.random.default_rng(4)
    right = np.cumsum(rng.random(n) < 0.71)
    trials = np.arange(1, n + 1)
    top1 = right / trials
    z = 1.96
    centre = (right + z**2 / 2) / (trials + z**2)
    half = z / (trials + z**2) * np.sqrt(right * (trials - right) / trials + z**2 / 4)
    latency_s = np.arange(0.1, 0.81, 0.025)
    by_latency = 0.5 + 0.22 * np.exp(-(((latency_s - 0.3) / 0.12) ** 2))
    return Accuracy(
        f"single trial, {k}-way",
        k,
        n,
        top1,
        trials.astype(np.int64),
        centre - half,
        centre + half,
        "Wilson, pointwise",
        latency_s,
        by_latency,
        auc,
    )


def make_snapshot(state: str) -> Snapshot:
    waiting = Snapshot(state, 12.4, bundle="faces", provider="CPU")
    if state in ("idle", "searching"):
        return waiting
    connected = replace(
        waiting,
        state_for_s=2.34,
        source="'Muse' EEG, 5 ch @ 256 Hz",
        sfreq_hz=256.0,
        modality="eeg",
        duration_s=125.0,
        age_ms=4.2,
        latency_ms=(("arrive", 1.1, 4.2), ("decode", 1.2, 3.4), ("belief", 0.1, 0.2)),
        progress=Progress(received=32000),
        events=(Event(0.0, "connected", "'Muse' EEG, 5 ch @ 256 Hz"),),
    )
    if state == "connected":
        return connected
    return replace(
        connected,
        matches=(Match("face", 0.83), Match("house", 0.17)),
        matches_of="trial 120, up to 350 ms after onset",
        truth="face",
        accuracy=make_accuracy(),
        progress=Progress(
            received=32000,
            lost=12,
            gaps=1,
            windows_due=4994,
            windows_decoded=4990,
            windows_withheld=4,
            trials_seen=121,
            trials_scored=120,
            markers_missed=2,
        ),
        events=(*connected.events, Event(42.0, "gap", "12 samples lost")),
    )


def make_volumes(n: int = 45, n_voxels: int = 3000) -> SignalView:
    rng = np.random.default_rng(n)
    data = rng.standard_normal((n, n_voxels)).astype(np.float32)
    names = tuple(f"{k},2,3" for k in range(n_voxels))
    return SignalView(data, names, "scaled", 0.75, n, tuple((k, "face") for k in range(0, n, 3)), "voxels")


def make_scan() -> Snapshot:
    """A decoding session of volumes."""
    return replace(
        make_snapshot("decoding"),
        source="'scanner' fMRI, 3000 ch every 1.333 s",
        sfreq_hz=0.75,
        modality="fmri",
        age_ms=812.0,
        progress=Progress(received=60, windows_due=58, windows_decoded=57, trials_seen=15, trials_scored=12),
        matches_of="trial 12, up to 8.0 s after onset",
        stimulus=Stimulus("face", True),
    )


def make_trials(n: int, first: int = 0) -> tuple[TrialLine, ...]:
    """Trials every four seconds: all decided but the last two."""
    rng = np.random.default_rng(n)
    names = ("tiger", "fire extinguisher", "pear", "koala")
    lines = []
    for k in range(first, first + n):
        name, right = names[k % 4], bool(rng.random() < 0.6)
        best = name if right else names[(k + 1) % 4]
        line = TrialLine(k, name, 4.0 * k, "decided", float(rng.uniform(0.2, 0.9)), best, right)
        lines.append(line)
    lines[-2:] = [TrialLine(line.number, line.name, line.onset_s, "rising") for line in lines[-2:]]
    lines[-1] = replace(lines[-1], state="seen")
    return tuple(lines)


def make_two_way(n: int = 40) -> TwoWay:
    shares = np.random.default_rng(n).beta(4, 1.5, n)
    trials = np.arange(1, n + 1)
    mean = np.cumsum(shares) / trials
    return TwoWay(
        n, mean, trials, np.maximum(mean - 0.4 / trials**0.5, 0), np.minimum(mean + 0.2, 1), "Wilson"
    )


def make_scan_view(n_volumes: int = 200, n_trials: int = 62, tr_s: float = 4 / 3) -> ScanView:
    """A run of 222 volumes with all that can be told of it."""
    rng = np.random.default_rng(n_volumes)
    motion = np.cumsum(rng.normal(0, 0.02, (n_volumes, 6)), axis=0)
    motion[:, 3:] *= 0.01
    displacement = np.abs(rng.normal(0.15, 0.08, n_volumes))
    displacement[[50, 120]] = 0.9, 0.7
    return ScanView(
        n_volumes=n_volumes,
        planned_volumes=222,
        tr_s=tr_s,
        now_s=n_volumes * tr_s,
        trials=make_trials(n_trials),
        two_way=make_two_way(),
        motion=motion,
        displacement_mm=displacement,
        dvars=np.abs(rng.normal(1.2, 0.2, n_volumes)),
        tsnr=61.4,
        lost=(30, 31, 140),
        volume_ms=(12.0, 34.0),
        regions=tuple((f"streams=region {k}", float(z)) for k, z in enumerate(rng.normal(0, 0.6, 14))),
        regions_of="trial 60, pear",
    )


def make_picture(colour: str, width: int = 48, height: int = 48) -> bytes:
    """A PNG file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "png")
    return file.getvalue()


def make_reconstruction(number: int = 1, colour: tuple[int, int, int] = (255, 0, 0)) -> Reconstruction:
    """A picture of one colour that 62 % is known of."""
    picture = np.full((64, 64, 3), colour, np.uint8)
    return Reconstruction(
        number=number,
        picture=picture,
        prior=np.full_like(picture, 128),
        variance=None,
        of="trial 12, up to 350 ms after onset",
        confidence=0.62,
        age_ms=132.0,
        held="",
        n_steps=1,
        draw_ms=38.4,
        nearest=None,
        nearest_distance=float("nan"),
    )


class FakePuller:
    """A session that is whatever the test says."""

    def __init__(self, snapshot: Snapshot, signal: SignalView | None = None) -> None:
        self.now = snapshot
        self.view = signal
        self.pictures: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.n_stops = 0
        self.n_pulls = 0
        self.questions: list[WhatIfQuestion] = []

    def snapshot(self) -> Snapshot:
        self.n_pulls += 1
        return self.now

    def signal(self, seconds: float) -> SignalView | None:
        return self.view

    def picture(self, name: str) -> bytes | None:
        self.asked.append(name)
        return self.pictures.get(name)

    def ask_what_if(self, question: WhatIfQuestion) -> None:
        self.questions.append(question)

    def stop(self) -> None:
        self.n_stops += 1


@pytest.fixture
def application() -> Iterator[object]:
    from PySide6.QtWidgets import QApplication

    from decode_stream.gui.theme import apply_theme

    known = QApplication.instance()
    app = known if isinstance(known, QApplication) else QApplication(["test"])
    apply_theme(app)
    yield app
    app.closeAllWindows()
    app.processEvents()


@pytest.fixture
def open_window(application) -> Iterator[Callable]:
    from PySide6.QtCore import QCoreApplication, QEvent

    from decode_stream.gui.main_window import MainWindow

    windows = []

    def open_(puller, **options):
        window = MainWindow(puller, "decode-stream", **options)
        windows.append(window)
        window.show()
        window.refresh()
        application.processEvents()
        return window

    yield open_
    for window in windows:
        window.close()
        window.deleteLater()
    # A pyqtgraph window that is open when the interpreter ends crashes it.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    application.processEvents()


@pytest.fixture
def fakes():
    """Makers of synthetic sessions: tests import nothing from each other."""
    return SimpleNamespace(
        Puller=FakePuller,
        signal=make_signal,
        volumes=make_volumes,
        accuracy=make_accuracy,
        snapshot=make_snapshot,
        scan=make_scan,
        scan_view=make_scan_view,
        trials=make_trials,
        picture=make_picture,
        reconstruction=make_reconstruction,
    )
