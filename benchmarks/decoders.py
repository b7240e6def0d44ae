"""Every decoder on one simulated person, beside the ideal observer.

``python -m benchmarks.decoders FOLDER eeg|meg [--models a,b] [--trials N] [--epochs N] [--seed S] [--loudness X]
[--showings N]``. All decoders see the same trials of 600 ms through the same chain, at the published channel counts,
and are trained without the concepts of the 200 test images: 200-way exact image, chance .005, single trials and several
showings of an image put together. FOLDER holds the trials that were drawn. Each row is printed, and added to
FOLDER/MODALITY.jsonl, as soon as it is there; rows that are there, made with the same settings, are not made anew.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.drawn import PROTOCOLS, simulated_person
from benchmarks.drawn_trials import DrawnTrials, cut_windows, draw_trials, fit_decoder
from benchmarks.fitted import beside_ideal, encoded, simulated_gallery
from benchmarks.machine import machine
from decode_stream.config import Model
from decode_stream.decoders.cross_fit import similarities
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.ideal.ideal_observer import log_likelihood
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.simulation.subjects import enlarged
from decode_stream.stream.types import Modality
from decode_stream.training.models import MODELS

__all__ = ["main"]


def _measure(
    drawn: DrawnTrials, modality: Modality, model: Model, options: FitOptions, folder: Path
) -> dict[str, object]:
    trained, recipe, calibration, n_training, took_s = fit_decoder(drawn, modality, model, options, folder)
    gallery = simulated_gallery(drawn.pictures.embeddings, drawn.test_pictures)
    trials = cut_windows(drawn.test, np.arange(len(drawn.order)), drawn.order, recipe, folder)
    evidence = calibration.log_evidence(similarities(trained, trials, gallery, known=True))
    n_parameters, window_ms = encoded(trained, np.array(trials.windows[:4]))
    expected = gallery.embeddings.astype(np.float64) @ drawn.forward.weights + drawn.forward.bias
    row: dict[str, object] = {
        "model": model,
        "training_trials": n_training,
        "training_cpu_s": round(took_s, 1),
        "parameters": n_parameters,
        "ms_a_window": round(window_ms, 3),
    }
    n_entries = len(gallery.names)
    n_showings = len(drawn.order) // n_entries
    for n_together in (n for n in PROTOCOLS[modality].averages if n <= n_showings):
        group = drawn.order + n_entries * (np.arange(len(drawn.order)) // n_entries // n_together)
        # Showings left over, too few for one more group, are left out.
        n_groups = n_entries * (n_showings // n_together)
        truth = np.arange(n_groups) % n_entries
        said = np.zeros((int(group.max()) + 1, n_entries))
        np.add.at(said, group, evidence)
        said = said[:n_groups]
        pooled = drawn.seen.pooled(group)
        ideal = log_likelihood(pooled, expected, drawn.forward.specific.astype(np.float64))[:n_groups]
        top1, best = hits(said, truth), hits(ideal, truth)
        row[f"of {n_together}"] = beside_ideal(top1, best, truth, n_entries, n_training) | {
            "top5": round(float(hits(said, truth, 5).mean()), 4)
        }
    return row


def main() -> None:
    """Make the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("modality", choices=["eeg", "meg"])
    parser.add_argument(
        "--models", default=",".join(n for n, e in MODELS.items() if "eeg" in e.modalities and n != "lda")
    )
    parser.add_argument("--trials", type=int, default=8000)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--loudness", type=float, default=1.0, help="of the responses, against those of people"
    )
    parser.add_argument("--showings", type=int, default=40, help="of each test image")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    table = asked.folder / f"{asked.modality}.jsonl"
    settings = {name: getattr(asked, name) for name in ("trials", "showings", "loudness", "seed", "epochs")}
    rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    made = {row["model"] for row in rows if row["settings"] == settings}
    wanted = [model for model in asked.models.split(",") if model not in made]
    print(
        f"{machine()}; {asked.modality}, {asked.trials} training trials, "
        f"responses {asked.loudness:g} times as large as those of people",
        flush=True,
    )
    pictures, forward = simulated_person(asked.modality, asked.seed)
    person = (pictures, forward if asked.loudness == 1 else enlarged(forward, asked.loudness))
    drawn = draw_trials(asked.folder, asked.modality, person, asked.trials, asked.showings, asked.seed)
    for model in wanted:
        options = FitOptions(
            asked.seed,
            folder=asked.folder / asked.modality / "training",
            n_epochs=asked.epochs,
            report=lambda text: print(text, flush=True),
            progress=lambda report: print(report, flush=True),
        )
        row = _measure(drawn, asked.modality, model, options, asked.folder) | {"settings": settings}
        with table.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
