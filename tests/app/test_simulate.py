"""What `decode-stream simulate` refuses."""

from pathlib import Path

import pytest

from decode_stream.stream.errors import UsageError

from .live_as_offline import run


def test_what_stands_there_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="is not an empty folder"):
        run("simulate", "nsd", "--out", tmp_path)


def test_what_cannot_be_simulated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--forms names rwa; this layout has: source, raw"):
        run("simulate", "things-eeg2", "--out", tmp_path / "x", "--forms", "rwa")
    with pytest.raises(UsageError, match="NSD has eight"):
        run("simulate", "nsd", "--out", tmp_path / "x", "--subject", 9)
    with pytest.raises(UsageError, match=r"--embeddings .* cannot be taken"):
        run("simulate", "things-eeg2", "--out", tmp_path / "x", "--embeddings", tmp_path / "none.npy")
