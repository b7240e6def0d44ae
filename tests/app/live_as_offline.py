"""Runs the commands on a simulated layout: train, replay over LSL, evaluate; what is live must be what is offline."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from decode_stream.cli import app
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.recording import n_missing


def run(*tokens: object) -> int:
    code = app([str(token) for token in tokens], result_action="return_value")
    assert isinstance(code, int)
    return code


def names_of(path: Path, n: int) -> str:
    """Return --events that name the `n` pictures shown most often."""
    most = Counter(label for _, label in open_recording(path).markers).most_common(n)
    return ",".join(f"{label}=picture {label}" for label, _ in most)


def decoded_live_as_offline(
    folder: Path, training: list[Path], test: Path, *tokens: object, speed: float
) -> int:
    """Train, replay over LSL, evaluate; return the number of trials, whose evidence must be the same."""
    bundle, live, offline = folder / "x.bundle", folder / "live.json", folder / "offline.json"
    assert run("train", *training, *tokens, "--out", bundle) == 0
    replay = ("--bundle", bundle, "--replay", test, "--speed", speed, "--headless", "--json", live)
    assert run(*replay) == 0
    assert run("evaluate", test, "--bundle", bundle, "--json", offline) == 0
    told, expected = (json.loads(path.read_text()) for path in (live, offline))
    recording = open_recording(test)
    # Between trials that were cut before lies a break, which a stream can only show as samples that never came.
    assert told["samples"]["lost"] == sum(n_missing(gap, recording.sfreq_hz) for gap in recording.gaps)
    assert len(told["per_trial"]) == len(expected["per_trial"]) == told["accuracy"]["n"] > 0
    for one, other in zip(told["per_trial"], expected["per_trial"], strict=True):
        np.testing.assert_allclose(one["log_evidence"], other["log_evidence"], atol=1e-5)
    return int(told["accuracy"]["n"])
