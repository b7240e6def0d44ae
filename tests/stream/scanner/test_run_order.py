"""Volumes in the order of their acquisition: arrivals of every order, and places that are given up."""

import numpy as np
import pytest

from decode_stream.stream.scanner.run_order import RunOrder
from decode_stream.stream.scanner.volume import LostVolumes

TR_S = 2.0


def played(arrivals, until_s=200.0):
    """Return ``(time, place or LostVolumes)`` of volumes that arrive at ``{place: time}``, looked at every 10 ms."""
    order = RunOrder(TR_S)
    out, due = [], sorted((time_s, place) for place, time_s in arrivals.items())
    for now_s in np.arange(0.0, until_s, 0.01):
        while due and due[0][0] <= now_s:
            time_s, place = due.pop(0)
            order.add(place, time_s, f"volume {place}")
        out += [(now_s, item if isinstance(item, LostVolumes) else item[0]) for item in order.take(now_s)]
    return out


@pytest.mark.parametrize("seed", range(5))
def test_delays_below_a_repetition_time_lose_nothing_and_change_no_order(seed):
    delays_s = np.random.default_rng(seed).uniform(0, 0.95 * TR_S, 40)
    # The first arrival tells when the others are due; one that is itself late only makes for more patience.
    out = played({n: n * TR_S + delay_s for n, delay_s in enumerate(delays_s)})
    assert [item for _, item in out] == list(range(40))


def test_a_volume_that_is_not_there_is_noticed_within_a_repetition_time_of_the_next_one():
    out = played({n: n * TR_S for n in range(10) if n != 4})
    assert [item for _, item in out] == [0, 1, 2, 3, LostVolumes(4, 1), 5, 6, 7, 8, 9]
    noticed_s = next(time_s for time_s, item in out if item == LostVolumes(4, 1))
    assert 5 * TR_S <= noticed_s <= 5 * TR_S + 0.11 * TR_S


def test_nothing_is_given_up_before_a_later_one_has_come():
    arrivals = {n: n * TR_S for n in range(4)} | {n: n * TR_S + 60.0 for n in range(4, 8)}
    assert [item for _, item in played(arrivals)] == list(range(8))


def test_after_a_stall_volumes_may_come_out_of_order_for_a_moment():
    arrivals = {n: n * TR_S for n in range(4)}
    stalled = {6: 30.0, 5: 30.05, 7: 30.1, 4: 30.15, 8: 30.19}
    assert [item for _, item in played(arrivals | stalled)] == list(range(9))


def test_all_that_are_there_at_once_come_in_order_and_gaps_as_one():
    out = played(dict.fromkeys([9, 3, 1, 0, 2], 1.0))
    assert [item for _, item in out] == [0, 1, 2, 3, LostVolumes(4, 5), 9]


def test_what_becomes_of_a_volume():
    order = RunOrder(TR_S)
    assert order.add(-1, 0.0, "a") == "before"
    assert order.add(0, 0.0, "b") == "held"
    assert order.add(0, 0.0, "b again") == "twice"
    assert order.take(0.0) == [(0, "b")]
    assert order.add(0, 0.1, "b again") == "twice"
    assert order.add(2, 4.0, "d") == "held"
    assert order.take(4.1) == []
    assert order.take(4.1, give_up=True) == order.take(5.0, give_up=False) == []
    assert order.take(5.0) == [LostVolumes(1, 1), (2, "d")]
    assert order.add(1, 6.0, "c") == "late"
    assert order.add(1, 6.1, "c again") == "twice"
    assert order.add(20_000, 7.0, "e") == "far"


def test_a_place_known_to_be_of_no_use_is_not_waited_for():
    order = RunOrder(TR_S)
    order.add(0, 0.0, "a")
    order.add(1, 2.0, None)
    assert order.take(2.0) == [(0, "a"), LostVolumes(1, 1)]


def test_the_drift_of_the_scanners_clock_does_not_add_up():
    # 200 ppm over 600 volumes is 0.24 s; a volume 0.9 of a repetition time late is still waited for at the end.
    arrivals = {n: n * TR_S * (1 + 2e-4) for n in range(600)}
    arrivals[595] += 0.9 * TR_S
    out = played(arrivals, until_s=1210.0)
    assert [item for _, item in out] == list(range(600))
