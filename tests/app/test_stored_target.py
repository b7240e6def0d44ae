"""Embeddings computed elsewhere: the forms of files, and what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from decode_stream.pictures.stored_target import stored_target
from decode_stream.stream.errors import UsageError

ROWS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def test_safetensors_hold_names_or_numbers(tmp_path: Path) -> None:
    save_file({"embeddings": ROWS}, tmp_path / "a.safetensors", {"names": json.dumps(["x", "y", "z"])})
    named = stored_target(f"file:{tmp_path / 'a.safetensors'}")
    np.testing.assert_array_equal(named.embeddings, ROWS)
    assert named.by_name == {"x": 0, "y": 1, "z": 2}
    assert (named.space.dimension, named.space.layer, named.space.norm) == (4, "a", "unit")
    ids = np.array([7, 5, 73])
    save_file({"embeddings": ROWS.astype(np.float16), "ids": ids}, tmp_path / "b.safetensors")
    numbered = stored_target(f"file:{tmp_path / 'b.safetensors'}")
    assert numbered.by_id == {(None, 7): 0, (None, 5): 1, (None, 73): 2}
    assert numbered.embeddings.dtype == np.float32
    assert numbered.space != named.space
    tokens = np.stack([ROWS, ROWS], axis=1)
    save_file({"embeddings": tokens, "ids": ids}, tmp_path / "c.safetensors")
    grid = stored_target(f"file:{tmp_path / 'c.safetensors'}")
    assert (grid.space.shape, grid.embeddings.shape) == ((2, 4), (3, 8))


def test_features_of_public_code_are_read(tmp_path: Path) -> None:
    import torch

    by_file = {f"train_images/1_a/a_{i}.jpg": torch.from_numpy(row) for i, row in enumerate(ROWS)}
    texts = {"a": torch.zeros(4)}
    # UBP: by file, at once or at several degrees of sharpness.
    torch.save({"img_features": by_file, "text_features": texts}, tmp_path / "ubp_train.pt")
    degrees = {"low": {}, "medium": by_file, "high": {}}
    torch.save({"img_features": degrees, "text_features": texts}, tmp_path / "ubp_blur.pt")
    for name in ("ubp_train.pt", "ubp_blur.pt"):
        target = stored_target(f"file:{tmp_path / name}")
        np.testing.assert_array_equal(target.embeddings, ROWS)
        assert target.by_name["train_images/1_a/a_2.jpg"] == 2
    # ATM: in the order of the dataset. NICE: by concept and picture.
    folder = tmp_path / "atm"
    folder.mkdir()
    train, test = np.zeros((16540, 2), np.float32), np.ones((200, 2), np.float32)
    torch.save({"img_features": torch.from_numpy(test)}, folder / "features_test.pt")
    np.save(folder / "features_training.npy", train.reshape(1654, 10, 2))
    both = stored_target(f"file:{folder}")
    assert both.embeddings[both.by_id["test", 200]].tolist() == [1, 1]
    assert both.embeddings[both.by_id["train", 16540]].tolist() == [0, 0]
    assert len(both.by_id) == 16740


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        stored_target(f"file:{path}")
    return str(error.value)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    assert "there are no files of embeddings in" in refused(tmp_path)
    assert "there is no file" in refused(tmp_path / "gone.npy")
    np.save(tmp_path / "a.npy", ROWS)
    assert "does not say which of its 3 rows is which picture" in refused(tmp_path / "a.npy")
    (tmp_path / "a.txt").write_text("x\ny\n")
    assert "has 2 names for 3 rows" in refused(tmp_path / "a.npy")
    (tmp_path / "a.txt").write_text("x\ny\nx\n")
    assert "names pictures more than once" in refused(tmp_path / "a.npy")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.json").write_text('{"x": 1}')
    assert "must be a JSON list of texts" in refused(tmp_path / "a.npy")
    (tmp_path / "a.json").write_text('["x"')
    assert "names beside" in refused(tmp_path / "a.npy")
    (tmp_path / "a.json").write_text('["x", "y", "z"]')
    np.save(tmp_path / "a.npy", np.where(ROWS > 0, ROWS, np.nan))
    assert "holds numbers that are not finite" in refused(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    assert "embeddings are rows of floating-point numbers" in refused(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.float32(3))
    assert "embeddings are rows of floating-point numbers" in refused(tmp_path / "a.npy")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    assert "cannot be read" in refused(tmp_path / "cut.safetensors")
    save_file({"other": ROWS}, tmp_path / "cut.safetensors")
    assert "holds other, not 'embeddings'" in refused(tmp_path / "cut.safetensors")


def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"img_features": Evil()}, tmp_path / "evil.pt")
    assert refused(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_real_embeddings_of_things_eeg2_go_by_number(real_data: Path) -> None:
    path = real_data / "clip_things_eeg2_test" / "clip_feature_maps_test.npy"
    target = stored_target(f"file:{path}")
    assert target.space.dimension == 768
    np.testing.assert_array_equal(target.embeddings[target.by_id["test", 17]], np.load(path)[16, 0])
