"""Embeddings on disk: encoded once, dropped where damaged, gone on with where a run was ended."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets import cache as module
from decode_stream.decoders.targets.cache import Item, cached, default_cache
from decode_stream.stream.errors import UsageError

SPACE = EmbeddingSpace("lengths", "letters", 3)
WORDS = [f"word {i}" * (i % 5) for i in range(20)]


def items_of(words: Sequence[str]) -> list[Item[str]]:
    return [Item(word.encode, bytes.decode) for word in words]


class Counted:
    """Encodes words, and counts how many."""

    def __init__(self, most: int = 10**9) -> None:
        self.n, self.most = 0, most

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        if self.n + len(words) > self.most:
            raise KeyboardInterrupt
        self.n += len(words)
        return expected(words)


def expected(words: Sequence[str]) -> np.ndarray:
    return np.array([[len(w), w.count("1"), len(w) / 3] for w in words], np.float32).reshape(-1, 3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ITEMS", 4)


def test_each_is_encoded_once(tmp_path: Path) -> None:
    encode, told = Counted(), list[tuple[int, int]]()
    first = cached(tmp_path, SPACE, items_of(WORDS), encode, lambda done, of: told.append((done, of)))
    np.testing.assert_array_equal(first, expected(WORDS))
    assert encode.n == len(set(WORDS)) == 17
    assert told[-1] == (20, 20)
    again = cached(tmp_path, SPACE, items_of([*WORDS[::-1], "new"]), encode)
    np.testing.assert_array_equal(again, expected([*WORDS[::-1], "new"]))
    assert encode.n == 18
    assert cached(tmp_path, SPACE, [], encode).shape == (0, 3)


def test_another_space_is_kept_apart(tmp_path: Path) -> None:
    encode = Counted()
    for space in (
        SPACE,
        EmbeddingSpace("lengths", "letters", 3, clamp=1.5),
        EmbeddingSpace("lengths", "other", 3),
    ):
        cached(tmp_path, space, items_of(WORDS[:3]), encode)
    assert encode.n == 9


@pytest.mark.parametrize(
    "damage",
    [
        lambda held: held[: len(held) // 2],
        lambda held: held[:-1] + bytes([held[-1] ^ 1]),
        lambda held: b"",
        lambda held: b"\xff" * len(held),
        lambda held: held[:8] + b"[" + held[9:],
    ],
    ids=["cut", "changed", "empty", "noise", "header"],
)
def test_what_is_damaged_is_dropped_and_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    cached(tmp_path, SPACE, items_of(WORDS), Counted())
    files = sorted(tmp_path.glob("*/*.safetensors"))
    assert len(files) == 5
    files[0].write_bytes(damage(files[0].read_bytes()))
    encode = Counted()
    np.testing.assert_array_equal(cached(tmp_path, SPACE, items_of(WORDS), encode), expected(WORDS))
    assert 1 <= encode.n <= 4
    whole = Counted()
    np.testing.assert_array_equal(cached(tmp_path, SPACE, items_of(WORDS), whole), expected(WORDS))
    assert whole.n == 0
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 5


def test_a_run_that_was_ended_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, SPACE, items_of(WORDS), Counted(most=9))
    assert not list(tmp_path.rglob("*.part"))
    encode = Counted()
    np.testing.assert_array_equal(cached(tmp_path, SPACE, items_of(WORDS), encode), expected(WORDS))
    assert encode.n == 17 - 8


def test_all_that_cannot_be_decoded_is_told_at_once(tmp_path: Path) -> None:
    def refuse(held: bytes) -> str:
        raise UsageError(f"{held.decode()} is no picture.")

    bad = [Item(f"bad {i}".encode, refuse) for i in range(12)]
    with pytest.raises(UsageError, match="12 pictures cannot be used") as refused:
        cached(tmp_path, SPACE, [*items_of(WORDS[1:3]), *bad], Counted())
    assert "bad 9 is no picture" in str(refused.value)
    assert "bad 10" not in str(refused.value)
    assert "and 2 more" in str(refused.value)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives numbers that are not finite"):
        cached(tmp_path, SPACE, items_of(["a"]), lambda words: np.full((1, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="gave embeddings of shape"):
        cached(tmp_path, SPACE, items_of(["a"]), lambda words: np.zeros((1, 2), np.float32))
    assert not list(tmp_path.glob("*/*.safetensors"))


def test_a_picture_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    held = iter([b"before", b"after"])
    with pytest.raises(UsageError, match="changed while it was being encoded"):
        cached(tmp_path, SPACE, [Item(lambda: next(held), bytes.decode)], Counted())


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    encode = Counted()
    with pytest.raises(UsageError, match="cannot be kept in .*Give another folder"):
        cached(tmp_path / "file", SPACE, items_of(WORDS), encode)
    assert encode.n == 0


def test_the_folder_is_the_platforms_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DECODE_STREAM_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / "embeddings"
    monkeypatch.delenv("DECODE_STREAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_cache() == tmp_path / "xdg" / "decode-stream" / "embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache().parts[-3:] == (".cache", "decode-stream", "embeddings")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_cache().parts[-4:] == ("Library", "Caches", "decode-stream", "embeddings")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_cache() == tmp_path / "local" / "decode-stream" / "embeddings"
