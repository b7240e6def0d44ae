import pytest

from decode_stream.gui import words
from decode_stream.gui.snapshot import STATES, Accuracy, Progress


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
