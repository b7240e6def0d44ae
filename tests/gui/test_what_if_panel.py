"""The window of what ifs: what it offers, what it asks, and the matches before and after."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from decode_stream.gui.matches_panel import HOLD_S
from decode_stream.gui.snapshot import Match, PastTrial, Snapshot, WhatIfAnswer, WhatIfQuestion

pytestmark = pytest.mark.gui

REGIONS = ("streams=early", "streams=ventral", "prf-visualrois=V1v")


def asking(fakes) -> Snapshot:
    past = (PastTrial(9, "face"), PastTrial(10, "house"), PastTrial(11, "face"))
    return replace(fakes.scan(), regions=REGIONS, past=past)


def opened(fakes, open_window, snapshot: Snapshot):
    puller = fakes.Puller(snapshot, fakes.volumes())
    puller.pictures = {"face": fakes.picture("#ff0000"), "house": fakes.picture("#00ff00")}
    window = open_window(puller)
    window.what_if_panel.show()
    window.refresh()
    return puller, window, window.what_if_panel


def test_a_key_or_a_button_opens_it_where_there_are_regions(fakes, open_window) -> None:
    window = open_window(fakes.Puller(asking(fakes), fakes.volumes()))
    assert not window.what_if_panel.isVisible()
    assert window.matches_panel.what_if.isVisible()
    QTest.mouseClick(window.matches_panel.what_if, Qt.MouseButton.LeftButton)
    assert window.what_if_panel.isVisible()
    window.what_if_panel.hide()
    QTest.keyClick(window, Qt.Key.Key_W)
    assert window.what_if_panel.isVisible()
    plain = open_window(fakes.Puller(fakes.scan(), fakes.volumes()))
    assert not plain.matches_panel.what_if.isVisible()


def test_nothing_is_asked_before_it_is_open(fakes, open_window) -> None:
    puller = fakes.Puller(asking(fakes), fakes.volumes())
    window = open_window(puller)
    window.refresh()
    assert puller.questions == []
    window.what_if_panel.show()
    window.refresh()
    assert puller.questions == [WhatIfQuestion(11, "streams=early", None)]
    window.refresh()
    assert len(puller.questions) == 1


def test_what_is_chosen_is_asked(fakes, open_window) -> None:
    puller, window, panel = opened(fakes, open_window, asking(fakes))
    assert [panel.trial.itemText(i) for i in range(panel.trial.count())] == [
        "the newest",
        "12: face",
        "11: house",
        "10: face",
    ]
    assert not panel.slider.isEnabled()
    panel.region.setCurrentText("streams=ventral")
    panel.change.setCurrentText("Raise")
    panel.slider.setValue(7)
    panel.trial.setCurrentIndex(2)
    assert panel.amount.text() == "+3.5 SD"
    assert puller.questions[-1] == WhatIfQuestion(10, "streams=ventral", 3.5)
    # A newer trial leaves the one that is chosen, and is followed where none is.
    puller.now = replace(puller.now, past=(*puller.now.past[1:], PastTrial(12, "house")))
    window.refresh()
    assert panel.question == WhatIfQuestion(10, "streams=ventral", 3.5)
    panel.trial.setCurrentIndex(0)
    assert puller.questions[-1].trial == 12
    puller.now = replace(puller.now, past=(*puller.now.past[1:], PastTrial(13, "house")))
    window.refresh()
    assert puller.questions[-1].trial == 13


def test_matches_before_and_after_are_drawn(fakes, open_window, tmp_path) -> None:
    puller, window, panel = opened(fakes, open_window, replace(asking(fakes), has_pictures=True))
    answer = WhatIfAnswer(
        WhatIfQuestion(11, "streams=early", None),
        (Match("face", 0.9), Match("house", 0.1)),
        (Match("house", 0.7), Match("face", 0.3)),
        "face",
        525,
        0.81,
    )
    puller.now = replace(puller.now, what_if=answer)
    window.refresh()
    assert panel.before.texts() == (("✓ face", "90.0 %"), ("house", "10.0 %"))
    assert panel.after.texts() == (("house", "70.0 %"), ("✓ face", "30.0 %"))
    assert panel.note.text() == (
        "Trial 12, face; streams=early silent; 525 voxels, cosine of the embeddings 0.810"
    )
    assert panel.grab().save(str(tmp_path / "what-if.png"))
    assert panel.before.cards[0].picture.has_picture
    # Pictures do not change faster than they can be seen.
    puller.now = replace(puller.now, what_if=replace(answer, cosine=0.5))
    panel.show_snapshot(puller.now, panel._drawn_s + HOLD_S / 2)
    assert "0.810" in panel.note.text()
    panel.show_snapshot(puller.now, panel._drawn_s + 2 * HOLD_S)
    assert "0.500" in panel.note.text()


def test_what_cannot_be_answered_is_told(fakes, open_window) -> None:
    puller, window, panel = opened(fakes, open_window, fakes.scan())
    assert panel.note.text().startswith("This session knows no regions")
    puller.now = replace(puller.now, regions=REGIONS)
    window.refresh()
    assert panel.note.text() == "No trial is over yet."
    puller.now = asking(fakes)
    window.refresh()
    assert panel.note.text() == "Decoding…"
    question = WhatIfQuestion(3, "streams=early", 2.0)
    puller.now = replace(puller.now, what_if=WhatIfAnswer(question, failure="its window is no longer kept"))
    window.refresh()
    assert panel.note.text().endswith("raised by 2 SD; its window is no longer kept")
