"""The summary: every key, whatever became of the session."""

import json
from pathlib import Path

import numpy as np
import pytest

from decode_stream import __version__
from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.scoring.scores import Scores, TrialScore
from decode_stream.sessions.session import Session
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.source import Source
from decode_stream.stream.errors import StreamError, UsageError
from decode_stream.summary import accuracy_summary, check_writable, trial_rows, write_json
from tests.app.summaries import check_keys
from tests.decoders.bundles import small_bundle


def session_of(config: SessionConfig, bundle: Bundle | None) -> Session:
    return Session(config, Source(config, None), bundle, lambda info: watch_chain(info, config.modality))


def test_a_session_that_never_found_a_stream_has_every_key(tmp_path: Path) -> None:
    bundle = save_bundle(small_bundle(), tmp_path / "b")
    session = session_of(SessionConfig(stream="none"), bundle)
    session.error = StreamError("No stream answered.")
    session.tell("note", "something")
    summary = session_summary(session, 1)
    write_json(summary, tmp_path / "out.json")
    read = json.loads((tmp_path / "out.json").read_text())
    check_keys(read)
    assert read["version"] == __version__
    assert read["bundle"] == {"name": "small", "sha256": bundle.sha256}
    assert (read["stream"], read["accuracy"], read["duration_s"]) == (None, None, 0.0)
    assert (read["exit"], read["error"], read["modality"]) == (1, "No stream answered.", "eeg")
    assert set(read["samples"].values()) == {0}
    assert set(read["latency_ms"].values()) == {None}
    told = [(event["kind"], event["text"]) for event in read["events"]]
    assert told == [*(("provider", note) for note in read["provider_notes"]), ("note", "something")]


def test_a_session_that_only_watches_has_every_key() -> None:
    summary = session_summary(session_of(SessionConfig(modality="meg"), None), 130)
    check_keys(summary)
    assert (summary["bundle"], summary["modality"], summary["exit"]) == (None, "meg", 130)


def scores_of(hits: list[int], n_entries: int) -> Scores:
    scores = Scores(n_entries)
    for i, hit in enumerate(hits):
        evidence = np.linspace(0.5, -0.5, n_entries)
        truth = 0 if hit else n_entries - 1
        scores.add(TrialScore(i, 100 * i, truth, evidence, np.array([1.0, np.nan]), 2))
    return scores


def test_accuracy_has_chance_n_and_interval() -> None:
    summary = accuracy_summary(scores_of([1, 1, 1, 0], 10))
    assert (summary["k"], summary["chance"], summary["n"]) == (10, 0.1, 4)
    assert (summary["top1"], summary["top5"]) == (0.75, 0.75)
    low, high = summary["top1_interval"]
    assert 0.1 < low < 0.75 < high < 1.0
    assert summary["interval"].startswith("Wilson")
    assert "10-way" in summary["protocol"]
    assert "auc" not in summary


def test_accuracy_tells_calibration_repeats_and_novelty(tmp_path: Path) -> None:
    scores = Scores(3)
    for i in range(4):
        e = np.array([1.0, 0.0, 0.0])
        novelty = [0.2, 0.99, float("nan"), 0.4][i]
        scores.add(
            TrialScore(i, 100 * i, i % 2, e, np.ones(2), 0, novelty, i // 2 + 1, float(i % 2 == 0), 0.5)
        )
    summary = {"accuracy": accuracy_summary(scores), "per_trial": trial_rows(scores)}
    write_json(summary, tmp_path / "out.json")
    read = json.loads((tmp_path / "out.json").read_text())
    accuracy = read["accuracy"]
    assert accuracy["calibration"]["n"] == 4
    assert accuracy["calibration"]["log_loss"] == pytest.approx(np.log(np.exp([1, 0, 0]).sum()) - 0.5)
    assert accuracy["calibration"]["ece"] is None
    assert accuracy["repeats"] == {
        "showings": [1, 2],
        "n": [2, 2],
        "top1": [0.5, 0.5],
        "log_loss": [0.5, 0.5],
    }
    assert accuracy["novelty"] == {"n": 3, "mean": pytest.approx(0.53), "above_0.95": pytest.approx(1 / 3)}
    assert [(row["showing"], row["novelty"]) for row in read["per_trial"]] == [
        (1, 0.2),
        (1, 0.99),
        (2, None),
        (2, 0.4),
    ]
    once = accuracy_summary(scores_of([1, 0], 10))
    assert (once["repeats"], once["novelty"]) == (None, None)


def test_accuracy_of_no_trial_claims_nothing() -> None:
    summary = accuracy_summary(Scores(10))
    assert (summary["calibration"], summary["repeats"], summary["novelty"]) == (None, None, None)
    assert (summary["n"], summary["top1"], summary["top5"]) == (0, None, None)
    assert summary["top1_interval"] == [0.0, 1.0]
    assert summary["top1_by_latency"] == []


def test_auc_is_told_for_two_entries_only_and_top5_for_more_than_five() -> None:
    assert accuracy_summary(scores_of([1, 0, 1], 2))["auc"] == 0.5
    assert accuracy_summary(scores_of([1, 1], 2))["auc"] is None  # one class only
    assert accuracy_summary(scores_of([1, 0], 5))["top5"] is None


def test_every_trial_has_its_row() -> None:
    rows = trial_rows(scores_of([1, 0], 2))
    both = {"run": 2, "showing": 1, "novelty": None, "log_evidence": [0.5, -0.5]}
    assert rows == [
        {"trial": 0, "onset": 0, "stimulus": 0, **both},
        {"trial": 1, "onset": 100, "stimulus": 1, **both},
    ]


def test_a_place_that_cannot_be_written_is_refused_before_and_after(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--json .*where\.json .* folder must exist"):
        check_writable(tmp_path / "no" / "where.json")
    with pytest.raises(UsageError, match="must not be one itself"):
        check_writable(tmp_path)
    check_writable(tmp_path / "out.json")
    with pytest.raises(UsageError, match=r"cannot be written .* Give another --json"):
        write_json({}, tmp_path / "no" / "where.json")
