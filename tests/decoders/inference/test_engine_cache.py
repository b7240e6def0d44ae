"""Kept engines come back as they were written, and for nothing but what they were built for."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decode_stream.decoders.inference import engine_cache
from decode_stream.decoders.inference.engine_cache import EngineCache, EngineKey
from decode_stream.stream.errors import UsageError

KEY = EngineKey("ab" * 32, "TensorRT", "10.16.1.11", "NVIDIA H200", "9.0", "13.2", 5)
ENGINE = bytes(range(256)) * 40


class Said(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_an_engine_comes_back_as_it_was_written(cache: EngineCache) -> None:
    said = Said()
    assert cache.read(KEY, said) is None
    path = cache.write(KEY, ENGINE)
    assert path == cache.path(KEY)
    assert cache.read(KEY, said) == ENGINE
    assert said == []
    assert list(cache.folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "11.4.0.106"}, "by version 10.16.1.11, not 11.4.0.106"),
        (
            {"library": "TensorRT for RTX", "version": "1.7"},
            "by TensorRT, not TensorRT for RTX and by version",
        ),
        (
            {"gpu": "NVIDIA L40S", "compute_capability": "8.9"},
            "on NVIDIA H200, not NVIDIA L40S and for compute",
        ),
        ({"driver": "13.3"}, "under a driver of CUDA 13.2, not 13.3"),
        ({"most_batch": 64}, "for batches of up to 5, not 64"),
    ],
)
def test_an_engine_for_anything_else_is_left_and_told(
    cache: EngineCache, change: dict[str, object], told: str
) -> None:
    path = cache.write(KEY, ENGINE)
    other, said = msgspec.structs.replace(KEY, **change), Said()
    assert cache.read(other, said) is None
    assert len(said) == 1
    assert told in said[0]
    # One that was copied to where another belongs is known by its header.
    path.rename(cache.path(other))
    assert cache.read(other, said) is None
    assert told in said[1]
    assert said[1].startswith(f"The engine in {cache.path(other)} was built")
    cache.write(other, b"other")
    assert cache.read(other, said) == b"other"


def test_an_engine_of_another_network_is_not_spoken_of(cache: EngineCache) -> None:
    cache.write(KEY, ENGINE)
    other, said = msgspec.structs.replace(KEY, network="cd" * 32), Said()
    assert cache.read(other, said) is None
    assert said == []
    cache.path(KEY).rename(cache.path(other))
    assert cache.read(other, said) is None
    assert "was built of another network" in said[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_goes_unseen(cache: EngineCache, data: st.DataObject) -> None:
    path = cache.write(KEY, ENGINE[:600])
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        damaged = bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        damaged = bytes(content)
    path.write_bytes(damaged)
    said = Said()
    assert cache.read(KEY, said) is None
    assert len(said) == 1
    assert "built" in said[0]
    assert cache.read_timings(KEY) == b""


def test_what_is_cut_off_is_told_by_its_length(cache: EngineCache) -> None:
    path, said = cache.write(KEY, ENGINE), Said()
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.read(KEY, said) is None
    assert said == [f"The engine in {path} is damaged (10239 bytes of 10240): it is built anew"]


def test_timings_are_of_a_library_and_a_gpu_and_of_any_network(cache: EngineCache) -> None:
    assert cache.read_timings(KEY) == b""
    cache.write_timings(KEY, b"measured")
    assert cache.read_timings(msgspec.structs.replace(KEY, network="", most_batch=1)) == b"measured"
    for change in ({"version": "11"}, {"gpu": "L40S"}, {"driver": "14.0"}):
        assert cache.read_timings(msgspec.structs.replace(KEY, **change)) == b""
    (path,) = cache.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.read_timings(KEY) == b""


def test_those_not_used_for_longest_are_dropped_beyond_a_bound(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_cache, "_MOST_BYTES", 3 * (len(ENGINE) + 500))
    keys = [msgspec.structs.replace(KEY, most_batch=n) for n in range(1, 5)]
    for age, key in enumerate(keys[:3]):
        os.utime(cache.write(key, ENGINE), (1000 + age, 1000 + age))
    assert cache.read(keys[0], Said()) == ENGINE  # which is a use
    cache.write_timings(KEY, b"measured")
    cache.write(keys[3], ENGINE)
    assert [cache.path(key).exists() for key in keys] == [True, False, True, True]
    assert cache.read_timings(KEY) == b"measured"
    monkeypatch.setattr(engine_cache, "_MOST_BYTES", 10)
    assert cache.write(keys[1], ENGINE).exists()  # never the one just built


def _write_often(folder: Path, content: bytes) -> int:
    cache = EngineCache(folder)
    found = 0
    for _ in range(40):
        cache.write(KEY, content)
        read = cache.read(KEY, _no_word)
        assert read is not None
        assert len(set(read)) == 1
        found += len(read)
    return found


def _no_word(text: str) -> None:
    raise AssertionError(text)


def test_two_programs_that_build_at_once_do_not_harm_each_other(cache: EngineCache) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(_write_often, cache.folder, letter * 50_000) for letter in (b"a", b"b")]
        assert [one.result() for one in both] == [40 * 50_000] * 2
    assert [path.name for path in cache.folder.iterdir()] == [cache.path(KEY).name]


def test_a_folder_that_cannot_be_written_to_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = EngineCache(tmp_path / "file")
    assert cache.read(KEY, Said()) is None
    with pytest.raises(UsageError, match="Engines cannot be kept in .*DECODE_STREAM_CACHE"):
        cache.write(KEY, ENGINE)


def test_the_folder_is_where_the_machine_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DECODE_STREAM_CACHE", str(tmp_path))
    assert EngineCache().folder == tmp_path / "engines"
