"""Settings: their rules, and where they come from."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.cli import main
from decode_stream.config import GalleryConfig, SessionConfig, TrainConfig, parse_events
from decode_stream.stream.errors import UsageError

NAMES = st.text("abcXYZ019 -_", min_size=1).filter(lambda text: text == text.strip())


def test_events_name_codes() -> None:
    assert parse_events(None) is None
    assert parse_events("1=house,2=face") == {"1": "house", "2": "face"}
    assert parse_events(" 1 = red square , go=face ") == {"1": "red square", "go": "face"}
    assert parse_events("1=a=b") == {"1": "a=b"}
    assert parse_events("1=face,2=face") == {"1": "face", "2": "face"}


def test_captions_belong_to_a_target_of_texts() -> None:
    texts, pictures = "clamp-1.5:open_clip_text:ViT-B-32:w.pt", "open_clip:ViT-B-32:w.pt"
    TrainConfig(modality="eeg", out=Path("x"), captions=Path("c"), target=texts)
    GalleryConfig(bundle=Path("x"), captions=Path("c"), target=texts)
    with pytest.raises(UsageError, match="--captions belongs to --target open_clip_text"):
        TrainConfig(modality="eeg", out=Path("x"), captions=Path("c"), target=pictures)
    with pytest.raises(UsageError, match="--captions belongs to --target open_clip_text"):
        GalleryConfig(bundle=Path("x"), captions=Path("c"), target=pictures)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 1}, "--batch-size is 1; it must be 3 or more.*Give --batch-size 3, or leave it out"),
        ({"batch_size": 2}, "--batch-size is 2; it must be 3 or more"),
        ({"epochs": 0}, "--epochs is 0; it must be 1 or more"),
    ],
)
def test_a_training_that_could_learn_nothing_is_refused(settings: dict[str, int], words: str) -> None:
    TrainConfig(modality="eeg", out=Path("x"), epochs=1, batch_size=3)
    with pytest.raises(UsageError, match=words):
        TrainConfig(modality="eeg", out=Path("x"), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"generator_seed": -1}, "--generator-seed is -1; seeds count from 0"),
        ({"generator": Path("none"), "steps": 2}, "--generator none draws none; leave them out"),
        ({"generator": Path("none"), "generator_seed": 2}, "--generator none draws none; leave them out"),
        ({"generator": Path("g.zip")}, "--generator draws what a bundle decodes: give --bundle PATH"),
    ],
)
def test_flags_of_pictures_that_do_not_go_together_are_refused(settings: dict[str, Any], words: str) -> None:
    SessionConfig(generator=Path("g.zip"), demo=True, steps=4, generator_seed=3)
    with pytest.raises(UsageError, match=words):
        SessionConfig(**settings)


@given(st.dictionaries(NAMES, NAMES, min_size=1))
def test_events_are_read_as_they_are_written(events: dict[str, str]) -> None:
    assert parse_events(",".join(f"{code}={name}" for code, name in events.items())) == events


@pytest.mark.parametrize("text", ["", "1", "1=", "=face", "1=a,", "1=a,,2=b", "1=a,1=b", "house face"])
def test_events_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--events is .* write CODE=NAME") as refused:
        parse_events(text)
    assert repr(text) in str(refused.value)
    with pytest.raises(UsageError, match="--events"):
        SessionConfig(events=text)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"wait_s": -0.1}, "--wait-s is -0.1; it must be 0 or more"),
        ({"wait_s": float("nan")}, "--wait-s is nan"),
        ({"demo": True, "start_s": -1.0}, "--start-s is -1; it must be 0 or more"),
        ({"demo": True, "speed": 0.0}, "--speed is 0; it must lie between 0.01 and 100"),
        ({"demo": True, "speed": 101.0}, "--speed is 101"),
        ({"demo": True, "speed": float("inf")}, "--speed is inf"),
        ({"duration_s": 0.0}, "--duration-s is 0; it must be above 0"),
        ({"duration_s": float("nan")}, "--duration-s is nan"),
        ({"demo": True, "replay": Path("x.csv")}, "leave out --replay"),
        ({"loop": True}, "belong to --replay RECORDING"),
        ({"start_s": 2.0}, "belong to --replay RECORDING"),
        ({"speed": 2.0}, "belong to --replay RECORDING"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        SessionConfig(**settings)  # type: ignore[arg-type]
    assert words in str(refused.value)


def test_the_extremes_are_allowed() -> None:
    SessionConfig(replay=Path("x.csv"), loop=True, start_s=3.0, speed=100.0, wait_s=0.0, duration_s=0.001)
    SessionConfig(demo=True, speed=0.01)


# Files


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run command lines in an empty folder, and return the settings that a session is given."""
    given: list[SessionConfig] = []

    def note(config: SessionConfig) -> int:
        given.append(config)
        return 0

    monkeypatch.setattr("decode_stream.sessions.run.run_session", note)
    monkeypatch.chdir(tmp_path)

    def ask(*tokens: str) -> SessionConfig:
        monkeypatch.setattr(sys, "argv", ["decode-stream", *tokens])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return given.pop()

    return ask


def test_a_file_in_the_working_folder_is_read_and_flags_win(asked, tmp_path: Path) -> None:
    assert asked() == SessionConfig()
    lines = 'demo = true\nspeed = 2.0\nmarker-offset-ms = -12.5\nmodality = "eeg"\n'
    (tmp_path / "decode-stream.toml").write_text(lines)
    assert asked() == SessionConfig(demo=True, speed=2.0, marker_offset_ms=-12.5, modality="eeg")
    config = asked("--speed", "4", "--modality", "meg", "--headless")
    assert (config.speed, config.modality, config.headless, config.demo) == (4.0, "meg", True, True)


def test_a_file_of_a_folder_above_is_read(asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decode-stream.toml").write_text("wait-s = 3.0\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert asked().wait_s == 3.0


@pytest.mark.parametrize("form", [["--config", "other.toml"], ["--config=other.toml"]])
def test_a_file_that_is_named_is_read_instead(asked, tmp_path: Path, form: list[str]) -> None:
    (tmp_path / "decode-stream.toml").write_text("wait-s = 3.0\nheadless = true\n")
    (tmp_path / "other.toml").write_text("wait-s = 4.0\n")
    assert asked(*form) == SessionConfig(wait_s=4.0)
    assert asked(*form, "--wait-s", "5") == SessionConfig(wait_s=5.0)
    assert asked("--wait-s", "5", *form) == SessionConfig(wait_s=5.0)


def test_the_recording_of_a_file_is_replayed(asked, tmp_path: Path) -> None:
    (tmp_path / "decode-stream.toml").write_text('replay = "run.csv"\nloop = true\n')
    assert asked() == SessionConfig(replay=Path("run.csv"), loop=True)
    assert asked("--replay", "other.csv").replay == Path("other.csv")
    assert asked("--replay=other.csv").replay == Path("other.csv")
    assert asked("--demo") == SessionConfig(demo=True, loop=True)


def test_the_bundle_of_a_file_is_none_of_a_demo(asked, tmp_path: Path) -> None:
    (tmp_path / "decode-stream.toml").write_text('bundle = "own.zip"\n')
    assert asked() == SessionConfig(bundle=Path("own.zip"))
    assert asked("--demo") == SessionConfig(demo=True)
    assert asked("--demo", "--bundle", "named.zip") == SessionConfig(demo=True, bundle=Path("named.zip"))


def test_the_section_of_another_command_is_left_alone(asked, tmp_path: Path) -> None:
    (tmp_path / "decode-stream.toml").write_text('wait-s = 3.0\n[train]\nmodel = "lda"\n')
    assert asked() == SessionConfig(wait_s=3.0)


@pytest.mark.parametrize(
    ("lines", "tells"),
    [
        ("hedless = true", ("hedless", "Did you mean --headless?", "bad.toml")),
        ("speed = 'fast'", ("speed", '"fast"', "bad.toml")),
        ("demo = true\nspeed = 0", ("--speed is 0",)),
        ("demo = ", ("bad.toml", "cannot be read", "headless = true")),
        ("[session]\ndemo = true", ("session", "bad.toml")),
    ],
)
def test_a_file_with_a_mistake_is_told(
    lines: str,
    tells: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    Path("bad.toml").write_text(lines)
    monkeypatch.setattr(sys, "argv", ["decode-stream", "--config", "bad.toml"])
    with pytest.raises(SystemExit) as ended:
        main()
    text = "".join(capsys.readouterr())
    assert ended.value.code == 2
    assert "Traceback" not in text
    for words in tells:
        assert words in text
