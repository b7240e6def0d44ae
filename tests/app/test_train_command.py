"""`decode-stream train` on pictures, from the files of a small THINGS-EEG2 to a bundle that decodes others."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from decode_stream.cli import app
from decode_stream.decoders import recipe
from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.bundle_files import load_manifest
from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.training.history import EpochReport
from decode_stream.pictures.targets import objects_space
from decode_stream.stream.errors import BundleError, DecodeStreamError, UsageError
from decode_stream.training import training_set
from decode_stream.training.progress import TrainingProgress
from tests.replay_data.things_eeg_sample import write_image_metadata

#: What a lab types; few epochs, and a rate at which they tell something.
QUICK = ("--modality", "eeg", "--target", "objects:layout", "--batch-size", 48, "--learning-rate", 2e-3)
CHANNELS = ("O1", "Oz", "O2", "PO3", "PO4", "POz")
N_CONCEPTS, N_WITHIN, N_REPEATS, N_TIMES = 12, 3, 4, 100
#: In fewer, rounding decides what NICE learns of so little.
N_EPOCHS = 30
TEST_CONCEPTS = 6


def run(*tokens: object) -> int:
    code = app([str(token) for token in tokens], result_action="return_value")
    assert isinstance(code, int)
    return code


def files_of(split: str) -> list[str]:
    """Return folder and file of every picture, in the order of the numbers."""
    if split == "test":
        return [f"{i:05}_other{i}/other{i}_01s.png" for i in range(1, TEST_CONCEPTS + 1)]
    return [
        f"{i:05}_thing{i}/thing{i}_{k:02}s.png"
        for i in range(1, N_CONCEPTS + 1)
        for k in range(1, N_WITHIN + 1)
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of two people at six electrodes, whose signal follows the hue of what they saw."""
    torch.set_num_threads(1)
    root, rng = tmp_path_factory.mktemp("things-eeg2"), np.random.default_rng(0)
    files = {split: files_of(split) for split in ("train", "test")}
    folder_of = {split: [name.split("/")[0] for name in names] for split, names in files.items()}
    write_image_metadata(
        root, folder_of, {split: [n.split("/")[1] for n in names] for split, names in files.items()}
    )
    hues = {split: np.linspace(0, 2 * np.pi, len(names), endpoint=False) for split, names in files.items()}
    hues["train"] = rng.permutation(hues["train"])
    for split, names in files.items():
        for name, hue in zip(names, hues[split], strict=True):
            path = root / "image_set" / {"train": "training_images", "test": "test_images"}[split] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = tuple(int(128 + 120 * np.cos(hue + phase)) for phase in (0, 2, 4))
            Image.new("RGB", (16, 16), colour).save(path)
    patterns = rng.standard_normal((2, len(CHANNELS), N_TIMES))
    for subject in (1, 2):
        folder = root / "Preprocessed_data_250Hz" / f"sub-{subject:02}"
        folder.mkdir(parents=True)
        for split, name in (("train", "training"), ("test", "test")):
            shape = (len(files[split]), N_REPEATS, len(CHANNELS), N_TIMES)
            shown = np.stack([np.cos(hues[split]), np.sin(hues[split])], axis=1)
            data = np.tensordot(shown, subject * patterns, 1)[:, None] + rng.standard_normal(shape)
            held = {
                "preprocessed_eeg_data": data,
                "ch_names": list(CHANNELS),
                "times": np.arange(N_TIMES) / 100,
            }
            np.save(folder / f"preprocessed_eeg_{name}.npy", held)  # type: ignore[arg-type]
    return root


def trials(dataset: Path, subject: int = 1, split: str = "training") -> Path:
    return dataset / "Preprocessed_data_250Hz" / f"sub-{subject:02}" / f"preprocessed_eeg_{split}.npy"


@pytest.fixture(scope="module")
def nice(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of NICE for the first person."""
    out = tmp_path_factory.mktemp("nice") / "nice.bundle"
    assert run("train", trials(dataset), *QUICK, "--model", "nice", "--epochs", N_EPOCHS, "--out", out) == 0
    return out


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pictures_that_were_never_trained_on_are_told_apart(
    dataset: Path, nice: Path, tmp_path: Path
) -> None:
    manifest = load_bundle(nice).manifest
    training = manifest.training
    assert (training.model, training.target, training.subjects) == ("nice", "objects:layout", ("sub-01",))
    concepts = {name.rpartition("_")[0] for name in manifest.gallery}
    assert (len(concepts), len(manifest.gallery)) == (2, 2 * N_WITHIN)
    assert training.n_trials == (N_CONCEPTS - 2) * N_WITHIN * N_REPEATS
    assert training.protocol.startswith("2 concepts held out")
    assert left_behind(nice.parent) == ["nice.bundle"]

    other, out = tmp_path / "test.bundle", tmp_path / "test.json"
    images = dataset / "image_set" / "test_images"
    assert run("gallery", images, "--target", "objects:layout", "--bundle", nice, "--out", other) == 0
    assert run("evaluate", trials(dataset, split="test"), "--bundle", other, "--json", out) == 0
    accuracy = json.loads(out.read_text())["accuracy"]
    assert (accuracy["n"], accuracy["k"]) == (TEST_CONCEPTS * N_REPEATS, TEST_CONCEPTS)
    assert accuracy["top1_interval"][0] > accuracy["chance"]


def test_a_training_that_was_stopped_ends_in_the_same_bundle(
    dataset: Path, nice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ("train", trials(dataset), *QUICK, "--model", "nice", "--epochs", N_EPOCHS)
    out = tmp_path / "nice.bundle"
    epochs: list[int] = []

    def stop(self: TrainingProgress, report: EpochReport) -> None:
        epochs.append(report.epoch)
        if report.epoch == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "epoch", stop)
        with pytest.raises(SystemExit):
            run(*order, "--out", out)
    assert left_behind(tmp_path) == ["nice.bundle.training"]
    monkeypatch.setattr(TrainingProgress, "epoch", lambda self, report: epochs.append(report.epoch))
    with pytest.raises(UsageError, match=r"belongs to another training: .*seed.* rm .*checkpoint"):
        run(*order, "--seed", 1, "--out", out)
    assert run(*order, "--out", out) == 0
    assert epochs == list(range(1, N_EPOCHS + 1))
    assert left_behind(tmp_path) == ["nice.bundle"]
    assert load_bundle(out).sha256 == load_bundle(nice).sha256


def test_a_training_that_fails_half_way_leaves_no_bundle(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "nice.bundle"
    tokens = ("--modality", "eeg", "--target", "objects:layout", "--learning-rate", 1e6, "--epochs", 3)
    with pytest.raises(DecodeStreamError, match=r"diverged in epoch \d of 3.*--learning-rate 1e\+05"):
        run("train", trials(dataset), *tokens, "--model", "nice", "--out", out)
    assert "nice.bundle" not in left_behind(tmp_path)


def test_a_training_goes_on_from_a_bundle(
    dataset: Path, nice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a rate of next to nothing and for one epoch, the weights are those of the bundle."""
    quiet = (*QUICK[:-1], 1e-9, "--epochs", 1, "--init-from", nice)
    out = tmp_path / "tuned.bundle"
    assert run("train", trials(dataset, 2), *quiet, "--out", out) == 0
    before, after = load_bundle(nice, weights=True), load_bundle(out, weights=True)
    assert before.weights.keys() == after.weights.keys()
    for name, value in before.weights.items():
        if "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(after.weights[name], value, atol=1e-6)
    assert "the weights that it began with may know" in after.manifest.training.protocol

    assert after.manifest.training.model == "nice"
    # What its ancestor was trained on is no test of it, and nothing to go on with.
    first, training = before.manifest.training, after.manifest.training
    assert set(first.fingerprints) < set(training.fingerprints)
    assert "preprocessed_eeg_training" in training.learnt_first[0]
    assert before.sha256[:12] in training.learnt_first[0]
    capsys.readouterr()
    assert run("inspect", out) == 0
    assert "learnt first from" in capsys.readouterr().out
    grandchild = (*quiet[:-1], out, "--out", tmp_path / "grandchild.bundle")
    with pytest.raises(UsageError, match=r"was trained on preprocessed_eeg_training\.npy.*no test"):
        run("train", trials(dataset), *grandchild)
    new = ("--out", tmp_path / "new.bundle")
    with pytest.raises(UsageError, match=r"was made by --model nice.*Train with --model nice"):
        run("train", trials(dataset, 2), *quiet, *new, "--model", "eegnet")
    with pytest.raises(UsageError, match=r"was trained on preprocessed_eeg_training\.npy.*no test"):
        run("train", trials(dataset), *quiet, *new)
    with pytest.raises(UsageError, match=r"--channels is Oz,O1, and the bundle .* O1,Oz,O2,PO3,PO4,POz"):
        run("train", trials(dataset, 2), *quiet, *new, "--channels", "Oz,O1")
    other = [("colour-layout" if token == "objects:layout" else token) for token in quiet]
    with pytest.raises(UsageError, match=r"Give the bundle's own target, --target objects:layout"):
        run("train", trials(dataset, 2), *other, *new)
    assert left_behind(tmp_path) == ["tuned.bundle"]


@pytest.mark.parametrize(
    "how", [("eegnet",), ("channel-attention", "--loss", "soft-clip", "--schedule", "cosine")]
)
def test_two_heads_learn_from_other_people_first(
    dataset: Path, how: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = ("--model", *how, "--structure", "colour-layout:2x2")
    order = ("train", trials(dataset), trials(dataset, 2), *QUICK, *heads, "--epochs", 2)
    out = tmp_path / "eegnet.bundle"
    with pytest.raises(UsageError, match=r"2 people: sub-01, sub-02.*--subject"):
        run(*order, "--out", out)
    capsys.readouterr()
    assert run(*order, "--subject", "sub-02", "--out", out) == 0
    stages = [line for line in capsys.readouterr().err.splitlines() if "epoch 2 of 2" in line]
    assert len(stages) == 2
    assert "first" in stages[0]
    bundle = load_bundle(out)
    structure, features, training = bundle.manifest.structure, bundle.features, bundle.manifest.training
    chosen = dict(zip(how[1::2], how[2::2], strict=True))
    assert {f"--{name}": value for name, value in training.asked.items()} == {
        "--epochs": "2",
        "--batch-size": "48",
        "--learning-rate": "0.002",
    } | chosen
    assert structure is not None
    assert features is not None
    assert features.shape == (structure.dimension,) == (12,)
    assert features.sum() == 3  # a quarter
    assert (training.subjects, len(training.recordings), len(training.fingerprints)) == (("sub-02",), 1, 2)
    assert training.learnt_first == ("preprocessed_eeg_training.npy of sub-01",)
    # What was learnt from first is no test either.
    result = tmp_path / "one.json"
    assert run("evaluate", trials(dataset), "--bundle", out, "--json", result) == 0
    assert json.loads(result.read_text())["recordings"][0]["trained_on"]


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights of the flat projection network as UBP's code saves them, for the trials here."""
    size = ProjectionConfig(len(CHANNELS), N_TIMES, objects_space("layout").dimension)
    own = Projection(size, seed=5).state_dict()
    parts = {
        "project.map": "brain.model.0",
        "project.step": "brain.model.1.f.1",
        "project.norm": "brain.model.2",
    }
    state = {
        f"{parts[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in own.items()
    }
    path = tmp_path_factory.mktemp("public") / "ubp.pth"
    torch.save(state, path)
    return path


def test_a_bundle_says_that_it_began_with_public_weights(
    dataset: Path, public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again = tmp_path / "ubp.bundle", tmp_path / "again.bundle"
    order = (*QUICK, "--epochs", 1, "--out")
    assert run("train", trials(dataset), *order, out, "--model", "projection", "--init-from", public) == 0
    sha256 = hashlib.sha256(public.read_bytes()).hexdigest()
    origin = load_manifest(out).training.public
    assert origin is not None
    assert (origin.files, origin.code) == (
        {"ubp.pth": sha256},
        "github.com/HaitaoWuTJU/Uncertainty-aware-Blur-Prior",
    )
    said = f"began with ubp.pth (SHA-256 {sha256[:12]}) of {origin.code}; as there"
    assert said in capsys.readouterr().out
    # What goes on from it still does as the public code does, and says so.
    assert run("train", trials(dataset, 2), *order, again, "--init-from", out) == 0
    assert load_manifest(again).training.public == origin
    capsys.readouterr()
    assert run("inspect", again) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "bundle, eeg, projection" in told
    assert "ubp.pth (SHA-256" in told
    assert "its weights can be trained on from" in told
    assert "--epochs 1, --batch-size 48, --learning-rate 0.002" in told
    (again / "encoder.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"encoder\.onnx .* is not the file that was saved"):
        run("inspect", again)


def test_weights_that_do_not_fit_are_refused_before_anything_is_read(
    dataset: Path, nice: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("pictures were embedded, or trials cut")

    monkeypatch.setattr(training_set, "picture_embeddings", never)
    monkeypatch.setattr(recipe, "cut_trials", never)
    order = ("--modality", "eeg", "--out", tmp_path / "x.bundle", "--init-from")
    ours = ("train", trials(dataset), "--target", "objects:layout", *order)
    with pytest.raises(
        UsageError, match=r"shape than here: brain\.model\.0\.weight \(\d+, 600\), not \(\d+, 300\)"
    ):
        run(*ours, public, "--model", "projection", "--channels", "O1,Oz,O2")
    with pytest.raises(UsageError, match=r"do not fit Projection; of another shape"):
        run("train", trials(dataset), "--target", "objects", *order, public, "--model", "projection")
    with pytest.raises(UsageError, match=r"do not fit Nice; missing: .*; unknown: brain\.model\.0\.weight"):
        run(*ours, public, "--model", "nice")
    with pytest.raises(UsageError, match="no public weights of EegNet"):
        run(*ours, public, "--model", "eegnet")
    wrong = ("train", trials(dataset, 2), "--target", "objects", *order, nice)
    with pytest.raises(UsageError, match=r"decodes objects .* layout of dimension .*--target objects:layout"):
        run(*wrong)
    with pytest.raises(UsageError, match=r"holds another network: project\.map\.bias \(64, here 76\).*heads"):
        run(
            "train",
            trials(dataset, 2),
            "--target",
            "objects:layout",
            "--structure",
            "colour-layout:2x2",
            *order,
            nice,
        )
    (tmp_path / "no.pth").write_bytes(b"none")
    with pytest.raises(UsageError, match=r"no\.pth (cannot be read as|is no file of) weights"):
        run(*ours, tmp_path / "no.pth", "--model", "projection")
    assert left_behind(tmp_path) == ["no.pth"]
