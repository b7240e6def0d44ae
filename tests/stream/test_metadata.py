import pylsl
import pytest

from decode_stream.stream.metadata import (
    channel_type,
    read_description,
    write_channels,
    write_replay,
)
from decode_stream.stream.types import Channel


@pytest.mark.parametrize(
    ("text", "unit", "word"),
    [
        ("EEG", "uV", "eeg"),
        ("MEG", "T", "mag"),
        ("MEG", "T/m", "grad"),
        ("MAG", "", "mag"),
        ("GRAD", "", "grad"),
        ("TRIG", "", "stim"),
        ("STIM", "", "stim"),
        ("AUX", "", "misc"),
        ("misc", "", "misc"),
        ("EKG", "", "ecg"),
        ("REF_MEG", "", "ref_meg"),
        ("ref-meg", "", "ref_meg"),
        ("", "", "misc"),
    ],
)
def test_channel_types_are_mnes_words(text: str, unit: str, word: str) -> None:
    assert channel_type(text, unit) == word


def make_info(n_channels: int, type_: str = "EEG", rate_hz: float = 512.0) -> pylsl.StreamInfo:
    return pylsl.StreamInfo("s", type_, n_channels, rate_hz, "float32", "id")


def test_what_is_written_is_read_back() -> None:
    channels = (
        Channel("Cz", "eeg", "uV", (0.001, -0.02, 0.0951)),
        Channel("STI", "stim"),
        Channel("M1", "mag", "fT"),
        Channel("G1", "grad", "T/m"),
    )
    info = make_info(4)
    write_channels(info, channels)
    replay = {"speed": repr(4.0), "n_samples": 12345, "marker_source_id": "m", "loop": "false"}
    write_replay(info, replay)
    said, notes = read_description(info)
    assert notes == ()
    assert [(c.name, c.type, c.unit) for c in said.channels] == [(c.name, c.type, c.unit) for c in channels]
    assert said.channels[0].position_m == pytest.approx(channels[0].position_m, abs=1e-12)
    assert said.channels[1].position_m is None
    assert (said.sfreq_hz, said.speed, said.n_samples, said.marker_source_id) == (128.0, 4.0, 12345, "m")


def test_channels_without_names_are_numbered_and_told() -> None:
    said, notes = read_description(make_info(2))
    assert said.channels == (Channel("ch1", "eeg"), Channel("ch2", "eeg"))
    assert len(notes) == 1
    assert "does not name its channels" in notes[0]


def test_a_description_of_the_wrong_length_is_not_believed() -> None:
    info = make_info(3, "MEG")
    write_channels(info, [Channel("only")])
    said, notes = read_description(info)
    assert [c.name for c in said.channels] == ["ch1", "ch2", "ch3"]
    assert {c.type for c in said.channels} == {"mag"}
    assert "describes 1 of its 3 channels" in notes[0]


def test_positions_written_in_metres_are_taken_as_metres() -> None:
    info = make_info(1)
    element = info.desc().append_child("channels").append_child("channel")
    element.append_child_value("label", "Cz")
    location = element.append_child("location")
    for axis, value in zip("XYZ", ("0.0", "0.01", "0.095"), strict=True):
        location.append_child_value(axis, value)
    said, _ = read_description(info)
    assert said.channels[0].position_m == (0.0, 0.01, 0.095)


def test_nonsense_in_a_replays_description_is_ignored() -> None:
    info = make_info(1)
    write_replay(info, {"speed": "fast", "n_samples": "-3"})
    said, _ = read_description(info)
    assert (said.speed, said.n_samples, said.sfreq_hz) == (1.0, None, 512.0)
