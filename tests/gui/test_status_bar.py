from dataclasses import replace

import pytest
from PySide6.QtWidgets import QLabel

from decode_stream.gui.status_bar import IntervalMeter, RateMeter


def test_a_rate_is_measured_over_the_last_seconds():
    meter = RateMeter(span_s=3.0)
    assert meter.update(0.0, 0, 0) is None
    assert meter.update(0.5, 125, 20) is None
    assert meter.update(2.0, 500, 80) == (250.0, 40.0)
    for now_s in range(3, 10):
        meter.update(float(now_s), 500, 80)
    assert meter.update(10.0, 500, 80) == (0.0, 0.0)


def test_the_time_between_volumes_is_measured_from_one_to_another():
    meter = IntervalMeter()
    rates = [meter.update(k / 30, int(k / 30 / 1.333)) for k in range(30 * 60)]
    assert rates[30 * 3] is None
    assert all(abs(1 / rate - 1.333) < 0.04 for rate in rates[30 * 3 :] if rate)
    assert rates[-1] is not None


def test_what_had_waited_for_the_view_does_not_make_the_first_rate():
    meter = IntervalMeter()
    seen = [(0.9, 2), (1.0, 3), (2.3, 4)]
    rates = [meter.update(now_s, count) for now_s, count in seen]
    assert rates[:2] == [None, None]
    assert rates[2] == pytest.approx(1 / 1.3)


def test_volumes_are_told_by_the_time_between_them(fakes, open_window):
    bar = open_window(fakes.Puller(fakes.scan())).status_bar
    now_s = 1e6
    for n in range(1, 8):
        scan = fakes.scan()
        progress = replace(scan.progress, received=60 + n, windows_decoded=57 + n)
        bar.show_snapshot(replace(scan, progress=progress), now_s + 1.333 * n)
    assert bar.fields["windows"].text() == "64"
    texts = [label.text() for label in bar.findChildren(QLabel)]
    assert "1 volume every" in texts
    assert "rate" not in texts
