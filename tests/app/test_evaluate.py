"""Protocols of `evaluate` from the command line to table, JSON and figure."""

import builtins
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from decode_stream.cli import app
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.scoring.identification import retrieval, two_way
from decode_stream.evaluation.protocols import PROTOCOLS, TRANSDUCTIVE
from decode_stream.evaluation.table import NOT_LIVE
from decode_stream.replay_data.simulation.schedules import PictureSet, Spaced
from decode_stream.replay_data.simulation.simulate_run import simulate_run
from decode_stream.replay_data.simulation.simulation_files import save_simulation
from decode_stream.replay_data.simulation.subjects import eeg_subject, enlarged
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.stimuli import StimulusTable

from ..decoders.bundles import small_bundle

N_PICTURES, CODES = 12, tuple(range(1, 13))


def picture_bundle(path: Path, names: tuple[str, ...], seed: int = 0, *, noise: float = 0.2) -> Path:
    """Save a bundle of pictures whose embeddings are of four dimensions."""
    rng = np.random.default_rng(seed)
    weights = noise * rng.standard_normal((2 * 20, 4)).astype(np.float32)
    weights[:20, 0] = 1.0
    small = small_bundle(weights=weights)
    manifest = replace(
        small.manifest,
        space=EmbeddingSpace("test", "all", 4),
        gallery=names,
        labels={str(i + 1): name for i, name in enumerate(names)},
        calibration=Calibration((1.0,) * 5, 1.0),
    )
    gallery = np.random.default_rng(9).standard_normal((len(names), 4)).astype(np.float32)
    # Pictures with an odd number are shown where the first channel falls: half of the gallery can be told.
    gallery[:, 0] = np.where(np.arange(len(names)) % 2, 2.0, -2.0)
    save_bundle(Bundle(manifest, small.encoder, gallery), path)
    return path


def write_run(path: Path, seed: int) -> Path:
    """Write a run of twelve pictures, three times each; even codes lift the first channel, odd ones lower it."""
    rng = np.random.default_rng(seed)
    shown = np.concatenate([rng.permutation(CODES) for _ in range(3)])
    data = 10 * rng.standard_normal((7000, 2))
    marks = np.zeros(7000, int)
    for i, code in enumerate(shown):
        onset = 500 + 170 * i
        marks[onset] = code
        data[onset + 10 : onset + 40, 0] += 15 * (1 - 2 * (code % 2))
    rows = np.column_stack([np.arange(7000) / 200, data, marks])
    np.savetxt(
        path,
        rows,
        fmt=["%.6f", "%.3f", "%.3f", "%d"],
        delimiter=",",
        header="timestamps,Oz,Pz,Marker0",
        comments="",
    )
    return path


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run `evaluate` and return what it prints."""
    monkeypatch.chdir(tmp_path)

    def evaluate(*tokens: object) -> str:
        assert app(["evaluate", *map(str, tokens)], result_action="return_value") == 0
        return capsys.readouterr().out

    return evaluate


@pytest.fixture
def lab(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Return a bundle of twelve pictures of four concepts, and two runs."""
    names = tuple(f"{'abcd'[i % 4]}_{i:02d}s" for i in range(N_PICTURES))
    bundle = picture_bundle(tmp_path / "lab.bundle", names)
    return bundle, [write_run(tmp_path / f"run-{i}.csv", i) for i in range(2)]


#: But for those that need more than recordings and a bundle, or more of these.
EVERY = ",".join(name for name in PROTOCOLS if name not in ("ideal", "combined", "categories", "prior"))


def test_every_protocol_is_told_as_table_and_json(
    run: Callable[..., str], lab: tuple[Path, list[Path]]
) -> None:
    bundle, runs = lab
    text = run(*runs, "--bundle", bundle, "--protocol", EVERY, "--json", "x.json")
    told: dict[str, Any] = json.loads(Path("x.json").read_text())
    assert list(told["protocols"]) == EVERY.split(",")
    assert told["transductive"] == {}
    assert NOT_LIVE not in text
    assert "\ntop-1 " in text
    for name, one in told["protocols"].items():
        assert name == "exact" or f"{name}: " in text
        assert one["says"] == PROTOCOLS[name].says
        assert one["repeats"]
        assert one["interval"]
        assert one["n"] > 0
        assert 0 < one["chance"] < 1
        for number in one["numbers"]:
            assert number["low"] <= number["value"] <= number["high"], (name, number)
    exact, k_way = told["protocols"]["exact"], told["protocols"]["k-way"]
    assert exact["numbers"][0]["value"] == told["accuracy"]["top1"]
    assert exact["n"] == told["accuracy"]["n"] == 72
    assert exact["numbers"][0]["value"] > 1.5 / 12  # the half of the gallery is told
    (two,) = [number for number in k_way["numbers"] if number["name"] == "top-1 of 2"]
    assert two["value"] > 0.6
    assert np.mean(k_way["details"]["drawn"]["2"]["top1"]) == pytest.approx(two["value"], abs=0.1)
    assert told["protocols"]["concept"]["k"] == 4
    assert [len(curve["x"]) for curve in told["protocols"]["latency"]["curves"]] == [5, 5]
    assert told["protocols"]["latency"]["curves"][1]["y"][-1] == pytest.approx(told["accuracy"]["top1"])
    assert np.array(told["protocols"]["generalisation"]["matrix"]["values"]).shape == (5, 5)
    # This encoder is linear and looks at the window alone.
    assert "takes no notice of the latency" in told["protocols"]["generalisation"]["notes"][0]
    assert told["protocols"]["repeats"]["details"]["sizes"] == [1, 2, 4, 6]
    assert told["protocols"]["shuffled"]["details"]["p"] < 0.05
    # The same order gives the same numbers.
    run(*runs, "--bundle", bundle, "--protocol", "shuffled,repeats", "--json", "y.json", "--figure", "y.png")
    again = json.loads(Path("y.json").read_text())["protocols"]
    assert again == {name: told["protocols"][name] for name in ("shuffled", "repeats")}
    assert Path("y.png").read_bytes().startswith(b"\x89PNG")


def test_protocols_compare_embeddings_as_the_session_does(
    run: Callable[..., str], lab: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    """Where entries are log-likelihoods, of a space whose own rule is the cosine."""
    bundle = load_bundle(lab[0])
    projector = GalleryProjector(
        np.eye(3, 4, dtype=np.float32) * [[3], [1], [1]], np.ones(3, np.float32), gaussian=True
    )
    entries = projector.project(bundle.gallery)
    save_bundle(replace(bundle, gallery=entries, projector=projector), tmp_path / "likely.bundle")
    run(
        *lab[1],
        "--bundle",
        "likely.bundle",
        "--protocol",
        "exact,latency,generalisation,repeats,identification,concept",
        "--json",
        "x.json",
    )
    summary = json.loads(Path("x.json").read_text())
    told = summary["protocols"]
    top1 = told["exact"]["numbers"][0]["value"]
    assert [curve["y"][0] for curve in told["repeats"]["curves"]] == pytest.approx([top1] * 3)
    alone = told["latency"]["curves"][0]["y"]
    assert np.diag(told["generalisation"]["matrix"]["values"]).tolist() == pytest.approx(alone)
    # Pictures are told apart by log-evidence, never by how numbers of unlike units correlate.
    evidence = np.array([trial["log_evidence"] for trial in summary["per_trial"]])
    truth = np.array([trial["stimulus"] for trial in summary["per_trial"]])
    values = {number["name"]: number["value"] for number in told["identification"]["numbers"]}
    assert values["two-way by log-evidence, single trial"] == pytest.approx(two_way(evidence, truth).mean())
    mean = np.array([evidence[truth == picture].mean(axis=0) for picture in range(N_PICTURES)])
    assert values["two-way by log-evidence, mean of all repeats"] == pytest.approx(
        two_way(mean, np.arange(N_PICTURES)).mean()
    )
    forward, backward = retrieval(log_softmax(mean, axis=1))
    found = (
        values[f"{way}, 12-way, mean of all repeats"] for way in ("brain to picture", "picture to brain")
    )
    assert list(found) == pytest.approx([forward.mean(), backward.mean()])
    assert any("log-likelihoods" in note for note in told["identification"]["notes"])
    # A concept is what the projector makes of the mean of its other pictures. Entries are affine in the picture but for
    # their last number, so that evidence tells the sums of windows, and these the evidence of means.
    sums = evidence @ np.linalg.pinv(entries.T)
    right = []
    for trial, picture in zip(sums, truth, strict=True):
        others = [[i for i in range(N_PICTURES) if i % 4 == concept and i != picture] for concept in range(4)]
        means = projector.project(np.array([bundle.gallery[own].mean(axis=0) for own in others]))
        right.append(np.argmax(means @ trial) == picture % 4)
    assert told["concept"]["numbers"][0]["value"] == pytest.approx(np.mean(right))
    assert [n["name"] for n in told["concept"]["numbers"]] == ["top-1 of 4, log-evidence of the mean picture"]
    with pytest.raises(UsageError, match="terms of a log-likelihood"):
        run(*lab[1], "--bundle", "likely.bundle", "--transductive", "standardise")


def test_transductive_numbers_are_made_only_when_asked_for_and_labelled(
    run: Callable[..., str], lab: tuple[Path, list[Path]]
) -> None:
    bundle, runs = lab
    asked = ("--transductive", "standardise,assign", "--json", "x.json", "--figure", "x.svg")
    text = run(*runs, "--bundle", bundle, "--protocol", "generalisation", *asked)
    told = json.loads(Path("x.json").read_text())
    assert list(told["transductive"]) == list(TRANSDUCTIVE)
    assert all(one["transductive"] for one in told["transductive"].values())
    assert not any(one["transductive"] for one in told["protocols"].values())
    assert text.count(NOT_LIVE) == 2
    # Letters are drawn as outlines; the panel of a labelled one is red.
    assert Path("x.svg").read_text().count("#b00020") >= 2
    with pytest.raises(UsageError, match="--protocol names 'assign'"):
        run(*runs, "--bundle", bundle, "--protocol", "assign")


def test_what_there_is_is_listed(run: Callable[..., str]) -> None:
    text = " ".join(run("--protocol", "list").split())
    for name, protocol in (PROTOCOLS | TRANSDUCTIVE).items():
        assert f" {name} {protocol.says}" in text
        assert "chance" in protocol.says
    with pytest.raises(UsageError, match=r"names 'latenzy'. Did you mean 'latency'\?[\s\S]*k-way"):
        run("x.csv", "--protocol", "latenzy")


def test_seeds_and_people_are_joined(
    run: Callable[..., str], lab: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    _, runs = lab
    names = tuple(f"p{i}" for i in range(N_PICTURES))
    orders = [(0, 0), (0, 1), (1, 2)]  # run and seed: two seeds of the one, one of the other
    for number, (which, seed) in enumerate(orders):
        bundle = picture_bundle(tmp_path / f"{number}.bundle", names, seed)
        run(runs[which], "--bundle", bundle, "--protocol", "exact,latency", "--json", f"{number}.json")
    text = run("0.json", "1.json", "2.json", "--json", "all.json", "--figure", "all.pdf")
    assert "3 evaluations of 2 subjects" in text
    told = json.loads(Path("all.json").read_text())
    assert told["subjects"] == [1, 1, 2]
    each = [json.loads(Path(f"{i}.json").read_text())["accuracy"]["top1"] for i in range(3)]
    (top1, _) = told["protocols"]["exact"]["numbers"]
    assert top1["value"] == pytest.approx(((each[0] + each[1]) / 2 + each[2]) / 2)
    assert top1["n"] == 2
    assert told["protocols"]["exact"]["interval"] == "t, over 2 subjects"
    assert len(told["protocols"]["latency"]["curves"][0]["y"]) == 5
    assert Path("all.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(UsageError, match="same bundle and recordings as"):
        run("0.json", "0.json")
    with pytest.raises(UsageError, match="run-0.csv: recordings and summaries"):
        run("0.json", runs[0])
    with pytest.raises(UsageError, match="one summary; two or more"):
        run("0.json")
    Path("broken.json").write_text('{"bundle": 3}')
    with pytest.raises(UsageError, match="broken.json is no summary of decode-stream evaluate"):
        run("0.json", "broken.json")


def test_a_decoder_of_somebody_else_is_told_and_scored_all_the_same(
    run: Callable[..., str], lab: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    unknown = load_bundle(lab[0])
    training = replace(unknown.manifest.training, subjects=("sub-01",))
    known = replace(unknown, manifest=replace(unknown.manifest, training=training))
    save_bundle(known, tmp_path / "known.bundle")
    paths = []
    for seed, folder in enumerate(("sub-01", "sub-02", "sub-02", "anybody")):
        (tmp_path / folder).mkdir(exist_ok=True)
        paths.append(write_run(tmp_path / folder / f"run-{seed}.csv", seed))

    def said(bundle: Path | str, *runs: Path) -> tuple[str, dict[str, Any]]:
        text = run(*runs, "--bundle", bundle, "--json", "x.json")
        return " ".join(text.split()), json.loads(Path("x.json").read_text())

    text, told = said("known.bundle", *paths)
    note = "the decoder was made for sub-01, and is scored on somebody else: sub-02 (run-1.csv, run-2.csv)"
    assert f"- {note}" in text
    assert told["notes"] == [note]
    assert told["training"]["subjects"] == ["sub-01"]
    assert [row["subject"] for row in told["recordings"]] == ["sub-01", "sub-02", "sub-02", ""]
    assert told["accuracy"]["n"] == 4 * 36
    assert "NOT HELD OUT" not in text
    # Of whom a recording is, or whom the decoder was made for, may be unknown.
    for bundle, runs in (("known.bundle", (paths[0], paths[3])), (lab[0], paths)):
        text, told = said(bundle, *runs)
        assert "somebody else" not in text
        assert told["notes"] == []
    for number in (1, 3):
        run(paths[number], "--bundle", "known.bundle", "--protocol", "exact", "--json", f"{number}.json")
    summary = json.loads(Path("3.json").read_text())
    del summary["notes"]  # as versions before wrote it
    Path("3.json").write_text(json.dumps(summary))
    text = " ".join(run("1.json", "3.json", "--json", "all.json").split())
    note = "1.json: the decoder was made for sub-01, and is scored on somebody else: sub-02 (run-1.csv)"
    assert f"- {note}" in text
    assert json.loads(Path("all.json").read_text())["notes"] == [note]


def test_centres_come_from_other_pictures(
    run: Callable[..., str], lab: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    _, runs = lab
    names = tuple(f"c{i:02d}_01s" for i in range(N_PICTURES))
    bundle = picture_bundle(tmp_path / "test.bundle", names)
    tokens = (runs[0], "--bundle", bundle, "--protocol", "concept")
    with pytest.raises(UsageError, match=r"36 of 36 trials show the only one of theirs.*--centres BUNDLE"):
        run(*tokens)
    others = tuple(f"c{i % 12:02d}_{2 + i // 12:02d}s" for i in range(24))
    centres = picture_bundle(tmp_path / "train.bundle", others)
    text = run(*tokens, "--centres", centres, "--json", "x.json")
    assert "centres from small" in text
    assert json.loads(Path("x.json").read_text())["protocols"]["concept"]["k"] == 12
    # The pictures that are to be found do not count as others.
    with pytest.raises(UsageError, match="no other picture of 12 of 12 concepts"):
        run(*tokens, "--centres", bundle)


def test_centres_of_another_projector_are_refused(
    run: Callable[..., str], lab: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    """Spaces are alike by name, and so are the numbers' shapes: the fits would be wrong without a word."""
    _, runs = lab
    names = tuple(f"c{i:02d}_01s" for i in range(N_PICTURES))
    others = tuple(f"c{i:02d}_02s" for i in range(N_PICTURES))
    same = np.eye(4, dtype=np.float32)
    one, again, other = (GalleryProjector(w, np.zeros(4, np.float32)) for w in (same, same, same[::-1]))

    def projected(name: str, pictures: tuple[str, ...], projector: GalleryProjector | None) -> Path:
        plain, path = picture_bundle(tmp_path / f"plain-{name}", pictures), tmp_path / name
        save_bundle(replace(load_bundle(plain), projector=projector), path)
        return path

    tokens = (runs[0], "--bundle", projected("test.bundle", names, one), "--protocol", "concept")
    assert "centres from small" in run(*tokens, "--centres", projected("same.bundle", others, again))
    for i, kind in enumerate((other, replace(one, unit=True), None)):
        with pytest.raises(
            UsageError, match=r"another bundle's projector has mapped.*same --target and bundle"
        ):
            run(*tokens, "--centres", projected(f"other-{i}.bundle", others, kind))


def test_what_cannot_be_measured_is_told(
    run: Callable[..., str], lab: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    bundle, runs = lab
    tokens = ("--bundle", bundle)
    with pytest.raises(UsageError, match="evaluate needs recordings"):
        run(*tokens)
    with pytest.raises(RecordingError, match="ideal needs a person whose true model is known"):
        run(runs[0], *tokens, "--protocol", "ideal")
    with pytest.raises(UsageError, match="holds out each recording in turn, and there is one"):
        run(runs[0], *tokens, "--protocol", "generalisation-linear")
    with pytest.raises(UsageError, match=r"--figure x.gif must end in .png, .svg or .pdf"):
        run(runs[0], *tokens, "--figure", "x.gif")
    with pytest.raises(UsageError, match="its folder must exist"):
        run(runs[0], *tokens, "--figure", "no/x.png")
    with pytest.raises(UsageError, match="--seed is -1"):
        run(runs[0], *tokens, "--seed", "-1")


def test_the_fraction_of_the_ideal_observer_is_told_of_simulated_people(
    run: Callable[..., str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    names = tuple(f"p{i}" for i in range(N_PICTURES))
    bundle = picture_bundle(tmp_path / "sim.bundle", names)
    looks = rng.standard_normal((N_PICTURES, 4)).astype(np.float32)
    table = StimulusTable(np.full(N_PICTURES, -1), np.arange(1, N_PICTURES + 1))
    person = enlarged(eeg_subject(looks, 2, 1, sfreq_hz=200.0, names=("Oz", "Pz")), 6.0)
    shown = np.concatenate([rng.permutation(N_PICTURES) for _ in range(3)])
    timing = Spaced(0.5, 0.1, lead_s=1.5)
    recording = simulate_run(
        PictureSet(looks, 2, table), person, shown, timing=timing, seed=3, name="sim_run-1"
    )
    path = tmp_path / "sim_run-1.simulation.json"
    save_simulation(recording, path)
    run(path, "--bundle", bundle, "--protocol", "exact,ideal", "--json", "x.json")
    told = json.loads(Path("x.json").read_text())["protocols"]["ideal"]
    fraction, ours, ideal = told["numbers"]
    assert ideal["value"] > 2.5 / 12
    assert ideal["value"] > ours["value"]
    expected = (ours["value"] - 1 / 12) / (ideal["value"] - 1 / 12)
    assert fraction["value"] == pytest.approx(expected)
    assert "at least 2000 are needed" in told["notes"][1]
    # A gallery with a picture that this person never saw has no ideal observer.
    more = picture_bundle(tmp_path / "more.bundle", (*names, "unseen"))
    with pytest.raises(RecordingError, match="sim_run-1 lacks 1 of 13: unseen"):
        run(path, "--bundle", more, "--protocol", "ideal")


def test_a_figure_without_matplotlib_is_told_first(
    run: Callable[..., str], lab: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, runs = lab
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs matplotlib.*pip install 'decode-stream\[train\]'"):
        run(runs[0], "--bundle", bundle, "--figure", "x.png")
