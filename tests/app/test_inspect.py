import json
from pathlib import Path

import pytest

from decode_stream.cli import app
from decode_stream.stream.errors import RecordingError

CSV = "timestamps,Oz,Marker0\n" + "".join(f"{i / 250:.3f},{i},{5 * (i == 9)}\n" for i in range(500))


def test_a_recording_is_inspected_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.csv").write_text(CSV)
    app(
        ["convert", str(tmp_path / "run.csv"), "--out", str(tmp_path / "run.recording")],
        result_action="return_value",
    )
    assert "500 samples of 1 channels, 1 presentations" in capsys.readouterr().out
    for name, layout in (("run.csv", "CSV recorded from LSL"), ("run.recording", "converted recording")):
        out = tmp_path / "out.json"
        code = app(["inspect", str(tmp_path / name), "--json", str(out)], result_action="return_value")
        found = json.loads(out.read_text())
        assert code == 0
        assert found["layout"] == layout
        assert found["sound"]
        assert found["facts"]["rate"] == "250 Hz"
        assert found["facts"]["distinct ids"] == "1"
        assert layout in capsys.readouterr().out


def test_the_folder_one_stands_in_gives_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.csv").write_text(CSV)
    folder = tmp_path / "run.recording"
    app(["convert", str(tmp_path / "run.csv"), "--out", str(folder)], result_action="return_value")
    monkeypatch.chdir(folder)
    app(["convert", "."], result_action="return_value")
    assert (folder / "run.recording" / "recording.json").is_file()


def test_what_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="It holds no recording either"):
        app(["inspect", str(tmp_path)], result_action="return_value")
