import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.runtime import UNKNOWN_LATENCY, Encoder
from decode_stream.stream.errors import BundleError, UsageError

from .bundles import edit_manifest, small_bundle


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_bundle(small_bundle(), tmp_path / "small.bundle")
    return tmp_path / "small.bundle"


@pytest.mark.parametrize("name", ["b.bundle", "b.bundle.zip"])
def test_a_bundle_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    bundle = save_bundle(small_bundle(), tmp_path / name)
    again = load_bundle(tmp_path / name)
    assert again.manifest == bundle.manifest
    assert again.sha256 == bundle.sha256 != ""
    assert again.encoder == bundle.encoder
    assert np.array_equal(again.gallery, bundle.gallery)
    assert again.thumbnails == {"face": b"\x89PNG"}
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_nothing_is_replaced_unless_asked_and_never_what_is_no_bundle(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(small_bundle(), saved)
    save_bundle(small_bundle(n_latencies=3), saved, overwrite=True)
    assert load_bundle(saved).manifest.n_latencies == 3
    precious = tmp_path / "thesis"
    precious.mkdir()
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(small_bundle(), precious, overwrite=True)


@pytest.mark.parametrize(
    "name", ["encoder.onnx", "gallery.safetensors", "gallery/00001.png", "bundle.json", "bundle.sha256"]
)
def test_a_changed_byte_is_found(saved: Path, name: str) -> None:
    data = bytearray((saved / name).read_bytes())
    data[-1] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(
        BundleError,
        match=f"{'bundle.json' if name == 'bundle.sha256' else name}.*SHA-256.*Copy it again",
    ):
        load_bundle(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema 99.*up to 2.*pip install -U"),
        ({"schema": None}, "no schema version"),
        ({"n_latencies": 7}, "5 calibration weights for 7 latencies"),
        ({"n_latencies": "five"}, "not a valid manifest"),
        ({"gallery": ["a", "a"]}, "names that differ"),
        ({"labels": {"1": "cat"}}, "gallery lacks: cat"),
        ({"files": {"../../etc/passwd": "00"}}, "lies outside"),
        ({"files": {"C:\\x": "00"}}, "lies outside"),
        ({"files": {}}, "no encoder.onnx"),
        ({"gallery": ["a", "b", "c"], "labels": {}}, r"shape \(2, 2\).*\(3, 2\)"),
    ],
)
def test_impossible_manifests_are_refused(saved: Path, changes: dict[str, object], message: str) -> None:
    edit_manifest(saved, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(saved)


def test_an_edited_number_is_found(saved: Path) -> None:
    text = (saved / "bundle.json").read_text()
    assert '"step_s": 0.025' in text
    (saved / "bundle.json").write_text(text.replace('"step_s": 0.025', '"step_s": 0.05'))
    with pytest.raises(BundleError, match="bundle.json in .* is not the file that was saved"):
        load_bundle(saved)


def test_what_is_no_bundle_is_refused(tmp_path: Path, saved: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "nowhere", "no bundle at .*decode-stream train"),
        (tmp_path / "text", "neither a bundle's folder nor a .zip"),
        (tmp_path / "empty", "without bundle.json"),
    ):
        with pytest.raises(BundleError, match=message):
            load_bundle(path)
    (saved / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match="encoder.onnx.*missing or cannot be read"):
        load_bundle(saved)


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    save_bundle(small_bundle(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BundleError, match=r"neither a bundle's folder nor a \.zip|cannot be read"):
        load_bundle(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bundle.json", b"{")
    with pytest.raises(BundleError, match=r"bundle.sha256 in .* is missing or cannot be read.*Copy it again"):
        load_bundle(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("bundle.sha256", hashlib.sha256(b"{").hexdigest())
    with pytest.raises(BundleError, match="not a valid manifest"):
        load_bundle(path)


def test_labels_name_gallery_entries() -> None:
    manifest = small_bundle().manifest
    assert manifest.stimuli() == {"house": 0, "face": 1, "1": 0, "2": 1}
    assert manifest.stimuli({"17": "face"}) == {"house": 0, "face": 1, "17": 1}
    with pytest.raises(BundleError, match="--events names cat.*house, face"):
        manifest.stimuli({"1": "cat"})


def test_the_encoder_runs_any_batch() -> None:
    encoder = Encoder(small_bundle())
    windows = np.zeros((3, 2, 20), np.float32)
    windows[1, 0] = 2.0
    out = encoder.encode(windows, np.array([0.0, 0.1, UNKNOWN_LATENCY], np.float32))
    assert out[1].tolist() == pytest.approx([-2.0, 2.0])
    assert encoder.provider == "CPU"


def test_encoders_that_do_not_fit_are_refused() -> None:
    bundle = small_bundle()
    with pytest.raises(BundleError, match="cannot be run"):
        Encoder(Bundle(bundle.manifest, b"not onnx", bundle.gallery))
    wide = small_bundle(weights=np.zeros((40, 3), np.float32))
    with pytest.raises(BundleError, match=r"\(3,\).*\(2,\)"):
        Encoder(wide)


def test_a_provider_that_is_not_there_is_refused_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decode_stream.decoders.inference.providers.no_gpu", lambda: "no NVIDIA driver")
    with pytest.raises(UsageError, match=r"'cuda' .* \(no NVIDIA driver\); this machine has: cpu"):
        Encoder(small_bundle(), "cuda")
