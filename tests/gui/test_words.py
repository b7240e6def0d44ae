from dataclasses import replace

import pytest

from decode_stream.gui import words
from decode_stream.gui.snapshot import STATES, Accuracy, Match, Progress, Snapshot, Stimulus


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_every_text_can_be_read_on_both_grounds():
    colours = {words.TEXT, words.MUTED, words.TRACE, words.TRUTH, words.CHANCE, words.MARKER, words.WARNING}
    colours |= {mark.colour for mark in words.STATE_MARKS.values()}
    for ground in (words.BACKGROUND, words.SURFACE):
        assert {
            colour: contrast(colour, ground) for colour in colours if contrast(colour, ground) < 4.5
        } == {}


def test_each_state_has_a_shape_of_its_own():
    assert set(words.STATE_MARKS) == set(STATES)
    assert len({mark.shape for mark in words.STATE_MARKS.values()}) == len(STATES)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("idle", "○ idle"),
        ("searching", "◌ searching 12 s"),
        ("connected", "● connected"),
        ("decoding", "◆ decoding"),
        ("stalled", "▲ stalled 2.3 s"),
        ("lost", "■ lost 2 s"),
        ("ended", "□ ended"),
    ],
)
def test_a_state_is_told_with_shape_and_time(fakes, state, text):
    assert words.state_text(fakes.snapshot(state)) == text


@pytest.mark.parametrize(
    ("time_s", "text"), [(0.0, "0:00"), (42.9, "0:42"), (605.0, "10:05"), (3661, "1:01:01")]
)
def test_a_clock_is_short(time_s, text):
    assert words.clock_text(time_s) == text


def test_accuracy_is_told_with_interval_n_and_auc(fakes):
    text = words.accuracy_text(fakes.accuracy(n=120))
    assert text.startswith("top-1 0.")
    assert " · n = 120 · AUC 0.78" in text
    assert "AUC" not in words.accuracy_text(fakes.accuracy(auc=None))
    assert words.accuracy_text(Accuracy()) == "no trial scored yet"


@pytest.mark.parametrize(("k", "text"), [(2, "chance 0.50"), (50, "chance 0.02"), (200, "chance 0.005")])
def test_chance_is_never_told_as_zero(k, text):
    assert words.chance_text(Accuracy(k=k)) == text


def test_every_dropped_thing_is_told():
    progress = Progress(lost=1, duplicate=2, windows_withheld=3, windows_skipped=4, non_finite=5, reordered=6)
    assert words.drops(progress) == (("lost", 1), ("duplicate", 2), ("withheld", 3), ("skipped", 4))
    assert words.rare_drops(progress) == "reordered 6 · non-finite 5"
    assert words.rare_drops(Progress()) == ""


@pytest.mark.parametrize(
    ("sfreq_hz", "modality", "rate_hz", "told"),
    [
        (250.0, "eeg", 249.8, ("rate", "250 Hz")),
        (0.75, "fmri", 0.75, ("1 volume every", "1.33 s")),
        (0.4, "fmri", 0.4, ("1 volume every", "2.50 s")),
        (2.0, "eeg", 2.0, ("1 sample every", "0.50 s")),
        (0.75, "fmri", 0.0, ("1 volume every", "—")),
        (0.0, "", 0.0, ("rate", "0 Hz")),
    ],
)
def test_a_rate_is_told_as_people_know_it(sfreq_hz, modality, rate_hz, told):
    assert words.rate_text(Snapshot("decoding", 0.0, sfreq_hz=sfreq_hz, modality=modality), rate_hz) == told


@pytest.mark.parametrize(
    ("sfreq_hz", "age_ms", "text"),
    [(250.0, 4.2, "4 ms"), (250.0, 2345.0, "2.3 s"), (0.75, 812.0, "0.8 s"), (250.0, None, "—")],
)
def test_an_age_is_told_in_the_unit_that_counts(sfreq_hz, age_ms, text):
    assert words.age_text(Snapshot("decoding", 0.0, sfreq_hz=sfreq_hz, age_ms=age_ms)) == text


def test_the_stimulus_is_told_or_why_there_is_none(fakes):
    decoding = fakes.snapshot("decoding")
    assert words.stimulus_text(fakes.snapshot("connected")) == "no marker yet"
    assert words.stimulus_text(decoding) == "nothing shown"
    unknown = replace(decoding, stimulus=Stimulus("17", False))
    assert (words.stimulus_text(unknown), words.stimulus_note(unknown)) == ("17", "not in the gallery")
    # Without a bundle there is no gallery that could lack it.
    assert words.stimulus_note(replace(unknown, bundle="")) == ""


def test_the_truth_has_a_check_mark():
    assert words.match_name(Match("face", 0.5), "face") == "✓ face"
    assert words.match_name(Match("face", 0.5), "") == "face"
    assert words.percent_text(0.8664) == "86.6 %"
