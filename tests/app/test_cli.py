"""The command line: every wrong order ends in one clear message, and every end is written down."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from decode_stream import __version__
from decode_stream.cli import main
from decode_stream.decoders.bundle import save_bundle
from decode_stream.stream.filters import ChainSpec
from tests.app.recordings import write_csv
from tests.app.summaries import check_keys
from tests.decoders.bundles import edit_manifest, small_bundle

#: Runs a command line; returns its exit code, and what it wrote to either stream.
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run command lines in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")  # no message is broken over lines

    def run(*tokens: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["decode-stream", *map(str, tokens)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out + captured.err

    return run


def refused(run: Run, *tokens: object, tells: tuple[str, ...], code: int = 2) -> None:
    """Assert that a command line is refused in one message that tells what is wrong and what to do."""
    got, text = run(*tokens)
    assert got == code, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith(("decode-stream: ", "╭─ Error"))]
    assert len(lines) == 1, text
    for words in tells:
        assert words in text


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the path of a bundle for the recordings of `write_csv`."""
    chain = ChainSpec(("Oz", "Pz"), ("uV", "uV"), 128.0)
    save_bundle(small_bundle(chain=chain), tmp_path / "small.bundle")
    return tmp_path / "small.bundle"


# Options


@pytest.mark.parametrize(
    ("tokens", "tells"),
    [
        ((), ("Nothing to decode", "--replay RECORDING", "--demo")),
        (("--modality", "egg"), ('"egg"', "--modality", "eeg", "meg")),
        (("--headles",), ("--headles", "Did you mean --headless?")),
        (("--demo", "--speed", "0"), ("--speed is 0", "between 0.01 and 100")),
        (("--demo", "--speed", "nan"), ("--speed is nan", "between 0.01 and 100")),
        (("--demo", "--duration-s", "0"), ("--duration-s is 0", "above 0")),
        (("--demo", "--duration-s", "soon"), ("--duration-s", '"soon"')),
        (("--demo", "--wait-s", "-1"), ("--wait-s is -1", "0 or more")),
        (("--loop",), ("--loop", "belong to --replay RECORDING")),
        (("--start-s", "3"), ("--start-s", "belong to --replay RECORDING")),
        (("--demo", "--replay", "x.csv"), ("--demo", "leave out --replay")),
        (("--replay", "missing.csv"), ("no recording at missing.csv",)),
        (("--bundle", "missing.bundle"), ("no bundle at missing.bundle", "decode-stream train")),
        (("--demo", "--provider", "quantum"), ('"quantum"', "auto", "cpu", "cuda", "tensorrt-engine")),
        (("--demo", "--events", "1"), ("--events is '1'", "CODE=NAME", "1=house,2=face")),
        (("--demo", "--events", "1=a,1=b"), ("--events is '1=a,1=b'", "different codes")),
        (("--demo", "--events", "1=zebra"), ("--events names zebra", "gallery", "rooster")),
        (("--demo", "--json", "no/where.json"), ("--json no/where.json", "folder must exist")),
        (("--demo", "--json", "."), ("--json .", "must not be one itself")),
        (("--demo", "--config", "missing.toml"), ("no configuration file at missing.toml",)),
        (("--demo", "--config"), ("--config needs a file",)),
        (("train", "x.csv"), ("--modality", "requires")),
        (("train", "--modality", "eeg", "--out", "x"), ("RECORDINGS", "requires")),
        (("evaluate", "x.csv"), ("--bundle", "requires")),
        (("replay", "missing.csv"), ("missing.csv does not exist",)),
        (("replay", "x.csv", "--speed", "0"), ("speed", "above 0", "got 0")),
        (("replay", "x.csv", "--stall", "60"), ("--stall is '60'", "AT:LENGTH", "--stall 60:2.5")),
        (("replay", "x.csv", "--drop", "2"), ("--drop is 2", "from 0 to below 1")),
        (("replay", "x.csv", "--marker-format", "xml"), ('"xml"', "--marker-format", "json")),
    ],
)
def test_a_wrong_order_is_refused(run: Run, tokens: tuple[str, ...], tells: tuple[str, ...]) -> None:
    refused(run, *tokens, tells=tells)


def test_a_modality_that_is_not_the_bundles_is_refused(run: Run, bundle: Path) -> None:
    tells = ("--modality is meg", "trained on eeg", "--modality eeg")
    refused(run, "--bundle", bundle, "--modality", "meg", tells=tells)


@pytest.mark.parametrize("modality", ["eeg", "meg", "fmri"])
def test_a_demo_that_is_not_installed_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modality: str
) -> None:
    monkeypatch.setattr("decode_stream.demos.demo._folder", lambda: tmp_path)
    refused(run, "--demo", "--modality", modality, tells=(f"demo of {modality}", f"{modality}.bundle.zip"))


def test_a_provider_that_is_not_there_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decode_stream.decoders.inference.providers.no_gpu", lambda: "no NVIDIA driver")
    tells = ("'cuda'", "no NVIDIA driver", "this machine has: cpu", "doctor")
    refused(run, "--demo", "--provider", "cuda", tells=tells)


def test_a_demo_is_decoded_by_the_bundle_that_is_named(run: Run, tmp_path: Path) -> None:
    refused(run, "--demo", "--bundle", tmp_path / "own.zip", tells=("There is no bundle at", "own.zip"))


def test_version_and_help_are_told(run: Run) -> None:
    assert run("--version") == (0, f"{__version__}\n")
    code, text = run("--help")
    assert code == 0
    assert "--marker-offset-ms" in text
    assert "train" in text


# Bundles


def test_a_bundle_with_a_changed_byte_is_refused(run: Run, bundle: Path) -> None:
    encoder = bundle / "encoder.onnx"
    data = bytearray(encoder.read_bytes())
    data[len(data) // 2] ^= 1
    encoder.write_bytes(data)
    recording = write_csv(bundle.parent / "run.csv")
    tells = ("encoder.onnx", "small.bundle", "SHA-256", "Copy it again")
    refused(run, "--bundle", bundle, "--replay", recording, "--headless", tells=tells)
    refused(run, "evaluate", recording, "--bundle", bundle, tells=tells)


def test_a_bundle_of_an_unknown_schema_is_refused(run: Run, bundle: Path) -> None:
    edit_manifest(bundle, schema=99)
    refused(run, "--bundle", bundle, tells=("schema 99", "newer decode-stream"))


# Recordings


def bad_recordings(folder: Path) -> dict[str, tuple[str, ...]]:
    """Write recordings that cannot be read, and return what is told of each."""
    (folder / "empty.csv").touch()
    (folder / "header.csv").write_text("timestamps,Oz,Pz,Cz,Marker0\n")
    (folder / "text.csv").write_text("what,is,this\n1,2,3\n")
    (folder / "notes.txt").write_text("no signal")
    whole = write_csv(folder / "whole.fif.csv").read_bytes()
    (folder / "cut.fif").write_bytes(whole[:100])
    return {
        "empty.csv": ("empty.csv is empty",),
        "header.csv": ("header.csv", "no samples"),
        "text.csv": ("text.csv", "timestamps"),
        "notes.txt": ("notes.txt", "no kind known"),
        "cut.fif": ("cut.fif",),
        "missing.csv": ("missing.csv does not exist",),
    }


def test_recordings_that_cannot_be_read_are_refused(run: Run, bundle: Path) -> None:
    for name, tells in bad_recordings(bundle.parent).items():
        refused(run, "evaluate", name, "--bundle", bundle, tells=tells)
        refused(run, "train", name, name[::-1], "--modality", "eeg", "--out", "new.bundle", tells=tells)
    assert not Path("new.bundle").exists()


@pytest.mark.lsl
def test_a_recording_that_cannot_be_replayed_is_refused(run: Run, tmp_path: Path) -> None:
    tells = bad_recordings(tmp_path)["header.csv"]
    summary = tmp_path / "out.json"
    code, text = run("--replay", tmp_path / "header.csv", "--headless", "--json", summary)
    assert code == 2
    assert "Traceback" not in text
    assert all(words in text for words in tells)
    written = json.loads(summary.read_text())
    assert written["exit"] == 2
    assert "no samples" in written["error"]
    assert written["stream"] is None


def test_a_recording_cut_off_in_its_last_row_is_used_and_told(run: Run, bundle: Path) -> None:
    path = write_csv(bundle.parent / "cut.csv")
    path.write_text(path.read_text()[:-9])
    code, text = run("evaluate", path, "--bundle", bundle)
    assert code == 0
    assert "top-1" in text


def test_a_marker_column_that_does_not_exist_is_refused(run: Run, bundle: Path) -> None:
    path = write_csv(bundle.parent / "run.csv")
    tells = ("no marker column 'Trigger'", "Marker0")
    refused(run, "evaluate", path, "--bundle", bundle, "--marker-column", "Trigger", tells=tells)


def test_names_that_the_gallery_lacks_are_refused(run: Run, bundle: Path) -> None:
    path = write_csv(bundle.parent / "run.csv")
    tells = ("--events names hose", "house, face")
    refused(run, "evaluate", path, "--bundle", bundle, "--events", "1=hose,2=face", tells=tells)


def test_missing_channels_are_named(run: Run, bundle: Path) -> None:
    path = write_csv(bundle.parent / "other.csv", channels=("O1", "Pz", "Cz"))
    tells = ("other.csv does not fit 'small'", "lacks 1 of the decoder's 2 channels: Oz", "O1, Pz, Cz")
    refused(run, "evaluate", path, "--bundle", bundle, tells=tells)


def test_markers_that_name_nothing_are_counted(run: Run, bundle: Path) -> None:
    path = write_csv(bundle.parent / "other.csv", codes=(7, 8))
    tells = ("No trial could be scored", "other.csv: 9 markers, of these 9 unknown", "--events")
    refused(run, "evaluate", path, "--bundle", bundle, tells=tells)


def test_a_summary_that_cannot_be_written_is_told_first(run: Run, bundle: Path) -> None:
    path = write_csv(bundle.parent / "run.csv")
    code, text = run("evaluate", path, "--bundle", bundle, "--json", "no/where.json")
    assert code == 2
    assert "--json no/where.json" in text
    assert "top-1" not in text


def test_evaluate_writes_what_it_tells(run: Run, bundle: Path) -> None:
    paths = [write_csv(bundle.parent / f"run-{i}.csv", seed=i) for i in range(2)]
    code, text = run("evaluate", *paths, "--bundle", bundle, "--json", "scores.json")
    assert code == 0
    scores = json.loads(Path("scores.json").read_text())
    assert f"n = {scores['accuracy']['n']}" in text
    assert scores["accuracy"]["n"] == len(scores["per_trial"]) == 18
    assert {row["run"] for row in scores["per_trial"]} == {0, 1}
    assert scores["accuracy"]["top1"] > 0.8


def test_runs_that_the_decoder_was_trained_on_are_told_by_what_they_hold(run: Run, tmp_path: Path) -> None:
    one, two, three = (write_csv(tmp_path / f"run-{i}.csv", seed=i) for i in range(3))
    events = ("--events", "1=house,2=face")
    code, text = run("train", one, two, "--modality", "eeg", "--model", "lda", *events, "--out", "new.bundle")
    assert code == 0, text
    (tmp_path / "elsewhere").mkdir()
    renamed = one.rename(tmp_path / "other-name.csv")
    same_name = three.rename(tmp_path / "elsewhere" / "run-1.csv")
    for path, trained_on in ((renamed, True), (same_name, False)):
        code, text = run("evaluate", path, "--bundle", "new.bundle", "--json", "scores.json")
        scores = json.loads(Path("scores.json").read_text())
        assert code == 0
        assert scores["recordings"][0]["trained_on"] is trained_on
        for told in (text, scores["accuracy"]["protocol"]):
            assert ("NOT HELD OUT: the decoder was trained on other-name" in told) is trained_on


# Training


def test_training_that_cannot_work_is_refused(run: Run, tmp_path: Path) -> None:
    one, two = (write_csv(tmp_path / f"run-{i}.csv", seed=i) for i in range(2))
    house = write_csv(tmp_path / "house.csv", codes=(1,))
    house2 = write_csv(tmp_path / "house2.csv", codes=(1,), seed=1)
    blank = write_csv(tmp_path / "blank.csv", codes=())
    blank2 = write_csv(tmp_path / "blank2.csv", codes=(), seed=1)
    brief = write_csv(tmp_path / "brief.csv", n_samples=200)
    other = write_csv(tmp_path / "other.csv", channels=("O1", "Pz", "Cz"))
    tokens = ("--modality", "eeg", "--model", "lda", "--out", "new.bundle")
    events = ("--events", "1=house,2=face")
    few = write_csv(tmp_path / "few.csv", n_samples=1200)
    refused(
        run,
        "train",
        few,
        *tokens,
        *events,
        tells=("few.csv holds", "split into 5 parts", "longer one, or several"),
    )
    refused(run, "train", one, one, *tokens, tells=("run-0.csv is given 2 times", "only once"))
    copy = tmp_path / "copy.csv"
    copy.write_bytes(one.read_bytes())
    refused(run, "train", one, copy, *tokens, tells=("copy.csv is a copy of", "run-0.csv", "only once"))
    refused(run, "train", house, house2, *tokens, tells=("at least two categories", "1 (1)", "--events"))
    refused(run, "train", house, house2, *tokens, *events, tells=("'face' has 0 trials", "Record more"))
    refused(run, "train", blank, blank2, *tokens, *events, tells=("'house' has 0", "none at all", "--events"))
    refused(run, "train", one, blank, *tokens, *events, tells=("blank.csv", "none at all", "--events"))
    refused(run, "train", one, brief, *tokens, *events, tells=("brief.csv",))
    refused(run, "train", one, two, *tokens, "--events", "7=a,8=b", tells=("'a' has 0", "found are 1, 2"))
    lacking = ("other.csv lacks 1 channel that run-0.csv has: Oz.", "--channels")
    refused(run, "train", one, other, *tokens, *events, tells=lacking)
    refused(run, "train", one, two, *tokens, "--channels", "Oz,Qz", tells=("no channel 'Qz'", "Oz, Pz, Cz"))
    refused(run, "train", one, two, "--modality", "meg", *tokens[2:], tells=("mag or grad", "--modality"))
    assert not Path("new.bundle").exists()


def test_training_overwrites_nothing_unasked(run: Run, tmp_path: Path, bundle: Path) -> None:
    one, two = (write_csv(tmp_path / f"run-{i}.csv", seed=i) for i in range(2))
    tokens = ("train", one, two, "--modality", "eeg", "--model", "lda", "--events", "1=house,2=face", "--out")
    before = one.read_bytes()
    refused(run, *tokens, bundle, tells=("small.bundle exists already", "--overwrite"))
    refused(run, *tokens, one, "--overwrite", tells=("run-0.csv is not a bundle", "another --out"))
    assert one.read_bytes() == before
    refused(run, *tokens, one / "x", tells=("cannot be written",))
    code, text = run(*tokens, bundle, "--overwrite")
    assert code == 0
    assert "leave one of 2 runs out" in text
    assert "top-1" in text
    assert json.loads((bundle / "bundle.json").read_text())["training"]["model"] == "lda"


# Sessions


@pytest.mark.lsl
def test_a_headless_demo_writes_a_full_summary(run: Run) -> None:
    code, text = run("--demo", "--headless", "--duration-s", "4", "--json", "out.json")
    assert code == 0, text
    assert "ended" in text
    summary = json.loads(Path("out.json").read_text())
    check_keys(summary)
    assert None not in (summary["bundle"], summary["stream"], summary["accuracy"])
    assert (summary["exit"], summary["error"]) == (0, None)
    assert 4.0 <= summary["duration_s"] < 5.0
    assert summary["samples"]["received"] == round(250 * summary["duration_s"])
    assert summary["samples"]["lost"] == 0
    assert summary["windows"]["decoded"] > 50
    assert summary["trials"]["seen"] >= 2
    assert summary["latency_ms"]["decode"]["p50"] < 25
    startup = summary["startup_s"]
    assert startup["window_up"] is None
    assert 0 < startup["connected"] <= startup["first_sample"] < startup["first_trial_decoded"]
    assert datetime.fromisoformat(summary["began"]).utcoffset() == timedelta(0)


@pytest.mark.lsl
def test_a_stream_that_is_not_there_is_written_down_too(run: Run, bundle: Path) -> None:
    name = uuid4().hex
    code, text = run(
        "--bundle", bundle, "--source-id", name, "--wait-s", "0.3", "--headless", "--json", "out.json"
    )
    assert code == 1
    assert "Traceback" not in text
    assert name in text
    summary = json.loads(Path("out.json").read_text())
    check_keys(summary)
    assert summary["exit"] == 1
    assert name in summary["error"]


@pytest.mark.lsl
def test_a_channel_that_is_not_there_is_refused(run: Run) -> None:
    code, text = run("--demo", "--headless", "--counter-channel", "Trigger")
    assert code == 2
    assert "Traceback" not in text
    assert "no channel 'Trigger'" in text


@pytest.mark.lsl
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_session_ends_with_its_summary(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "out.json"
    session = subprocess.Popen(
        [sys.executable, "-m", "decode_stream", "--demo", "--headless", "--json", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    assert session.stdout is not None
    with session, session.stdout:
        # Terminal lines come as states change.
        seen = next(line for line in session.stdout if "decoding" in line)
        session.send_signal(number)
        rest = session.stdout.read()
        assert session.wait(20) == 130, seen + rest
    assert "Traceback" not in rest
    summary = json.loads(path.read_text())
    assert summary["exit"] == 130
    assert summary["samples"]["received"] > 0
