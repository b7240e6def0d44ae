"""Whether probabilities mean what they say: on a simulated person, and on real EEG.

``python -m benchmarks.calibration simulated [--runs N]`` decodes new runs of the EEG demo's simulated person with the
demo's decoder, which was trained on other runs. The calibration is fitted on four of them and scored on the rest.

``python -m benchmarks.calibration real DATA FOLDER`` takes run-01.csv to run-05.csv of faces and houses in DATA, each
decoded by channel attention that was trained and calibrated without it; FOLDER keeps the bundles and what they scored,
as that of ``benchmarks.faces_houses``.
"""

import argparse
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.faces_houses import scored
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.calibration import fit_calibration, fit_repeat_correlation
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.evidence import Calibration, similarity
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.calibration_scores import CalibrationScores, calibration_scores
from decode_stream.demos.demo import DEMOS
from decode_stream.demos.make_demos import demo_gallery, simulate_runs
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["main"]

_BUNDLES = files("decode_stream.replay_data") / "demo-bundles"
#: Runs that the demo plays; its decoder was trained on other pictures.
_USED = 1
_N_FIT = 4


def _decode(bundle: Bundle, n_runs: int) -> tuple[npt.NDArray[np.float64], IntArray, npt.NDArray[np.int64]]:
    """Return similarities (n_trials, n_latencies, n_entries), truths and runs of new simulated runs."""
    manifest, encoder = bundle.manifest, Encoder(bundle)
    parts, truths, runs = [], [], []
    for run, recording in enumerate(simulate_runs("eeg", demo_gallery(), _USED + n_runs)[_USED:]):
        kept: dict[int, list[npt.NDArray[np.float32]]] = {}

        def keep(
            window: CutWindow,
            embedding: npt.NDArray[np.float32],
            kept: dict[int, list[npt.NDArray[np.float32]]] = kept,
        ) -> None:
            assert window.locked is not None
            kept.setdefault(window.locked.trial.number, []).append(embedding)

        decoder = decode_recording(bundle, encoder, recording, manifest.stimuli(), run, keep=keep)
        for trial in decoder.scores.trials:
            parts.append(similarity(np.stack(kept[trial.number]), bundle.gallery, bundle.norm))
        truths.append(decoder.scores.truth())
        runs.append(np.full(decoder.scores.n, run))
        print(f"  {recording.name}: {decoder.scores.n} trials", flush=True)
    return np.stack(parts), np.concatenate(truths), np.concatenate(runs)


def _row(name: str, scores: CalibrationScores) -> str:
    slope, intercept = scores.slope, scores.intercept
    return (
        f"  {name:<44} log loss {scores.log_loss:.4f}  ECE {scores.ece:.4f}  Brier {scores.brier:.4f}  "
        f"slope {slope.value:.3f} ({slope.low:.3f} to {slope.high:.3f})  "
        f"intercept {intercept.value:+.3f} ({intercept.low:+.3f} to {intercept.high:+.3f})"
    )


def _apart(similarities: FloatArray, labels: IntArray) -> Calibration:
    """Return windows that are calibrated each by itself, and then added up as if they erred independently."""
    each = [
        fit_calibration(similarities[:, k : k + 1], labels, similarities[:, k])
        for k in range(similarities.shape[1])
    ]
    return Calibration(tuple(one.weights[0] for one in each), 0.0)


def simulated(n_runs: int) -> None:
    """Print the calibration of the EEG demo's decoder on a simulated person."""
    bundle = load_bundle(Path(str(_BUNDLES)) / DEMOS["eeg"].bundle)
    s, y, runs = _decode(bundle, n_runs)
    fit, test = runs < _N_FIT, runs >= _N_FIT
    free = s[fit].transpose(1, 0, 2).reshape(-1, s.shape[2])
    calibration = fit_calibration(s[fit], y[fit], free)
    calibration = fit_repeat_correlation(calibration, calibration.log_evidence(s[fit]), y[fit])
    raw = Calibration((1.0,) * s.shape[1], 1.0)
    print(
        f"simulated EEG, {s.shape[2]}-way, chance {1 / s.shape[2]:.3f}: calibrated on {fit.sum()} trials, scored on "
        f"n = {test.sum()}; the encoder saw neither. After the last window:"
    )
    ways = {
        "uncalibrated (sum of cosines)": raw,
        "each window by itself, as if independent": _apart(s[fit], y[fit]),
        "shipped (fitted on the training's held-out runs)": bundle.manifest.calibration,
        "calibrated": calibration,
    }
    for name, way in ways.items():
        print(_row(name, calibration_scores(way.log_evidence(s[test]), y[test], runs[test])))
    end_only = Calibration(calibration.weights, 0.0)
    print("After each window, log loss and ECE: uncalibrated; calibrated for the last one only; for each")
    for k in range(0, s.shape[1], 4):
        cells = []
        for way in (raw, end_only, calibration):
            told = calibration_scores(way.log_evidence(s[test], k), y[test], runs[test])
            cells.append(f"{told.log_loss:.4f} {told.ece:.4f}")
        print(f"  {100 + 25 * k:>4} ms   {';   '.join(cells)};   factor {calibration.after[k]:.2f}")
    _print_repeats(calibration, calibration.log_evidence(s[test]), y[test])


def _print_repeats(calibration: Calibration, log_evidence: FloatArray, y: IntArray) -> None:
    """Print what several showings of a picture say together, with the correlation that was fitted and without."""
    rho = calibration.repeat_correlation
    assert rho is not None
    print(f"Showings of one picture together, correlation {rho:.3f}: log loss with it; with 0; with 1")
    for n in (1, 2, 4, 8, 16):
        places = [np.flatnonzero(y == entry) for entry in np.unique(y)]
        sets = np.concatenate([own[: len(own) // n * n].reshape(-1, n) for own in places])
        total, truth = log_evidence[sets].sum(axis=1), y[sets[:, 0]]
        told = []
        for tried in (rho, 0.0, 1.0):
            way = Calibration(calibration.weights, 0.0, repeat_correlation=tried)
            scores = calibration_scores(way.of_repeats(total, n), truth, np.zeros(len(truth), np.int64))
            told.append(f"{scores.log_loss:.4f} (slope {scores.slope.value:.2f})")
        print(f"  {n:>2} showings, n = {len(truth):>4}:  {'   '.join(told)}")


def real(data: Path, folder: Path, epochs: int | None) -> None:
    """Print the calibration of channel attention on real EEG, every run decoded and calibrated without itself."""
    made = scored(data, folder, "channel-attention", epochs)
    log_odds, labels, runs = made.log_odds, made.face.astype(np.int64), made.runs
    evidence = np.stack([np.zeros_like(log_odds), log_odds], axis=1)
    scores = calibration_scores(evidence, labels, runs)
    print(f"faces against houses, leave one run out, nested calibration, single trial, 2-way, n = {scores.n}")
    print(_row("channel attention", scores))
    for confidence, right, n in zip(
        scores.reliability.confidence, scores.reliability.right, scores.reliability.n, strict=True
    ):
        print(f"    said {confidence:.3f}, right {right:.3f}, n = {n}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["simulated", "real"])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=_N_FIT + 17, help="simulated runs of 300 trials")
    parser.add_argument("--epochs", type=int, help="of channel attention on real EEG")
    asked = parser.parse_args()
    if asked.what == "simulated":
        simulated(asked.runs)
    elif asked.data is None or asked.folder is None:
        parser.error("real needs the folder of run-01.csv to run-05.csv and one for the bundles")
    else:
        real(asked.data, asked.folder, asked.epochs)


if __name__ == "__main__":
    main()
