"""The interval that `evaluate` tells, of pictures and of categories."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from decode_stream.cli import app
from decode_stream.decoders.bundle import load_bundle, save_bundle

from .test_evaluate import N_PICTURES, picture_bundle, write_run


def test_pictures_shown_again_widen_the_interval_and_categories_do_not(tmp_path: Path) -> None:
    names = tuple(f"p{i}" for i in range(N_PICTURES))
    pictures = picture_bundle(tmp_path / "pictures.bundle", names)
    bundle = load_bundle(pictures)
    space = replace(bundle.manifest.space, model="categories")
    categories = tmp_path / "categories.bundle"
    save_bundle(replace(bundle, manifest=replace(bundle.manifest, space=space)), categories)
    run, summary = write_run(tmp_path / "run.csv", 0), tmp_path / "x.json"
    told = []
    for path in (pictures, categories):
        tokens = ("evaluate", run, "--bundle", path, "--json", summary)
        assert app([str(token) for token in tokens], result_action="return_value") == 0
        told.append(json.loads(summary.read_text())["accuracy"])
    assert [one["interval"].endswith("over pictures") for one in told] == [True, False]
    assert np.ptp(told[0]["top1_interval"]) > np.ptp(told[1]["top1_interval"])
