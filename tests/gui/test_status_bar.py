from decode_stream.gui.status_bar import RateMeter


def test_a_rate_is_measured_over_the_last_seconds():
    meter = RateMeter(span_s=3.0)
    assert meter.update(0.0, 0, 0) is None
    assert meter.update(0.5, 125, 20) is None
    assert meter.update(2.0, 500, 80) == (250.0, 40.0)
    for now_s in range(3, 10):
        meter.update(float(now_s), 500, 80)
    assert meter.update(10.0, 500, 80) == (0.0, 0.0)
