import time
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMessageBox

from decode_stream.gui.actions import ACTIONS
from decode_stream.gui.snapshot import STATES, Match, SignalView
from decode_stream.gui.words import CHANCE, TRACE, TRUTH

pytestmark = pytest.mark.gui


def pixels(widget, path) -> np.ndarray:
    assert widget.grab().save(str(path))
    image = QImage(str(path)).convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint32)
    return flat.reshape(image.height(), image.bytesPerLine() // 4)[:, : image.width()] & 0xFFFFFF


def count(picture: np.ndarray, colour: str) -> int:
    return int((picture == int(colour[1:], 16)).sum())


def texts(window) -> list[str]:
    return [label.text() for label in window.findChildren(QLabel) if label.isVisible()]


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_drawn_and_told(fakes, open_window, tmp_path, state):
    known = state not in ("idle", "searching")
    window = open_window(fakes.Puller(fakes.snapshot(state), fakes.signal(5) if known else None))
    picture = pixels(window, tmp_path / f"{state}.png")
    assert picture.shape == (720, 1280)
    assert len(np.unique(picture)) > 50
    shown = texts(window)
    assert any(state in text for text in shown)
    assert ("'Muse' EEG, 5 ch @ 256 Hz" in shown) == known
    assert {"CPU", "faces", "lost", "duplicate", "withheld", "skipped", "age", "rate"} <= set(shown)
    assert (count(picture, TRACE) > 5000) == known


def test_a_decoding_session_shows_all_it_knows(fakes, open_window, tmp_path):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    shown = texts(window)
    assert window.matches_panel.row_texts() == (("✓ face", "83.0 %"), ("house", "17.0 %"))
    for text in (
        "nothing shown",
        "trial 120, up to 350 ms after onset",
        "✓ was shown",
        "single trial, 2-way",
        "95 % Wilson, pointwise",
        "0:42 gap: 12 samples lost",
        "markers missed 2",
        "p50 / p99: arrive 1.1 / 4.2 ms · decode 1.2 / 3.4 ms · belief 0.1 / 0.2 ms",
        "2:05",
        "4 ms",
        "12",
    ):
        assert text in shown
    assert any("n = 120 · AUC 0.78" in text for text in shown)
    assert window.accuracy_panel.chance_label == "chance 0.50"
    picture = pixels(window, tmp_path / "decoding.png")
    assert count(picture, TRUTH) > 500
    assert count(picture, CHANCE) > 200


def test_nothing_is_matched_before_there_is_evidence(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("connected")))
    assert window.matches_panel.row_texts() == ()
    assert "no evidence yet" in texts(window)
    assert "no trial scored yet" in texts(window)
    assert window.accuracy_panel.chance_label == ""


def test_free_running_matches_are_called_so(fakes, open_window):
    free = replace(fakes.snapshot("decoding"), matches_of="free-running, no marker", truth="")
    window = open_window(fakes.Puller(free))
    assert "free-running, no marker" in texts(window)
    assert window.matches_panel.row_texts() == (("face", "83.0 %"), ("house", "17.0 %"))
    assert not any(text.startswith("✓") for text in texts(window))


def test_a_stimulus_that_is_not_ranked_is_named(fakes, open_window):
    window = open_window(fakes.Puller(replace(fakes.snapshot("decoding"), truth="chair")))
    assert "was shown: chair" in texts(window)
    assert not any(name.startswith("✓") for name, _ in window.matches_panel.row_texts())


def test_labels_of_stimuli_are_shortened_before_they_overlap(fakes, open_window):
    names = ("face", "a very long name of a stimulus", "cat", "house")
    onsets = tuple(zip((4000, 4500, 4600, 4610), names, strict=True))
    view = replace(fakes.signal(5), onsets=onsets)
    panel = open_window(fakes.Puller(fakes.snapshot("decoding"), view)).signal_panel
    first, second, third = panel.label_texts()
    assert (first, third) == ("face", "house")
    assert second.startswith("a v")
    assert second.endswith("…")


def test_at_most_five_matches_are_ranked(fakes, open_window):
    matches = tuple(Match(f"concept {k}", 0.3 / (k + 1)) for k in range(9))
    window = open_window(fakes.Puller(replace(fakes.snapshot("decoding"), matches=matches)))
    assert [name for name, _ in window.matches_panel.row_texts()] == [f"concept {k}" for k in range(5)]


def test_a_session_without_a_bundle_only_watches(fakes, open_window):
    window = open_window(fakes.Puller(replace(fakes.snapshot("connected"), bundle="")))
    assert "watching only: no bundle" in texts(window)


def test_a_gap_is_a_break_in_the_traces(fakes, open_window, tmp_path):
    whole = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    broken = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5, gap=(600, 660))))
    assert whole.signal_panel.point_count() == 5 * 1250
    assert broken.signal_panel.point_count() == 5 * 1250
    columns = [
        (pixels(window.signal_panel.plot, tmp_path / "plot.png") == int(TRACE[1:], 16)).any(axis=0)
        for window in (whole, broken)
    ]
    # 60 of 1250 samples across about 690 pixels.
    assert columns[0].sum() - columns[1].sum() == pytest.approx(33, abs=5)


def press(window, key) -> None:
    QTest.keyClick(window, key)
    QApplication.processEvents()


def test_page_keys_turn_the_pages_and_stop_at_the_ends(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5, 40)))
    panel = window.signal_panel
    assert panel.note.text().startswith("channels 1 to 16 of 40 · page 1 of 3")
    press(window, Qt.Key.Key_PageUp)
    assert panel.page == 0
    for _ in range(4):
        press(window, Qt.Key.Key_PageDown)
    assert panel.note.text().startswith("channels 33 to 40 of 40 · page 3 of 3")
    press(window, Qt.Key.Key_PageUp)
    assert panel.page == 1


def test_gain_keys_step_through_round_numbers(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    panel = window.signal_panel
    assert panel.spacing == pytest.approx(100.0)
    assert "100 µV per row (auto)" in panel.note.text()
    press(window, Qt.Key.Key_Plus)
    assert panel.spacing == pytest.approx(50.0)
    assert "(auto)" not in panel.note.text()
    for _ in range(2):
        press(window, Qt.Key.Key_Minus)
    assert panel.spacing == pytest.approx(200.0)
    press(window, Qt.Key.Key_A)
    assert panel.spacing == pytest.approx(100.0)


def test_space_holds_the_traces_while_the_session_runs_on(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    press(window, Qt.Key.Key_Space)
    assert "held" in window.signal_panel.note.text()
    newer = fakes.signal(5, stop=6000)
    assert window.signal_panel.show_signal(newer) is False
    press(window, Qt.Key.Key_Space)
    assert window.signal_panel.show_signal(newer) is True


def test_the_help_sheet_lists_every_key(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("decoding")))
    press(window, Qt.Key.Key_F1)
    sheet = window.findChild(QMessageBox)
    assert sheet is not None
    for action in ACTIONS:
        assert action.text in sheet.text()
    sheet.close()


def test_only_news_is_drawn(fakes, open_window):
    puller = fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5))
    window = open_window(puller)
    assert window.signal_panel.show_signal(fakes.signal(5)) is False
    assert window.signal_panel.show_signal(fakes.signal(5, stop=5010)) is True
    assert window.accuracy_panel.show_accuracy(fakes.accuracy(n=120)) is False
    assert window.accuracy_panel.show_accuracy(fakes.accuracy(n=121)) is True


def test_signals_of_every_shape_are_drawn(fakes, open_window, tmp_path):
    window = open_window(fakes.Puller(fakes.snapshot("connected")))
    shapes = {
        "short": fakes.signal(0.02),
        "flat": SignalView(np.zeros((500, 2), np.float32), ("a", "b"), "scaled", 100.0, 500),
        "lost": SignalView(np.full((500, 2), np.nan, np.float32), ("a", "b"), "uV", 100.0, 501),
        "empty": SignalView(np.empty((0, 1), np.float32), ("a",), "uV", 100.0, 0),
        "fewer channels after a page was turned": fakes.signal(5, 5, stop=7000),
    }
    for view in shapes.values():
        assert window.signal_panel.show_signal(view)
        pixels(window, tmp_path / "shape.png")


@pytest.mark.parametrize("k", [2, 200])
def test_one_scored_trial_is_a_point(fakes, open_window, k):
    window = open_window(fakes.Puller(replace(fakes.snapshot("decoding"), accuracy=fakes.accuracy(n=1, k=k))))
    assert window.accuracy_panel.chance_label == ("chance 0.50" if k == 2 else "chance 0.005")


def test_the_type_grows_with_the_window(fakes, open_window, tmp_path):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5, 306)))
    small = window.status_bar.state.fontMetrics().height()
    window.resize(3840, 2160)
    QApplication.processEvents()
    assert window.status_bar.state.fontMetrics().height() > 1.5 * small
    assert pixels(window, tmp_path / "large.png").shape == (2160, 3840)


def test_panels_have_names_and_descriptions_for_screen_readers(fakes, open_window):
    window = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    names = ("stimulus_panel", "matches_panel", "signal_panel", "accuracy_panel", "status_bar")
    told = [getattr(window, name).accessibleName() for name in names]
    assert told == ["Stimulus", "Best matches", "Signal", "Accuracy", "Status"]
    assert window.stimulus_panel.accessibleDescription() == "nothing shown"
    assert "face 83%" in window.matches_panel.accessibleDescription()
    assert "chance 0.50" in window.accuracy_panel.accessibleDescription()
    assert "◆ decoding" in window.status_bar.accessibleDescription()


def test_closing_stops_the_session_once(fakes, open_window):
    puller = fakes.Puller(fakes.snapshot("decoding"))
    window = open_window(puller)
    window.close()
    window.close()
    assert puller.n_stops == 1


def test_volumes_are_told_and_drawn_as_what_they_are(fakes, open_window, tmp_path):
    puller = fakes.Puller(fakes.scan(), fakes.volumes())
    window = open_window(puller)
    panel = window.signal_panel
    assert panel.note.text().startswith("3000 voxels, each row the mean of about 188 · ")
    assert panel.n_pages == 1
    assert panel.span_s == 60.0
    assert panel.point_count() == 16 * 45
    assert {"1 volume every", "0.8 s", "trial 12, up to 8.0 s after onset"} <= set(texts(window))
    assert count(pixels(panel.plot, tmp_path / "volumes.png"), TRACE) > 16 * 45 * 5


def test_the_first_volume_is_seen(fakes, open_window, tmp_path):
    window = open_window(fakes.Puller(fakes.scan(), fakes.volumes(1)))
    assert window.signal_panel.point_count() == 16
    assert count(pixels(window.signal_panel.plot, tmp_path / "one.png"), TRACE) >= 16 * 4


def test_a_few_voxels_are_paged_as_channels_are(fakes, open_window):
    panel = open_window(fakes.Puller(fakes.scan(), fakes.volumes(45, 40))).signal_panel
    assert panel.note.text().startswith("voxels 1 to 16 of 40 · page 1 of 3")


def test_latencies_of_seconds_are_told_in_seconds(fakes, open_window):
    late = replace(fakes.accuracy(n=14), latency_s=np.array([8.0]), top1_by_latency=np.array([0.6]))
    panel = open_window(fakes.Puller(replace(fakes.scan(), accuracy=late))).accuracy_panel
    assert "by latency: each window alone, seconds from onset to its end" in texts(panel)
    assert panel.latency_points() == ((8.0, 0.6),)


def test_the_window_tells_once_that_it_is_up(fakes, open_window):
    puller = fakes.Puller(fakes.snapshot("searching"))
    pulls_before: list[int] = []
    open_window(puller, shown=lambda: pulls_before.append(puller.n_pulls))
    deadline_s = time.monotonic() + 10
    while puller.n_pulls <= 5 and time.monotonic() < deadline_s:
        QTest.qWait(10)
    # Once, and not before something was drawn.
    assert len(pulls_before) == 1
    assert pulls_before[0] >= 1
    assert puller.n_pulls > 5
