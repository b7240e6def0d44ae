"""The stimulus and the pictures of the best matches."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from decode_stream.gui.matches_panel import HOLD_S, MatchCard, MatchesPanel
from decode_stream.gui.pictures import Pictures
from decode_stream.gui.snapshot import Match, Stimulus
from decode_stream.gui.words import TRUTH

pytestmark = pytest.mark.gui

RED, GREEN, BLUE = "#ff0000", "#00ff00", "#0000ff"


def count(widget, path, colour: str) -> int:
    assert widget.grab().save(str(path))
    image = QImage(str(path)).convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint32) & 0xFFFFFF
    return int((flat == int(colour[1:], 16)).sum())


@pytest.fixture
def seen(fakes):
    """A session with three entries, two of which have a picture, that shows the first of them."""
    snapshot = replace(
        fakes.snapshot("decoding"),
        matches=(Match("red", 0.6), Match("blue", 0.3), Match("bare", 0.1)),
        truth="blue",
        stimulus=Stimulus("red", True),
        has_pictures=True,
    )
    puller = fakes.Puller(snapshot, fakes.signal(5))
    puller.pictures = {
        "red": fakes.picture(RED),
        "blue": fakes.picture(BLUE, 30, 60),
        "broken": b"no picture",
    }
    return puller


def test_the_stimulus_is_shown_with_picture_and_name(seen, open_window, tmp_path):
    panel = open_window(seen).stimulus_panel
    assert panel.name.text() == "red"
    assert panel.note.text() == ""
    assert count(panel, tmp_path / "red.png", RED) > 5000
    assert count(panel, tmp_path / "red.png", BLUE) == 0
    assert panel.accessibleDescription() == "red"


def test_the_next_stimulus_takes_its_place_and_nothing_is_left_when_it_is_gone(seen, open_window, tmp_path):
    window = open_window(seen)
    panel = window.stimulus_panel
    seen.now = replace(seen.now, stimulus=Stimulus("blue", True))
    window.refresh()
    assert panel.name.text() == "blue"
    assert count(panel, tmp_path / "blue.png", BLUE) > 2500
    seen.now = replace(seen.now, stimulus=None)
    window.refresh()
    assert panel.name.text() == "nothing shown"
    assert count(panel, tmp_path / "gone.png", BLUE) == 0


def test_a_stimulus_that_the_gallery_lacks_is_told_by_its_label(seen, open_window):
    seen.now = replace(seen.now, stimulus=Stimulus("4711", False))
    panel = open_window(seen).stimulus_panel
    assert panel.name.text() == "4711"
    assert not panel.picture.has_picture
    assert panel.accessibleDescription() == "4711, not in the gallery"


def test_matches_come_with_their_pictures_and_the_truth_in_a_frame(seen, open_window, tmp_path):
    panel = open_window(seen).matches_panel
    assert panel.row_texts() == (("red", "60.0 %"), ("✓ blue", "30.0 %"), ("bare", "10.0 %"))
    assert panel.n_pictures() == 2
    assert panel.truth.text() == "✓ was shown"
    # Both keep their shape: a square, and a picture twice as high as wide.
    red, blue = (count(panel, tmp_path / "matches.png", colour) for colour in (RED, BLUE))
    assert red > 3000
    assert blue / red == pytest.approx(0.5, abs=0.05)
    marked = count(panel, tmp_path / "matches.png", TRUTH)
    seen.now = replace(seen.now, truth="")
    other = open_window(seen).matches_panel
    assert marked - count(other, tmp_path / "unmarked.png", TRUTH) > 800


def test_the_truth_among_no_match_is_named(seen, open_window):
    seen.now = replace(seen.now, truth="zebra")
    panel = open_window(seen).matches_panel
    assert panel.truth.text() == "was shown: zebra"
    assert not any(name.startswith("✓") for name, _ in panel.row_texts())


def test_a_picture_is_decoded_once(seen, open_window):
    window = open_window(seen)
    for _ in range(5):
        window.refresh()
    assert sorted(seen.asked) == ["bare", "blue", "red"]


def test_a_picture_that_cannot_be_read_is_a_word(seen, open_window):
    seen.now = replace(seen.now, matches=(Match("broken", 1.0),), stimulus=Stimulus("broken", True))
    window = open_window(seen)
    assert window.matches_panel.row_texts() == (("broken", "100.0 %"),)
    assert window.matches_panel.n_pictures() == 0
    assert not window.stimulus_panel.picture.has_picture


def test_without_pictures_the_row_is_as_high_as_its_text(fakes, open_window, seen):
    with_pictures = open_window(seen)
    bare = open_window(fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5)))
    for _ in range(3):  # a layout may ask for another
        bare.refresh()
        QApplication.processEvents()
    assert bare.matches_panel.row_texts() == (("✓ face", "83.0 %"), ("house", "17.0 %"))
    assert bare.matches_panel.height() < 0.5 * with_pictures.matches_panel.height()
    assert bare.signal_panel.height() > 1.2 * with_pictures.signal_panel.height()


def test_matches_change_three_times_a_second_at_most(seen, open_window):
    panel = open_window(seen).matches_panel
    other = replace(seen.now, matches=(Match("blue", 1.0),))
    now_s = 1e9
    assert panel.show_snapshot(other, now_s)
    drawn = sum(panel.show_snapshot(seen.now, now_s + k / 30) for k in range(1, 301))
    assert 27 <= drawn <= 30
    assert panel.show_snapshot(other, now_s + 20)
    assert not panel.show_snapshot(seen.now, now_s + 20 + 0.9 * HOLD_S)
    assert panel.row_texts()[0] == ("✓ blue", "100.0 %")


def test_a_high_panel_lists_the_matches_one_below_the_other(seen, application):
    panel = MatchesPanel(Pictures(seen.picture))
    panel.show_snapshot(seen.now, 0.0)
    panel.show()

    def places(width: int, height: int) -> tuple[set[int], set[int], list[int]]:
        panel.resize(width, height)
        QApplication.processEvents()
        cards = panel.findChildren(MatchCard)
        words = [card.mapTo(panel, card.name.pos()) for card in cards]
        return {at.x() for at in words}, {at.y() for at in words}, [card.picture.height() for card in cards]

    x, y, row_px = places(1000, 200)
    assert (len(x), len(y)) == (5, 1)
    # One below the other the words begin at one line, right of pictures that are squares.
    x, y, list_px = places(400, 320)
    assert (len(x), len(y)) == (1, 5)
    assert panel.n_pictures() == 2
    assert {card.picture.width() for card in panel.findChildren(MatchCard)} <= {*list_px, min(list_px) - 1}
    places(1000, 230)
    assert places(1000, 200)[2] == row_px
    panel.close()
    panel.deleteLater()


@pytest.mark.parametrize("size", [(900, 600), (1280, 800), (2560, 1440)])
def test_every_panel_keeps_its_room(seen, open_window, size):
    window = open_window(seen)
    window.resize(*size)
    QApplication.processEvents()
    assert (window.width(), window.height()) == size
    assert window.stimulus_panel.picture.height() >= 80
    assert window.signal_panel.plot.height() >= 200
    assert window.accuracy_panel.running.height() >= 60
    panels = (window.stimulus_panel, window.matches_panel, window.signal_panel, window.accuracy_panel)
    assert all(panel.width() >= 140 for panel in panels)
