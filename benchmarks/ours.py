"""The consumer under test: decode-stream's own way from the inlet to a window, as a session runs it."""

import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from .cases import BAND_HZ, LENGTH_S, ORDER, STEP_S, Case, Handed, Task

__all__ = ["decode_stream", "decode_stream_call_us", "decode_stream_count"]


def decode_stream(task: Task) -> Iterator[Handed]:
    """Run a session's own acquisition: a pull to the next hop, continuity, chain, ring, flags, cut window."""
    from decode_stream.stream.cutter import WindowCutter
    from decode_stream.stream.filters import ChainSpec
    from decode_stream.stream.ingest import Ingest
    from decode_stream.stream.lsl import LslInlet, StreamQuery, lsl_now, resolve_stream
    from decode_stream.stream.trials import Trials
    from decode_stream.stream.window_chain import WindowSpec
    from decode_stream.stream.windows import WindowSchedule, exact_sfreq

    inlet = LslInlet(
        resolve_stream(StreamQuery(source_id=task.source_id), wait_s=10), max_buffer_s=task.case.buffer_s
    )
    channels = inlet.info.channels
    highpass_hz, lowpass_hz = BAND_HZ if task.filtered else (None, None)
    spec = ChainSpec(
        tuple(channel.name for channel in channels),
        tuple(channel.unit for channel in channels),
        sfreq_hz=inlet.info.sfreq_hz,
        highpass_hz=highpass_hz,
        lowpass_hz=lowpass_hz,
        order=ORDER,
    )
    ingest = Ingest(inlet.info, spec, hold_s=task.case.buffer_s)
    schedule = WindowSchedule(exact_sfreq(inlet.info.sfreq_hz), LENGTH_S, STEP_S)
    cutter = WindowCutter(ingest, schedule, WindowSpec(), Trials(schedule, 0, {}))
    try:
        while True:
            n_missing = ingest.samples_until(cutter.next_stop(ingest.ring.stop))
            data, stamps_s, arrived_s = inlet.pull(n_missing)
            if len(stamps_s):
                ingest.feed(data, stamps_s, arrived_s)
            for window in cutter.free():
                if window.data is not None:
                    yield Handed(window.data[0, 0], window.data[0, -1], stamps_s[-1], lsl_now())
    finally:
        inlet.close()


def decode_stream_count(sfreq_hz: int, duration_s: int, chunk: int = 10) -> int:
    """Return how many windows decode-stream makes of `duration_s` seconds."""
    from decode_stream.stream.windows import WindowSchedule

    schedule = WindowSchedule(Fraction(sfreq_hz), LENGTH_S, STEP_S)
    n_windows = 0
    for start in range(0, sfreq_hz * duration_s, chunk):
        stop = min(start + chunk, sfreq_hz * duration_s)
        n_windows += sum(1 for _ in schedule.due(n_windows, stop))
    return n_windows


def decode_stream_call_us(case: Case, n_calls: int, copy: bool) -> list[float]:
    """Return how long it takes to store one hop and hand on the window that it completes, in microseconds.

    Parameters
    ----------
    copy : bool
        Whether the window is copied into an encoder's layout, (n_channels, n_times), or handed on as a view.
    """
    from decode_stream.stream.ring import RingBuffer
    from decode_stream.stream.windows import WindowSchedule

    schedule = WindowSchedule(Fraction(case.sfreq_hz), LENGTH_S, STEP_S)
    ring = RingBuffer(case.buffer_s * case.sfreq_hz, case.n_channels)
    block = np.random.default_rng(0).standard_normal((case.hop, case.n_channels), dtype=np.float32)
    made = 0
    took_us = []
    for _ in range(n_calls):
        began = time.perf_counter_ns()
        ring.write(block)
        windows = []
        for k, stop in schedule.due(made, ring.stop):
            made = k + 1
            window = ring.view(stop - schedule.n_times, stop)
            windows.append(np.ascontiguousarray(window.T) if copy and window is not None else window)
        took = time.perf_counter_ns() - began
        if windows:
            took_us.append(took / 1e3)
    return took_us
