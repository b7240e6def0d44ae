"""The reconstruction beside the stimulus: what is drawn, when it changes, and when nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel

from decode_stream.gui.live_picture import FADE_S, pixmap_of
from decode_stream.gui.matches_panel import HOLD_S
from decode_stream.gui.reconstruction_panel import ReconstructionPanel
from decode_stream.gui.snapshot import UNLIKE_TRAINING, Match, Stimulus
from decode_stream.gui.words import WARNING

pytestmark = pytest.mark.gui

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def pixels(widget) -> np.ndarray:
    """Return what is seen of a widget, shape (height, width, 3)."""
    QApplication.processEvents()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    flat = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return flat[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def middle(widget) -> list[int]:
    seen = pixels(widget)
    return seen[seen.shape[0] // 2, seen.shape[1] // 2].tolist()


def n_pixels(widget, colour) -> int:
    return int((pixels(widget) == np.array(colour, np.uint8)).all(axis=2).sum())


def texts(widget) -> str:
    return "\n".join(each.text() for each in widget.findChildren(QLabel) if each.isVisible())


@pytest.fixture
def panel(application):
    from PySide6.QtCore import QCoreApplication, QEvent

    panel = ReconstructionPanel()
    panel.reduced_motion = False
    panel.resize(460, 320)
    panel.show()
    QApplication.processEvents()
    yield panel
    panel.close()
    panel.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def session(fakes):
    """A session that draws; what it drew last can be changed."""

    def session_(**changes):
        drawn = replace(fakes.reconstruction(), **changes)
        return replace(fakes.snapshot("decoding"), generator="scenes", reconstruction=drawn)

    return session_


def of_colour(colour) -> np.ndarray:
    return np.full((64, 64, 3), colour, np.uint8)


def test_a_picture_is_shown_with_what_is_known_of_it(panel, session):
    assert panel.show_snapshot(session(), 0.0)
    assert middle(panel.picture) == [255, 0, 0]
    shown = texts(panel)
    for text in (
        "trial 12, up to 350 ms after onset",
        "62 % settled",
        "38 % is open and faded to the mean of all pictures",
        "130 ms",
        "1 step, 38 ms",
    ):
        assert text in shown
    assert "held" not in shown
    assert "62 % settled" in panel.accessibleDescription()


def test_a_picture_keeps_its_shape_in_any_room(panel, session):
    panel.show_snapshot(session(), 0.0)
    for size in ((460, 320), (700, 240), (400, 600)):
        panel.resize(*size)
        rows, columns = np.nonzero((pixels(panel.picture) == RED).all(axis=2))
        assert np.ptp(rows) == np.ptp(columns)
        assert np.ptp(rows) + 1 == min(panel.picture.width(), panel.picture.height()) - 6


def test_a_small_picture_is_made_large_without_blocks(panel, session):
    stripes = of_colour((0, 0, 0))
    stripes[:, ::8] = 255
    panel.show_snapshot(session(picture=stripes), 0.0)
    seen = pixels(panel.picture)
    row = seen[seen.shape[0] // 2, 20:-20, 0].astype(int)
    # A pixel of the picture is four of the screen: as blocks they would be black or white.
    assert len(np.unique(row)) > 20


@pytest.mark.parametrize(("side", "wanted"), [(1, 2), (64, 128), (512, 512)])
def test_only_a_small_picture_is_doubled_before_it_is_fitted(application, side, wanted):
    made = pixmap_of(np.full((side, side, 3), BLUE, np.uint8))
    assert (made.width(), made.height()) == (wanted, wanted)
    assert made.toImage().pixelColor(wanted - 1, wanted - 1).getRgb()[:3] == BLUE


def test_nothing_is_drawn_again_that_has_not_changed(panel, session):
    assert panel.show_snapshot(session(), 0.0)
    assert not panel.show_snapshot(session(age_ms=165.0), 0.033)
    assert panel.show_snapshot(session(number=2), 0.066)


def test_a_picture_fades_into_the_next_of_its_trial(panel, session):
    panel.show_snapshot(session(), 10.0)
    newer = session(number=2, picture=of_colour(BLUE))
    panel.show_snapshot(newer, 20.0)
    assert middle(panel.picture) == [255, 0, 0]
    assert panel.show_snapshot(newer, 20.0 + FADE_S / 2)
    red, green, blue = middle(panel.picture)
    assert green == 0
    assert abs(red - 128) <= 2
    assert abs(blue - 128) <= 2
    panel.show_snapshot(newer, 20.001 + FADE_S)
    assert middle(panel.picture) == [0, 0, 255]
    assert not panel.picture.fading
    assert not panel.show_snapshot(newer, 20.1 + FADE_S)


def test_a_picture_that_comes_in_a_fade_goes_on_from_what_is_seen(panel, session):
    panel.show_snapshot(session(), 10.0)
    panel.show_snapshot(session(number=2, picture=of_colour(BLUE)), 20.0)
    panel.show_snapshot(session(number=2, picture=of_colour(BLUE)), 20.0 + FADE_S / 2)
    before = middle(panel.picture)
    panel.show_snapshot(session(number=3, picture=of_colour(GREEN)), 20.0 + FADE_S / 2)
    assert middle(panel.picture) == before


def test_two_trials_are_never_mixed_and_change_no_more_than_three_times_a_second(panel, session):
    panel.show_snapshot(session(), 10.0)
    next_trial = session(number=2, picture=of_colour(BLUE), of="trial 13, up to 100 ms after onset")
    assert not panel.show_snapshot(next_trial, 10.0 + HOLD_S / 2)
    assert middle(panel.picture) == [255, 0, 0]
    assert "trial 12, up to 350 ms after onset" in texts(panel)
    panel.show_snapshot(next_trial, 10.001 + HOLD_S)
    assert middle(panel.picture) == [0, 0, 255]
    assert not panel.picture.fading
    assert "trial 13, up to 100 ms after onset" in texts(panel)


def test_with_reduced_motion_pictures_change_at_once_and_once_a_second(panel, session):
    panel.toggle_motion()
    panel.show_snapshot(session(), 10.0)
    newer = session(number=2, picture=of_colour(BLUE))
    assert not panel.show_snapshot(newer, 10.9)
    assert panel.show_snapshot(newer, 11.0)
    assert middle(panel.picture) == [0, 0, 255]
    panel.toggle_motion()
    panel.show_snapshot(session(number=3), 12.0)
    assert panel.picture.fading


def test_a_held_picture_is_marked_at_once_with_the_reason(panel, session):
    panel.show_snapshot(session(), 10.0)
    assert n_pixels(panel.picture, (0xE6, 0x9F, 0x00)) == 0
    assert WARNING == "#E69F00"
    panel.show_snapshot(session(held="generator failed: out of memory"), 10.033)
    assert n_pixels(panel.picture, (0xE6, 0x9F, 0x00)) > 1000
    assert middle(panel.picture) != [255, 0, 0]
    assert "held" in texts(panel)
    assert "generator failed: out of memory" in texts(panel)
    assert panel.accessibleDescription().startswith("❚❚ held: generator failed: out of memory")
    panel.show_snapshot(session(number=2), 20.0)
    panel.show_snapshot(session(number=2), 20.001 + FADE_S)
    assert middle(panel.picture) == [255, 0, 0]
    assert "held" not in texts(panel)


def test_a_picture_that_waits_for_its_turn_does_not_delay_the_mark(panel, session):
    panel.show_snapshot(session(), 10.0)
    panel.show_snapshot(session(number=2, of="trial 13, decided", held="generator failed: x"), 10.1)
    assert "generator failed: x" in texts(panel)
    assert "trial 12" in texts(panel)


def test_a_long_reason_is_cut_and_whole_in_the_tool_tip(panel, session):
    reason = "generator failed: " + "a word or another " * 20
    panel.show_snapshot(session(held=reason), 0.0)
    shown = [each for each in panel.findChildren(QLabel) if each.text().startswith("generator failed")]
    assert [each.text()[-1] for each in shown] == ["…"]
    assert shown[0].toolTip() == reason


def missing(session, why):
    if why == "no generator":
        return replace(session(), generator="", reconstruction=None)
    if why == "nothing known yet":
        return replace(session(), reconstruction=None)
    if why == "nothing settled":
        return session(confidence=0.001)
    if why == "no picture":
        return session(number=0, confidence=0.0, held="generator failed: no memory")
    return session(held=UNLIKE_TRAINING)


@pytest.mark.parametrize(
    "why", ["no generator", "nothing known yet", "nothing settled", "no picture", "unlike the training"]
)
def test_without_a_picture_there_is_a_reason_and_nothing_else(panel, session, why):
    panel.show_snapshot(session(), 0.0)
    panel.toggle("prior")
    room = panel.picture.size()
    assert not panel.show_snapshot(missing(session, why), 1.0)
    assert not panel.picture.has_picture
    assert panel.accessibleDescription().startswith(why)
    assert n_pixels(panel, RED) == n_pixels(panel, (128, 128, 128)) == 0
    assert "settled" not in texts(panel)
    assert len(np.unique(pixels(panel.picture).reshape(-1, 3), axis=0)) > 10
    # The empty place is where the picture was, and the next one is drawn at once.
    assert panel.picture.size() == room
    assert panel.show_snapshot(session(number=2), 1.01)
    assert middle(panel.picture) == [255, 0, 0]


def test_prior_variance_and_nearest_are_shown_on_request(panel, session, fakes):
    panel.resize(700, 320)
    nearest = fakes.picture("#0000ff", 64, 64)
    changes = {
        "nearest": nearest,
        "nearest_distance": 0.312,
        "variance": np.full((64, 64), 255, np.uint8),
        "prior": of_colour(GREEN),
    }
    panel.show_snapshot(session(**changes), 0.0)
    white = (255, 255, 255)
    assert n_pixels(panel, GREEN) == n_pixels(panel, BLUE) == n_pixels(panel, white) == 0
    for name, colour in (("prior", GREEN), ("variance", white), ("nearest", BLUE)):
        panel.toggle(name)
        panel.set_extras_width(220)
        assert n_pixels(panel, colour) > 300
    assert "cosine distance 0.31" in texts(panel)
    panel.toggle("nearest")
    assert n_pixels(panel, BLUE) == 0
    assert panel.extras_shown == ("prior", "variance")


def test_what_is_not_known_beside_the_picture_is_said(panel, session):
    for name in ("variance", "nearest"):
        panel.toggle(name)
    panel.set_extras_width(220)
    panel.show_snapshot(session(nearest=b"no image", nearest_distance=0.1), 0.0)
    assert "known once a trial is decided" in texts(panel)
    panel.show_snapshot(session(number=2), 1.0)
    assert "no picture of the training is at hand" in texts(panel)


def drawing(fakes, session, **changes):
    snapshot = replace(
        session(),
        matches=tuple(Match(f"thing {k}", 0.5 / (k + 1)) for k in range(5)),
        stimulus=Stimulus("thing 1", True),
        has_pictures=True,
        **changes,
    )
    puller = fakes.Puller(snapshot, fakes.signal(5))
    puller.pictures = {f"thing {k}": fakes.picture("#00ff00") for k in range(5)}
    return puller


@pytest.mark.parametrize("of_scan", [False, True])
def test_stimulus_and_reconstruction_are_equally_large(fakes, session, open_window, of_scan):
    window = open_window(drawing(fakes, session, scan=fakes.scan_view() if of_scan else None))
    for size in ((900, 620), (1280, 720), (2560, 1440)):
        window.resize(*size)
        QApplication.processEvents()
        sides = [
            min(panel.picture.width(), panel.picture.height())
            for panel in (window.stimulus_panel, window.reconstruction_panel)
        ]
        assert abs(sides[0] - sides[1]) <= 2
        assert sides[0] > size[1] / (7 if of_scan else 4)
    assert window.time_line_panel.isVisible() == of_scan
    # Without the reconstruction the time line is a row of its own again.
    QTest.keyClick(window, Qt.Key.Key_G)
    QApplication.processEvents()
    assert window.time_line_panel.isVisible() == of_scan
    assert not of_scan or window.time_line_panel.width() > 2500


def test_the_panel_comes_with_a_generator_and_by_its_key(fakes, session, open_window):
    puller = fakes.Puller(fakes.snapshot("decoding"), fakes.signal(5))
    window = open_window(puller)
    panel = window.reconstruction_panel
    assert not panel.isVisible()
    QTest.keyClick(window, Qt.Key.Key_G)
    assert panel.isVisible()
    assert panel.accessibleDescription().startswith("no generator")
    QTest.keyClick(window, Qt.Key.Key_G)
    assert not panel.isVisible()
    puller.now = session()
    other = open_window(puller).reconstruction_panel
    assert other.isVisible()
    assert middle(other.picture) == [255, 0, 0]


def test_keys_show_what_is_beside_the_picture(fakes, session, open_window):
    window = open_window(drawing(fakes, session))
    panel = window.reconstruction_panel
    for key, name in ((Qt.Key.Key_P, "prior"), (Qt.Key.Key_V, "variance"), (Qt.Key.Key_N, "nearest")):
        QTest.keyClick(window, key)
        QApplication.processEvents()
        assert panel.extras_shown == (name,)
        QTest.keyClick(window, key)
    was = panel.reduced_motion
    QTest.keyClick(window, Qt.Key.Key_M)
    assert panel.reduced_motion != was
