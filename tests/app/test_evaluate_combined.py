"""Decoders of different rates, put together: a trial is the same whatever sample its onset fell on."""

import json
from pathlib import Path

import numpy as np
import pytest

from decode_stream.cli import app
from decode_stream.decoders.bundle import save_bundle

from ..decoders.bundles import small_bundle
from .recordings import write_csv


def test_trials_are_matched_across_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_csv(tmp_path / "run.csv", n_samples=3072)]
    # Onsets lie 170 samples of 256 Hz apart: at 64 Hz every other one falls between two samples.
    paths = []
    for rate in (128, 64):
        save_bundle(small_bundle(("Oz", "Pz"), float(rate)), tmp_path / f"{rate}.bundle")
        paths.append(tmp_path / f"{rate}.bundle")
    rows = []
    for path in paths:
        out = tmp_path / "alone.json"
        assert (
            app(
                ["evaluate", *map(str, runs), "--bundle", str(path), "--json", str(out)],
                result_action="return_value",
            )
            == 0
        )
        rows.append(json.loads(out.read_text())["per_trial"])
    out = tmp_path / "x.json"
    words = [
        "evaluate",
        *map(str, runs),
        "--bundle",
        str(paths[0]),
        "--with",
        str(paths[1]),
        "--json",
        str(out),
    ]
    assert app(words, result_action="return_value") == 0
    told = json.loads(out.read_text())["protocols"]["combined"]
    assert len(rows[0]) == len(rows[1]) == told["n"] > 10
    first, second = (np.array([row["log_evidence"] for row in part]) for part in rows)
    truth = np.array([row["stimulus"] for row in rows[0]])
    assert truth.tolist() == [row["stimulus"] for row in rows[1]]
    found = {number["name"]: number["value"] for number in told["numbers"]}
    assert found["top-1 of 2, summed log-evidence of 2"] == np.mean((first + second).argmax(axis=1) == truth)
    assert found["top-1 of 2, small (2) alone"] == np.mean(second.argmax(axis=1) == truth)
    # Categories are compared by the plain product: what has no cosine has none to average.
    assert not any("cosine" in name for name in found)
    assert "no cosines are averaged" in capsys.readouterr().out
