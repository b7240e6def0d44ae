"""Protocols of papers on fMRI, from the command line, against what a few lines compute."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.cli import app
from decode_stream.decoders.scoring.identification import k_way, two_way
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import UsageError

from ..decoders.bundles import linear_onnx
from .fmri_labs import bent_onnx, betas, fmri_bundle, looks, weights

N = 12
NAMES = tuple(f"p{i}" for i in range(N))


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Run `evaluate` and return what it prints and what it writes."""
    monkeypatch.chdir(tmp_path)

    def evaluate(*tokens: object) -> tuple[str, dict[str, Any]]:
        words = ["evaluate", *map(str, tokens), "--json", "x.json"]
        assert app(words, result_action="return_value") == 0
        return " ".join(capsys.readouterr().out.split()), json.loads(Path("x.json").read_text())

    return evaluate


@pytest.fixture
def sessions(tmp_path: Path) -> list[Path]:
    """Return two sessions of betas with every picture three times in all."""
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(N) for _ in range(3)])
    parts = (order[:20], order[20:])
    return [
        betas(tmp_path / f"s{i}.recording", part, looks(N), noise=1.5, seed=i) for i, part in enumerate(parts)
    ]


def shown_and_seen(sessions: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    recordings = [open_recording(path) for path in sessions]
    seen = np.concatenate([recording.read(0, recording.n_samples) for recording in recordings])
    return np.concatenate([np.asarray(recording.stimuli.id) for recording in recordings]), seen


def cosines(said: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    return unit(said) @ unit(pictures).T


def values(one: dict[str, Any]) -> dict[str, float]:
    return {number["name"]: number["value"] for number in one["numbers"]}


def test_repeats_are_averaged_before_the_mapper_or_after_it_by_name(
    run: Callable[..., tuple[str, dict[str, Any]]],
    sessions: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("decode_stream.evaluation.measure_retrieval._BATCH", 5)
    back = np.linalg.pinv(weights())
    # Papers know no calibration: one that counts nothing changes nothing.
    bundle = fmri_bundle(tmp_path / "bent.bundle", NAMES, looks(N), encoder=bent_onnx(back), weight=0.0)
    text, told = run(
        *sessions, "--bundle", bundle, "--protocol", "retrieval-mindeye,retrieval-mindeye2", "--seed", 3
    )
    truth, seen = shown_and_seen(sessions)
    groups = [np.flatnonzero(truth == picture) for picture in range(N)]
    before = np.array([(seen[group].mean(axis=0) @ back) ** 3 for group in groups])
    after = np.array([((seen[group] @ back) ** 3).mean(axis=0) for group in groups])
    assert not np.allclose(before, after, rtol=0.1)
    for name, said, words in (
        ("retrieval-mindeye", before, "repeats averaged before the mapper"),
        ("retrieval-mindeye2", after, "repeats averaged after the mapper"),
    ):
        one, fits = told["protocols"][name], cosines(said, looks(N))
        found = values(one)
        assert found[f"brain to picture, 5-way, {words}"] == pytest.approx(
            k_way(fits, np.arange(N), 5).mean()
        )
        assert found[f"picture to brain, 5-way, {words}"] == pytest.approx(
            k_way(fits.T, np.arange(N), 5).mean()
        )
        r = np.corrcoef(said, looks(N))[:N, N:]
        by_correlation = found[f"two-way by correlation, {words}"]
        # A calibration that counts nothing leaves nothing of embeddings that are weighed by it.
        assert by_correlation == pytest.approx(two_way(r, np.arange(N)).mean())
        draws = np.array(one["details"]["draws"]["brain to picture"])
        assert draws.shape == (30,)
        assert found[f"brain to picture, 5-way, {words}, mean of 30 draws"] == pytest.approx(draws.mean())
        assert (one["k"], one["n"], one["chance"]) == (5, N, 0.2)
        assert "3 to 3" in one["repeats"]
        assert "an easier one of 5" not in text
    assert draws.mean() == pytest.approx(k_way(cosines(after, looks(N)), np.arange(N), 5).mean(), abs=0.15)


def test_fewer_pictures_than_a_batch_are_all_taken_and_it_is_said(
    run: Callable[..., tuple[str, dict[str, Any]]], sessions: list[Path], tmp_path: Path
) -> None:
    bundle = fmri_bundle(tmp_path / "plain.bundle", NAMES, looks(N))
    text, told = run(*sessions, "--bundle", bundle, "--protocol", "retrieval-mindeye2,retrieval-mind-reader")
    one = told["protocols"]["retrieval-mindeye2"]
    assert [number["name"].split(",")[1] for number in one["numbers"][:2]] == [" 12-way"] * 2
    assert "papers have 300 at a time: with 12 pictures the task is an easier one of 12" in text
    assert not any("draws" in number["name"] for number in one["numbers"])
    # All trials are one batch; a picture's three showings are all right.
    truth, seen = shown_and_seen(sessions)
    fits = cosines(seen @ np.linalg.pinv(weights()), looks(N))
    counted = told["protocols"]["retrieval-mind-reader"]
    forward, backward = (number["value"] for number in counted["numbers"])
    assert forward == pytest.approx(np.mean(fits.argmax(axis=1) == truth))
    assert backward == pytest.approx(np.mean(truth[fits.argmax(axis=0)][truth] == truth))
    assert counted["chance"] == pytest.approx(3 / 36)
    assert counted["details"]["counts"]["brain to picture"] == [pytest.approx(36 * forward)]
    only = betas(tmp_path / "one.recording", [2, 2], looks(N), noise=1.0, seed=1)
    for name in ("retrieval-mindeye", "retrieval-mindeye2", "retrieval-mind-reader"):
        with pytest.raises(UsageError, match=f"{name} needs trials of at least two pictures"):
            run(only, "--bundle", bundle, "--protocol", name)


def test_decoders_are_combined_over_one_gallery_whatever_its_order(
    run: Callable[..., tuple[str, dict[str, Any]]], sessions: list[Path], tmp_path: Path
) -> None:
    back = np.linalg.pinv(weights())
    # Each decoder knows half of what there is to know, and the second one's gallery is turned around.
    halves = [back * np.repeat([1, 0.1], 2), back * np.repeat([0.1, 1], 2)]
    turned = tuple(reversed(NAMES))
    labels = {str(i): name for i, name in enumerate(NAMES)}
    one = fmri_bundle(
        tmp_path / "one.bundle", NAMES, looks(N), encoder=linear_onnx(halves[0]), labels=labels, weight=2.0
    )
    two = fmri_bundle(
        tmp_path / "two.bundle", turned, looks(N)[::-1], encoder=linear_onnx(halves[1]), labels=labels
    )
    text, told = run(*sessions, "--bundle", one, "--with", two, "--protocol", "exact")
    truth, seen = shown_and_seen(sessions)
    each = [cosines(seen @ half, looks(N)) for half in halves]
    right = {
        "summed log-evidence of 2": (2 * each[0] + 5 * each[1]).argmax(axis=1) == truth,
        "mean cosine of 2": (each[0] + each[1]).argmax(axis=1) == truth,
        "one alone": each[0].argmax(axis=1) == truth,
        "two alone": each[1].argmax(axis=1) == truth,
    }
    measured = told["protocols"]["combined"]
    found = values(measured)
    for name, hit in right.items():
        assert found[f"top-1 of 12, {name}"] == pytest.approx(hit.mean())
    gain = right["mean cosine of 2"].astype(float) - right["two alone"]
    assert found["mean cosine of 2, minus two alone"] == pytest.approx(gain.mean())
    better, worse = (gain > 0).sum(), (gain < 0).sum()
    assert better > worse
    note = f"mean cosine of 2, minus two alone: better on {better} trials, worse on {worse}; exact McNemar p"
    assert note in text
    assert [other["name"] for other in told["with"]] == ["two"]
    # A third of the same name is told apart by number.
    _, told = run(*sessions, "--bundle", one, "--with", two, "--with", two)
    assert "top-1 of 12, two (2) alone" in values(told["protocols"]["combined"])


def test_decoders_that_do_not_go_together_are_refused(
    run: Callable[..., tuple[str, dict[str, Any]]], sessions: list[Path], tmp_path: Path
) -> None:
    one = fmri_bundle(tmp_path / "one.bundle", NAMES, looks(N))
    less = fmri_bundle(tmp_path / "less.bundle", ("q", *NAMES[2:]), looks(N)[1:], labels={"2": "p2"})
    with pytest.raises(
        UsageError,
        match=r"less.bundle chooses among 11 entries.*lacks: p0, p1; it adds: q\. .*decode-stream gallery",
    ):
        run(*sessions, "--bundle", one, "--with", less)
    moved = {str(i): NAMES[(i + 1) % N] for i in range(N)}
    other = fmri_bundle(tmp_path / "other.bundle", NAMES, looks(N), labels=moved)
    with pytest.raises(UsageError, match=r"other takes for 'p\d+' what one takes for 'p\d+', in 36 of 36"):
        run(*sessions, "--bundle", one, "--with", other)
    with pytest.raises(UsageError, match="give the others with --with BUNDLE"):
        run(*sessions, "--bundle", one, "--protocol", "combined")
    with pytest.raises(UsageError, match="joined without a bundle: leave out --bundle and --with"):
        run("0.json", "1.json", "--with", one)
