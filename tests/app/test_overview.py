"""What the plain command says of streams, bundles and what to type next."""

import shlex
from pathlib import Path

import pytest

from decode_stream.decoders.bundle import save_bundle
from decode_stream.overview import FoundBundle, FoundStream, find_bundles, overview, overview_text
from decode_stream.stream.lsl import open_marker_outlet, open_outlet
from decode_stream.stream.types import Channel
from tests.decoders.bundles import small_bundle

AMPLIFIER = FoundStream("BioSemi", "EEG", "b1", 64, 512.0, "lab")
MARKERS = FoundStream("Trigger", "Markers", "t1", 1, 0.0, "lab")
SCANNER = FoundStream("MR room", "MEG", "m1", 306, 1000.0, "meg-pc")
FACES = FoundBundle(Path("faces.bundle"), "faces.bundle: eeg, 63 ch, 200 candidates", "eeg", 63)


def commands(text: str) -> list[str]:
    lines = text.splitlines()
    return [line.split("  ")[1] for line in lines[lines.index("What to type next:") + 1 :]]


def test_what_was_found_and_what_to_type_is_told() -> None:
    text = overview_text([AMPLIFIER, MARKERS], [FACES], ("eeg", "meg"), None)
    assert text.splitlines() == [
        "Nothing to decode yet: no recording is named, and no stream or bundle.",
        "",
        "Streams on the network:",
        "  'BioSemi', type EEG, 64 ch @ 512 Hz, on lab",
        "  'Trigger', type Markers, 1 ch, irregular, on lab",
        "",
        "Bundles here:",
        "  faces.bundle: eeg, 63 ch, 200 candidates",
        "",
        "What to type next:",
        "  decode-stream --bundle faces.bundle --stream BioSemi  decode it live",
        "  decode-stream --stream BioSemi                        look at its signal",
        "  decode-stream --demo                                  see a demo: simulated EEG",
        "  decode-stream --demo --modality meg                   see a demo: simulated MEG",
        "  decode-stream --replay RECORDING                      play a recording and look at it",
    ]


def test_nothing_at_all_is_told_with_what_to_check() -> None:
    text = overview_text([], [], ("eeg",), None)
    assert "none answered; is the amplifier's LSL application running, and UDP port 16571 open?" in text
    assert commands(text) == [
        "decode-stream --demo",
        "decode-stream --replay RECORDING",
        "decode-stream train RECORDING... --modality eeg --out my.bundle",
    ]


def test_a_modality_narrows_all_of_it() -> None:
    text = overview_text([AMPLIFIER, MARKERS, SCANNER], [FACES], ("eeg", "meg"), "meg")
    assert "MEG streams on the network:\n  'Trigger'" in text
    assert "'MR room', type MEG, 306 ch @ 1000 Hz, on meg-pc" in text
    assert "BioSemi" not in text
    assert "faces" not in text
    assert "and 1 of another type" in text
    assert commands(text) == [
        "decode-stream --stream 'MR room'",
        "decode-stream --demo --modality meg",
        "decode-stream --replay RECORDING",
        "decode-stream train RECORDING... --modality meg --out my.bundle",
    ]


def test_streams_of_one_name_are_told_apart_by_their_ids() -> None:
    twin = FoundStream("BioSemi", "EEG", "b 2", 64, 512.0, "other")
    typed = commands(overview_text([AMPLIFIER, twin], [], (), None))
    assert typed[:2] == ["decode-stream --source-id b1", "decode-stream --source-id 'b 2'"]


@pytest.mark.parametrize(
    ("stream", "fits"),
    [
        (AMPLIFIER, True),
        (SCANNER, False),
        (FoundStream("amp", "", "x", 63, 250.0, "lab"), True),
        (FoundStream("amp", "eeg", "x", 32, 250.0, "lab"), False),
    ],
)
def test_a_bundle_is_proposed_for_streams_that_may_have_its_channels(stream: FoundStream, fits: bool) -> None:
    assert FACES.fits(stream) is fits
    assert not FoundBundle(Path("bad.bundle"), "cannot be read").fits(stream)


def test_volumes_are_told_by_the_time_between_them() -> None:
    assert str(FoundStream("scanner", "fMRI", "s", 9000, 0.75, "lab")).endswith(
        "9000 ch every 1.333 s, on lab"
    )


def test_bundles_are_found_in_the_folder_and_in_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    here = tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    save_bundle(small_bundle(), elsewhere / "one.bundle")
    save_bundle(small_bundle(), here / "two.bundle.zip")
    (here / "three.bundle").mkdir()
    (here / "notes.zip").touch()
    (here / "decode-stream.toml").write_text(
        f"[evaluate]\nbundle = '{elsewhere / 'one.bundle'}'\n[train]\nout = 'two.bundle.zip'\nseed = 1\n"
    )
    found = find_bundles(here)
    assert [bundle.path for bundle in found] == [
        Path("three.bundle"),
        Path("two.bundle.zip"),
        elsewhere / "one.bundle",
    ]
    assert found[0].modality == ""
    assert "is a folder without bundle.json" in found[0].words
    assert found[1].modality == "eeg"
    assert found[1].words.startswith("two.bundle.zip: eeg, ")


def test_a_configuration_that_cannot_be_read_names_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "decode-stream.toml").write_text("bundle = ")
    assert find_bundles(tmp_path) == []


@pytest.mark.lsl
def test_streams_on_the_network_are_found(
    source_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"amplifier of {source_id}"
    channels = [Channel(f"C{k}", "eeg", "uV") for k in range(4)]
    outlets = open_outlet(name, "EEG", channels, 250.0, source_id), open_marker_outlet("m", f"{source_id}-m")
    text = overview("eeg")
    assert f"  {name!r}, type EEG, 4 ch @ 250 Hz, on " in text
    assert f"decode-stream --stream {shlex.quote(name)}" in commands(text)
    del outlets
