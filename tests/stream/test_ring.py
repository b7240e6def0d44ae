import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.stream.ring import RingBuffer


def counted(start: int, stop: int, n_channels: int = 2) -> np.ndarray:
    return np.repeat(np.arange(start, stop, dtype=np.float32)[:, None], n_channels, axis=1)


@given(capacity=st.integers(1, 40), sizes=st.lists(st.integers(0, 90), max_size=30), data=st.data())
def test_every_view_shows_its_samples(capacity: int, sizes: list[int], data: st.DataObject) -> None:
    ring = RingBuffer(capacity, 2)
    written = 0
    for size in sizes:
        ring.write(counted(written, written + size))
        written += size
        assert ring.stop == written
        assert ring.start == max(0, written - capacity)
        if ring.stop > ring.start:
            start = data.draw(st.integers(ring.start, ring.stop - 1))
            stop = data.draw(st.integers(start + 1, ring.stop))
            view = ring.view(start, stop)
            assert view is not None
            assert np.array_equal(view, counted(start, stop))


def test_what_is_not_held_is_not_shown() -> None:
    ring = RingBuffer(10, 1)
    ring.write(counted(0, 15, 1))
    assert ring.view(4, 8) is None
    assert ring.view(10, 16) is None
    assert ring.view(8, 8) is None
    assert ring.view(5, 15) is not None


def test_a_view_is_no_copy_and_cannot_be_written() -> None:
    ring = RingBuffer(10, 1)
    ring.write(counted(0, 10, 1))
    view = ring.view(2, 6)
    assert view is not None
    assert view.base is not None
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_a_reader_learns_that_its_view_was_overwritten() -> None:
    ring = RingBuffer(10, 1)
    ring.write(counted(0, 10, 1))
    assert ring.view(0, 5) is not None
    assert ring.is_intact(0)
    ring.write(counted(10, 11, 1))
    assert not ring.is_intact(0)
    assert ring.is_intact(1)


@given(capacity=st.integers(1, 30), missing=st.integers(0, 200))
def test_missing_samples_read_as_nan_and_keep_their_indices(capacity: int, missing: int) -> None:
    ring = RingBuffer(capacity, 1)
    ring.write(counted(0, 3, 1))
    ring.write_missing(missing)
    ring.write(counted(3 + missing, 4 + missing, 1))
    assert ring.stop == 4 + missing
    newest = ring.view(ring.stop - 1, ring.stop)
    assert newest is not None
    assert newest[0, 0] == 3 + missing
    if capacity > 1 and missing:
        before = ring.view(ring.stop - 2, ring.stop - 1)
        assert before is not None
        assert np.isnan(before).all()


def test_no_row_is_shown_under_a_wrong_index_while_a_gap_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = RingBuffer(10_000, 1)
    ring.write(counted(0, 10_000, 1))
    write, wrong = ring.write, []

    def write_and_look(data: np.ndarray) -> None:
        write(data)
        for start in range(max(0, ring.start), ring.stop - 1, 97):
            view = ring.view(start, start + 1)
            if view is not None and not (np.isnan(view[0, 0]) or view[0, 0] == start):
                wrong.append(start)

    monkeypatch.setattr(ring, "write", write_and_look)
    ring.write_missing(25_000)
    assert wrong == []


def test_a_gap_of_a_day_costs_nothing() -> None:
    ring = RingBuffer(1000, 1)
    ring.write_missing(86_400 * 1000)
    assert ring.stop == 86_400_000


@given(sizes=st.lists(st.integers(0, 25), max_size=40), reads=st.lists(st.booleans(), max_size=40))
def test_cursors_see_every_sample_once_or_count_it(sizes: list[int], reads: list[bool]) -> None:
    ring = RingBuffer(20, 1)
    cursors = [ring.reader(), ring.reader()]
    seen: list[list[float]] = [[], []]
    written = 0
    for size, read in zip(sizes, reads, strict=False):
        ring.write(counted(written, written + size, 1))
        written += size
        for piece in cursors[0].read():
            seen[0] += piece[:, 0].tolist()
        if read:
            for piece in cursors[1].read():
                seen[1] += piece[:, 0].tolist()
    for cursor, values in zip(cursors, seen, strict=True):
        for piece in cursor.read():
            values += piece[:, 0].tolist()
        assert values == sorted(set(values))
        assert len(values) + cursor.overflow == written


def test_a_reader_beside_a_fast_writer_is_never_shown_torn_samples() -> None:
    ring = RingBuffer(256, 8)
    n_samples, wrong, checked = 200_000, [], 0
    stop = threading.Event()

    def write() -> None:
        for start in range(0, n_samples, 32):
            ring.write(counted(start, start + 32, 8))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        end = ring.stop
        view = ring.view(max(0, end - 200), end) if end > 200 else None
        if view is None:
            continue
        copy = view.copy()
        if ring.is_intact(end - 200):
            checked += 1
            if not np.array_equal(copy, counted(end - 200, end, 8)):
                wrong.append(end)
    writer.join()
    assert checked > 0
    assert wrong == []


def test_the_first_index_can_be_named_once() -> None:
    ring = RingBuffer(5, 1)
    ring.begin(100)
    ring.write(counted(100, 103, 1))
    assert (ring.start, ring.stop) == (100, 103)
    with pytest.raises(RuntimeError, match="already holds"):
        ring.begin(0)
