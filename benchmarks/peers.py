"""The peers: MNE-LSL as its documentation shows it, bare pylsl with a ring, and ezmsg's window.

Every consumer is a generator of `Handed` that blocks until its next window is there. Imports stand inside the
functions, since each consumer runs in a process that loads nothing else.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .cases import BAND_HZ, LENGTH_S, ORDER, STEP_S, Case, Handed, Task

__all__ = [
    "bare_pylsl",
    "ezmsg_call_us",
    "ezmsg_count",
    "mne_on_new_samples",
    "mne_on_timer",
    "mne_without_pause",
]


def mne_on_timer(task: Task) -> Iterator[Handed]:
    """Call `get_data` of MNE-LSL's StreamLSL on a timer, once a hop."""
    due_s = time.perf_counter()

    def wait(_: Any) -> None:
        nonlocal due_s
        due_s = max(due_s + float(STEP_S), time.perf_counter())
        time.sleep(max(0.0, due_s - time.perf_counter()))

    return _mne(task, wait)


def mne_on_new_samples(task: Task) -> Iterator[Handed]:
    """Look at `n_new_samples` of MNE-LSL's StreamLSL every millisecond until a hop is there."""

    def wait(stream: Any) -> None:
        while stream.n_new_samples < task.case.hop:
            time.sleep(0.001)

    return _mne(task, wait)


def mne_without_pause(task: Task) -> Iterator[Handed]:
    """Look at `n_new_samples` of MNE-LSL's StreamLSL without pause, as its band-power example does."""

    def wait(stream: Any) -> None:
        while stream.n_new_samples < task.case.hop:
            continue

    return _mne(task, wait)


def _mne(task: Task, wait: Callable[[Any], None]) -> Iterator[Handed]:
    from mne_lsl.lsl import local_clock
    from mne_lsl.stream import StreamLSL

    stream = StreamLSL(task.case.buffer_s, source_id=task.source_id)
    stream.connect(processing_flags=["clocksync"], timeout=10)
    if task.filtered:
        iir_params = {"order": ORDER, "ftype": "butter", "output": "sos"}
        stream.filter(*BAND_HZ, iir_params=iir_params, verbose="error")
    try:
        while True:
            wait(stream)
            window, stamps_s = stream.get_data(float(LENGTH_S))
            yield Handed(window[0, 0], window[0, -1], stamps_s[-1], local_clock())
    finally:
        stream.disconnect()


def bare_pylsl(task: Task) -> Iterator[Handed]:
    """Do the least that a consumer of pylsl must: one blocking pull a hop, filter, ring, no checks."""
    import pylsl
    from scipy import signal

    case = task.case
    (info,) = pylsl.resolve_byprop("source_id", task.source_id, timeout=10)
    inlet = pylsl.StreamInlet(info, max_buflen=case.buffer_s, processing_flags=pylsl.proc_clocksync)
    inlet.open_stream(10)
    sos = signal.butter(ORDER, BAND_HZ, "bandpass", fs=case.sfreq_hz, output="sos")
    state = np.zeros((len(sos), 2, case.n_channels))
    capacity = case.buffer_s * case.sfreq_hz
    # Whole hops fit the capacity, and the head is repeated behind the end: a window is always one slice.
    ring = np.zeros((capacity + case.n_times, case.n_channels), np.float32)
    stop = 0
    while True:
        block, stamps_s = inlet.pull_chunk(timeout=1.0, max_samples=case.hop, as_numpy=True)
        if len(stamps_s) < case.hop:
            raise RuntimeError("The outlet fell silent.")
        if task.filtered:
            block, state = signal.sosfilt(sos, block, axis=0, zi=state)
        at = stop % capacity
        ring[at : at + case.hop] = block
        if at < case.n_times:
            ring[at + capacity : at + capacity + case.hop] = block
        stop += case.hop
        end = at + case.hop if at + case.hop >= case.n_times else at + case.hop + capacity
        window = ring[end - case.n_times : end].T
        yield Handed(window[0, 0], window[0, -1], stamps_s[-1], pylsl.local_clock())


def ezmsg_count(sfreq_hz: int, duration_s: int, chunk: int = 10) -> int:
    """Return how many windows ezmsg's Window makes of `duration_s` seconds."""
    window = _ezmsg_window()
    n_windows = 0
    for start in range(0, sfreq_hz * duration_s, chunk):
        n = min(chunk, sfreq_hz * duration_s - start)
        n_windows += window(_ezmsg_message(np.zeros((n, 1), np.float32), start, sfreq_hz)).data.shape[0]
    return n_windows


def ezmsg_call_us(case: Case, n_calls: int) -> list[float]:
    """Return how long each call of ezmsg's Window takes that is given one hop, in microseconds."""
    window = _ezmsg_window()
    block = np.random.default_rng(0).standard_normal((case.hop, case.n_channels), dtype=np.float32)
    took_us = []
    for i in range(n_calls):
        message = _ezmsg_message(block, i * case.hop, case.sfreq_hz)
        began = time.perf_counter_ns()
        made = window(message)
        took = time.perf_counter_ns() - began
        if made.data.shape[0]:
            took_us.append(took / 1e3)
    return took_us


def _ezmsg_window() -> Any:
    from ezmsg.sigproc.window import WindowTransformer

    return WindowTransformer(
        newaxis="win", window_dur=float(LENGTH_S), window_shift=float(STEP_S), zero_pad_until="none"
    )


def _ezmsg_message(data: Any, start: int, sfreq_hz: int) -> Any:
    from ezmsg.util.messages.axisarray import AxisArray

    time_axis = AxisArray.TimeAxis(fs=sfreq_hz, offset=start / sfreq_hz)
    return AxisArray(data, dims=["time", "ch"], axes={"time": time_axis}, key="benchmark")
