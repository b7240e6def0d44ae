"""The panels that only a run of fMRI has."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPointF
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QLabel

from decode_stream.gui.quality_panel import QualityPanel
from decode_stream.gui.regions_panel import RegionsPanel
from decode_stream.gui.scan import ScanView, TrialLine
from decode_stream.gui.scan_words import WRONG
from decode_stream.gui.time_line_panel import TimeLinePanel
from decode_stream.gui.words import TRUTH, WARNING

pytestmark = pytest.mark.gui


@pytest.fixture
def open_scan(fakes, open_window):
    def open_(view: ScanView | None, size: tuple[int, int] = (1280, 800)):
        window = open_window(fakes.Puller(replace(fakes.scan(), scan=view), fakes.volumes()))
        window.resize(*size)
        QApplication.processEvents()
        window.refresh()
        QApplication.processEvents()
        return window

    return open_


@pytest.fixture
def open_panel(application):
    """Show one panel alone, which takes less time than a window."""
    from PySide6.QtCore import QCoreApplication, QEvent

    panels = []

    def open_(panel, view: ScanView, size: tuple[int, int] = (700, 200)):
        panels.append(panel)
        panel.resize(*size)
        panel.show_view(view)
        panel.show()
        panel.set_fonts()
        panel.show_view(view)
        QApplication.processEvents()
        return panel

    yield open_
    for panel in panels:
        panel.close()
        panel.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def n_pixels(widget, path, colour: str) -> int:
    assert widget.grab().save(str(path))
    image = QImage(str(path)).convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint32) & 0xFFFFFF
    return int((flat == int(colour[1:], 16)).sum())


def texts(widget) -> list[str]:
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisible()]


def scan_panels(window) -> tuple:
    return (window.time_line_panel, window.quality_panel, window.two_way_panel, window.regions_panel)


def test_other_signals_have_no_panels_of_a_run(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    assert not any(panel.isVisible() for panel in scan_panels(window))
    assert window.accuracy_panel.by_latency.isVisible()
    assert window.minimumHeight() == 560


def test_a_run_shows_all_it_knows(fakes, open_scan):
    window = open_scan(fakes.scan_view())
    assert all(panel.isVisible() for panel in scan_panels(window))
    shown = texts(window)
    for text in (
        "volume 200 of 222 · 4:26 of 4:56",
        "belief after 12 ms, p99 34 ms, TR 1333 ms",
        "mean z of trial 60, pear",
    ):
        assert text in shown
    assert any(text.startswith("two-way 0.") and text.endswith("n = 40") for text in shown)
    assert any("2 of 200 volumes above 0.5 mm · median tSNR 61 · 3 volumes lost" in text for text in shown)
    assert any(text.startswith("trial 60 decided: ") for text in shown)


def test_every_trial_of_a_run_of_nsd_is_a_mark_at_its_onset(fakes, open_panel, tmp_path):
    view = fakes.scan_view()
    panel = open_panel(TimeLinePanel(), view, (1200, 170))
    marks = panel.marks()
    assert [x for x, _, _ in marks] == [line.onset_s for line in view.trials]
    assert [y for _, y, _ in marks][:60] == [line.probability for line in view.trials[:60]]
    assert [symbol for _, _, symbol in marks][58:] == ["o", "o", "t1", "+"]
    assert "+ 1 seen · △ 1 rising · ● 60 decided · | 3 lost" in panel.caption.text()
    assert n_pixels(panel, tmp_path / "line.png", TRUTH) > 500
    assert n_pixels(panel, tmp_path / "line.png", WRONG) > 100


def test_right_is_filled_and_wrong_is_hollow(fakes, open_panel, tmp_path):
    view = replace(fakes.scan_view(), lost=())
    drawn = {}
    for right in (True, False):
        line = TrialLine(0, "pear", 40.0, "decided", 0.5, "pear" if right else "tent", right)
        panel = open_panel(TimeLinePanel(), replace(view, trials=(line,)))
        drawn[right] = n_pixels(panel.plot, tmp_path / "one.png", TRUTH if right else WRONG)
    assert drawn[True] > 2 * drawn[False] > 0


@pytest.mark.parametrize(
    ("state", "symbol"), [("refined", "d"), ("final", "s"), ("decided", "o"), ("withheld", "x")]
)
def test_each_state_has_a_shape_of_its_own(fakes, open_panel, state, symbol):
    line = TrialLine(
        4, "pear", 16.0, state, 0.4, "pear", True, "a volume is lost" if state == "withheld" else ""
    )
    panel = open_panel(TimeLinePanel(), replace(fakes.scan_view(), trials=(line,)))
    assert panel.marks() == ((16.0, 0.4, symbol),)


def test_the_pointer_is_told_why_a_trial_is_withheld(fakes, open_panel):
    line = TrialLine(4, "pear", 16.0, "withheld", reason="volumes of its response are lost")
    panel = open_panel(TimeLinePanel(), replace(fakes.scan_view(), trials=(line,)))
    told = "trial 5 at 0:16, withheld: volumes of its response are lost\nshown: pear"
    assert panel.tip_at(17.0, near_s=2.0) == told
    assert panel.tip_at(30.0, near_s=2.0) == ""
    # The pointer itself is heard.
    place = panel.plot.getViewBox().mapViewToScene(QPointF(16.0, 0.0))
    panel.plot.scene().sigMouseMoved.emit(place)


def test_a_run_whose_length_nothing_tells_has_no_end(fakes, open_panel):
    view = replace(fakes.scan_view(), planned_volumes=0)
    panel = open_panel(TimeLinePanel(), view)
    assert panel.note.text() == "volume 200 · 4:26"
    assert not panel._end.isVisible()
    (begin_s, end_s), _ = panel.plot.viewRange()
    assert begin_s < 0.0 < 266.0 < end_s


def test_of_a_long_session_the_kept_trials_fill_the_line(fakes, open_panel):
    view = replace(
        fakes.scan_view(), trials=fakes.trials(80, 100), n_volumes=545, planned_volumes=0, now_s=727.0
    )
    (begin_s, end_s), _ = open_panel(TimeLinePanel(), view).plot.viewRange()
    assert 380 < begin_s < 400
    assert 727 < end_s < 800


def test_low_probabilities_fill_the_height(fakes, open_panel):
    view = fakes.scan_view()
    unsure = tuple(replace(line, probability=line.probability / 20) for line in view.trials)
    for trials, high in ((unsure, 0.05), (view.trials, 1.0), ((), 1.0)):
        panel = open_panel(TimeLinePanel(), replace(view, trials=trials))
        _, (low, top) = panel.plot.viewRange()
        assert low < 0 < high < top < 1.3 * high


def test_before_the_first_trial_there_is_a_line_without_marks(open_scan):
    window = open_scan(ScanView(1, 222, 4 / 3, 4 / 3))
    assert window.time_line_panel.marks() == ()
    assert window.time_line_panel.caption.text().startswith("no trial yet")
    assert "no trial scored yet" in texts(window.two_way_panel)
    assert window.regions_panel.isHidden()


def test_what_nothing_tells_is_not_drawn(fakes, open_scan, open_panel):
    view = fakes.scan_view()
    bare = replace(view, motion=None, displacement_mm=None, dvars=None, tsnr=float("nan"), volume_ms=None)
    window = open_scan(replace(bare, regions=(), regions_of=""))
    panel = window.quality_panel
    assert panel.plots_shown == ()
    assert panel.words.text() == "3 volumes lost · no motion estimates come with these volumes"
    assert panel.note.text() == ""
    assert panel.height() < 100
    assert window.regions_panel.isHidden()
    noisy = open_panel(QualityPanel(), replace(bare, dvars=view.dvars))
    assert noisy.plots_shown == ("DVARS, %",)
    assert noisy._dvars.plot.width() > 600


def test_motion_is_drawn_in_millimetres_and_degrees(fakes, open_panel):
    view = fakes.scan_view()
    motion = view.motion.copy()
    motion[31] = np.nan
    motion[10] = (0.2, 0, 0, np.radians(1.0), 0, 0)
    panel = open_panel(QualityPanel(), replace(view, motion=motion))
    assert [name.split(",")[0] for name in panel.plots_shown] == ["shift", "turn", "displacement", "DVARS"]
    shift, turn = panel._shift.curves[0].getData()[1], panel._turn.curves[0].getData()[1]
    assert (shift[10], turn[10]) == pytest.approx((0.2, 1.0))
    assert np.isnan(shift[31])


def test_a_volume_that_takes_longer_than_the_next_is_a_warning(fakes, open_panel):
    view = fakes.scan_view()
    for volume_ms, late in (((12.0, 1300.0), False), ((12.0, 1400.0), True)):
        panel = open_panel(QualityPanel(), replace(view, volume_ms=volume_ms))
        assert (WARNING in panel.note.styleSheet()) == late


def test_regions_that_find_no_room_are_counted(fakes, open_panel):
    view = fakes.scan_view()
    tall = open_panel(RegionsPanel(), view, (240, 600))
    assert tall.bars() == tuple(z for _, z in view.regions)
    short = open_panel(RegionsPanel(), view, (240, 240))
    assert 3 < len(short.bars()) < 14
    assert short.note.text() == f"mean z of trial 60, pear · {14 - len(short.bars())} more"


def test_decided_and_refined_accuracy_stand_side_by_side(fakes, open_scan):
    compared = (("decided", 0.5, 12), ("refined", 7 / 12, 12))
    window = open_scan(replace(fakes.scan_view(), compared=compared))
    assert "top-1 of the same 12 trials: decided 0.50, refined 0.58" in texts(window.accuracy_panel)
    assert open_scan(fakes.scan_view()).accuracy_panel.since.isHidden()


def test_accuracy_by_latency_is_shown_where_there_are_several(fakes, open_window):
    for n_latencies in (1, 5):
        ends = np.arange(1.0, n_latencies + 1)
        accuracy = replace(fakes.accuracy(), latency_s=ends, top1_by_latency=np.full(n_latencies, 0.5))
        snapshot = replace(fakes.scan(), accuracy=accuracy, scan=fakes.scan_view())
        window = open_window(fakes.Puller(snapshot))
        assert window.accuracy_panel.by_latency.isVisible() == (n_latencies > 1)


def test_only_news_of_a_run_are_drawn(fakes, open_scan):
    view = fakes.scan_view()
    window = open_scan(view)
    same = replace(view, two_way=view.two_way)
    for panel in (window.time_line_panel, window.quality_panel, window.regions_panel):
        assert panel.show_view(same) is False
    assert window.two_way_panel.show_trace(same.two_way) is False
    newer = replace(view, n_volumes=201, now_s=268.0)
    assert window.time_line_panel.show_view(newer)
    assert window.quality_panel.show_view(newer)


def test_no_panel_is_squeezed(fakes, open_scan):
    window = open_scan(fakes.scan_view())
    for size in ((900, 700), (1280, 800), (1920, 1080)):
        window.resize(*size)
        QApplication.processEvents()
        assert (window.width(), window.height()) == size
        for plot in (
            window.time_line_panel.plot,
            window.accuracy_panel.running,
            window.two_way_panel._trace.plot,
            window.signal_panel.plot,
            window.quality_panel._shift.plot,
        ):
            assert plot.height() >= 50, (size, plot.accessibleName())


def test_a_run_is_described_for_screen_readers(fakes, open_scan):
    window = open_scan(fakes.scan_view())
    assert [panel.accessibleName() for panel in scan_panels(window)] == [
        "Trials",
        "Volumes",
        "Two-way identification",
        "Regions",
    ]
    assert "60 decided" in window.time_line_panel.accessibleDescription()
    assert "chance 0.50" in window.two_way_panel.accessibleDescription()
    assert "tSNR 61" in window.quality_panel.accessibleDescription()
    assert "streams=region 3 " in window.regions_panel.accessibleDescription()
