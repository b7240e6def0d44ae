from dataclasses import replace

import pytest

from decode_stream.gui.reconstruction_words import (
    age_of_text,
    made_text,
    nearest_text,
    no_picture,
    open_text,
    reconstruction_text,
    settled_text,
    was_shown_text,
)
from decode_stream.gui.snapshot import UNLIKE_TRAINING, Stimulus


def drawing(fakes, **changes):
    drawn = replace(fakes.reconstruction(), **changes)
    return replace(fakes.snapshot("decoding"), generator="scenes", reconstruction=drawn)


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [(4.4, "4 ms"), (132.0, "130 ms"), (994.0, "990 ms"), (1000.0, "1.0 s"), (5230.0, "5.2 s")],
)
def test_an_age_is_told_as_finely_as_it_can_be_read(fakes, age_ms, text):
    assert age_of_text(replace(fakes.reconstruction(), age_ms=age_ms)) == text


def test_what_is_not_known_is_a_dash(fakes):
    unknown = replace(fakes.reconstruction(), age_ms=float("nan"), draw_ms=float("nan"), n_steps=4)
    assert age_of_text(unknown) == "—"
    assert made_text(unknown) == "4 steps, —"
    assert nearest_text(replace(unknown, nearest=b"")) == "no picture of the training is at hand"


def test_the_share_that_is_settled_and_the_rest_make_a_whole(fakes):
    for percent in range(101):
        drawn = replace(fakes.reconstruction(), confidence=percent / 100)
        assert settled_text(drawn) == f"{percent} % settled"
        rest = open_text(drawn).split(" ")[0]
        assert rest == (f"{100 - percent}" if percent < 100 else "nothing")


def test_a_session_in_one_line(fakes):
    assert reconstruction_text(drawing(fakes)) == (
        "trial 12, up to 350 ms after onset · 62 % settled · 130 ms old · 1 step, 38 ms"
    )
    held = reconstruction_text(drawing(fakes, held="generator failed: x"))
    assert held.startswith("❚❚ held: generator failed: x · trial 12")


def test_why_there_is_no_picture(fakes):
    decoding = fakes.snapshot("decoding")
    reasons = {
        "no generator": decoding,
        "watching only: no bundle": replace(decoding, bundle=""),
        "nothing known yet": replace(decoding, generator="scenes"),
        "nothing settled": drawing(fakes, confidence=0.004),
        "unlike the training": drawing(fakes, held=UNLIKE_TRAINING),
        "no picture": drawing(fakes, number=0, confidence=0.0, held="generator failed: x"),
    }
    for words, snapshot in reasons.items():
        why = no_picture(snapshot)
        assert why is not None
        assert why.words == words
        assert reconstruction_text(snapshot) == f"{why.shape} {words}: {why.meaning}"
    assert no_picture(drawing(fakes)) is None
    assert no_picture(drawing(fakes, held="generator failed: x")) is None


def test_what_was_shown_is_told_where_the_stimulus_has_gone_on(fakes):
    drawn = replace(fakes.reconstruction(), of="trial 120, decided")
    now = replace(fakes.snapshot("decoding"), stimulus=Stimulus("house", True))
    assert (now.matches_of, now.truth) == ("trial 120, up to 350 ms after onset", "face")
    assert was_shown_text(now, drawn) == "was shown: face"
    assert was_shown_text(replace(now, stimulus=None), drawn) == "was shown: face"
    assert was_shown_text(replace(now, stimulus=Stimulus("face", True)), drawn) == ""
    assert was_shown_text(now, replace(drawn, of="trial 119, decided")) == ""
    assert was_shown_text(replace(now, truth=""), drawn) == ""
