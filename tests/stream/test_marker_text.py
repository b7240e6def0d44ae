import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.stream.marker_text import MarkerText, read_marker_text, write_marker_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("12", MarkerText("12")),
        ("house", MarkerText("house")),
        ("", MarkerText("")),
        ('{"id": 12}', MarkerText("12")),
        ('{"id": -1, "concept": "aardvark"}', MarkerText("-1", "aardvark")),
        ('{"id": "a7", "image": "x/y.jpg", "split": "test"}', MarkerText("a7", "", "x/y.jpg", "test")),
        ('{"concept": "aardvark", "onset": 3.5}', MarkerText("aardvark", "aardvark")),
        ('{"id": 12, "duration_s": 3.5}', MarkerText("12", duration_s=3.5)),
        ('{"id": 12, "duration_s": 0}', MarkerText("12", duration_s=0.0)),
        ('{"id": 12, "duration_s": -1}', MarkerText("12")),
        ('{"id": 12, "duration_s": NaN}', MarkerText("12")),
        ('{"id": 12, "duration_s": "long"}', MarkerText("12")),
        ('{"image": "x.jpg"}', MarkerText("x.jpg", "", "x.jpg")),
        # What tells of no stimulus is a label as it stands.
        ('{"id": true}', MarkerText('{"id": true}')),
        ('{"id": 1.5}', MarkerText('{"id": 1.5}')),
        ('{"id": 12', MarkerText('{"id": 12')),
        ("{}", MarkerText("{}")),
        ('{"a":' * 100_000, MarkerText('{"a":' * 100_000)),
        ('{"id": ' + "9" * 5000 + "}", MarkerText('{"id": ' + "9" * 5000 + "}")),
        ('["id", 12]', MarkerText('["id", 12]')),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_label_is_taken_as_it_stands_and_json_for_what_it_says(text: str, said: MarkerText) -> None:
    assert read_marker_text(text) == said


def test_what_is_written_is_json_with_numbers_for_ids() -> None:
    marker = MarkerText("12", "aardvark", "00001_aardvark/aardvark_01b.jpg", "train")
    assert write_marker_text(marker) == (
        '{"id": 12, "concept": "aardvark", "image": "00001_aardvark/aardvark_01b.jpg", "split": "train"}'
    )
    assert write_marker_text(MarkerText("007")) == '{"id": "007"}'
    assert write_marker_text(MarkerText("7", duration_s=2.5)) == '{"id": 7, "duration_s": 2.5}'


texts = st.text(max_size=20)


@given(label=st.text(min_size=1, max_size=20), concept=texts, image=texts, split=texts)
def test_what_is_written_is_read(label: str, concept: str, image: str, split: str) -> None:
    marker = MarkerText(label, concept, image, split)
    assert read_marker_text(write_marker_text(marker)) == marker
