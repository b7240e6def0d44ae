"""A journal gives back what went in, up to where it was cut off."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.stream.errors import UsageError
from decode_stream.stream.fmri.journal import (
    Journal,
    JournalHeader,
    JournalVolume,
    KeptRun,
    read_journal,
    set_aside,
)
from decode_stream.stream.types import Marker

HEADER = JournalHeader("abc", "1.2.3", 1.333, (2, 3, 4), ("0,0,0", "trans_x"), True, "", 0, "ab", 12.5, 1e9)
MARKER = Marker(13.25, "face", 13.3, "Gesicht")
REFERENCE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def volume(number: int) -> JournalVolume:
    rng = np.random.default_rng(number)
    return JournalVolume(number, rng.random(2, np.float32), rng.random(6))


def written(path: Path) -> KeptRun:
    journal = Journal(path, HEADER)
    journal.add_reference(REFERENCE)
    journal.add_volume(volume(0))
    journal.add_marker(MARKER)
    journal.add_volume(volume(2))
    journal.close()
    kept = read_journal(path)
    assert kept is not None
    return kept


def test_what_went_in_comes_back_to_the_bit(tmp_path: Path) -> None:
    kept = written(tmp_path / "run")
    assert kept.header == HEADER
    assert kept.markers == (MARKER,)
    assert kept.reference is not None
    np.testing.assert_array_equal(kept.reference, REFERENCE)
    assert [v.number for v in kept.volumes] == [0, 2]
    for back in kept.volumes:
        np.testing.assert_array_equal(back.row, volume(back.number).row)
        np.testing.assert_array_equal(back.state, volume(back.number).state)
    assert kept.n_bytes == (tmp_path / "run").stat().st_size


def test_cut_off_anywhere_it_gives_what_is_whole_and_goes_on_there(tmp_path: Path) -> None:
    path = tmp_path / "run"
    written(path)
    whole = path.read_bytes()
    counts = []
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        kept = read_journal(path)
        counts.append(-1 if kept is None else len(kept.volumes))
        if kept is not None:
            assert kept.n_bytes <= n
    assert counts == sorted(counts)
    assert counts[-1] == 1
    kept = read_journal(path)
    assert kept is not None
    journal = Journal(path, HEADER, kept)
    journal.add_volume(volume(2))
    journal.close()
    assert path.read_bytes() == whole


def test_damage_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "run"
    written(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    kept = read_journal(path)
    assert kept is not None
    assert [v.number for v in kept.volumes] == [0]


def test_what_it_belongs_to_is_told_apart() -> None:
    assert HEADER.difference(replace(HEADER, began_s=3.0)) == ""
    assert HEADER.difference(replace(HEADER, bundle="d")) == "another decoder"
    assert HEADER.difference(replace(HEADER, series="x", tr_s=2.0)) == (
        "another series and another repetition time"
    )
    assert HEADER.difference(replace(HEADER, reference="x")) == "another choice of motion correction"
    assert HEADER.difference(replace(HEADER, first_sha256="cd")) == "another run of this name"
    assert HEADER.difference(replace(HEADER, first=7, first_sha256="cd")) == ""


def test_another_file_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    with pytest.raises(UsageError, match="no journal"):
        read_journal(path)
    assert read_journal(tmp_path / "none") is None


def test_one_that_is_set_aside_keeps_its_name_with_a_number(tmp_path: Path) -> None:
    for n in (1, 2):
        (tmp_path / "run").write_text(str(n))
        assert set_aside(tmp_path / "run") == tmp_path / f"run.{n}"
    assert (tmp_path / "run.1").read_text() == "1"
