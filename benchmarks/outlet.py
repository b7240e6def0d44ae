"""The one outlet that every consumer reads, in a process of its own."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np

from .cases import Case

__all__ = ["outlet"]

_START_TIMEOUT_S = 30.0
_WATCH_S = 0.0006


@contextmanager
def outlet(case: Case) -> Iterator[tuple[str, list[float]]]:
    """Publish a stream while the block runs.

    Yields
    ------
    source_id : str
        Identity of the stream.
    late_ms : list of float
        Filled at the end: median and 99th percentile of how late the outlet itself pushed, in ms. No consumer
        can hand on a younger sample.
    """
    source_id = f"benchmark-{uuid.uuid4()}"
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_publish, args=(case, source_id, theirs), daemon=True)
    process.start()
    late_ms: list[float] = []
    try:
        if not ours.poll(_START_TIMEOUT_S):
            raise RuntimeError(f"The outlet did not start within {_START_TIMEOUT_S:g} s.")
        ours.recv()
        yield source_id, late_ms
        ours.send("stop")
        if ours.poll(_START_TIMEOUT_S):
            late_ms += ours.recv()
    finally:
        ours.close()
        process.join(2.0)
        if process.is_alive():
            process.terminate()
            process.join()


def _publish(case: Case, source_id: str, parent: Connection) -> None:
    import pylsl

    stream = pylsl.StreamOutlet(_describe(case, source_id), max_buffered=case.buffer_s)
    signal = np.random.default_rng(0).standard_normal((case.sfreq_hz, case.n_channels), dtype=np.float32)
    parent.send("ready")
    origin_s = pylsl.local_clock()
    pushed = 0
    late_s = []
    while not parent.poll():
        at = pushed % case.sfreq_hz
        chunk = signal[at : at + case.chunk]
        chunk[:, 0] = np.arange(pushed, pushed + case.chunk)
        pushed += case.chunk
        # The last sample of a chunk is taken at its stamp, so the chunk goes out at that time and not before.
        stamp_s = origin_s + (pushed - 1) / case.sfreq_hz
        # An amplifier is punctual; a process that sleeps wakes a third of a millisecond late. So it sleeps short and
        # then watches the clock.
        while (early_s := stamp_s - pylsl.local_clock()) > 0:
            if early_s > _WATCH_S:
                time.sleep(early_s - _WATCH_S)
        stream.push_chunk(chunk, stamp_s)
        late_s.append(pylsl.local_clock() - stamp_s)
    # A parent that ended early no longer listens.
    with suppress(OSError):
        parent.send((1e3 * np.percentile(late_s, (50, 99))).tolist())


def _describe(case: Case, source_id: str):  # type: ignore[no-untyped-def]  # pylsl has no types
    import pylsl

    info = pylsl.StreamInfo(
        "ingest-benchmark", "EEG", case.n_channels, case.sfreq_hz, pylsl.cf_float32, source_id
    )
    channels = info.desc().append_child("channels")
    for i in range(case.n_channels):
        channel = channels.append_child("channel")
        channel.append_child_value("label", f"C{i:03}")
        channel.append_child_value("unit", "microvolts")
        channel.append_child_value("type", "EEG")
    return info
