"""An evaluation under way: what was decoded, by what, of whom."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import Decoded
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.replay_data.things_eeg.images import concept_name
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Evaluation", "check_pictures", "concept_of", "p_text"]

_THINGS_PICTURE = re.compile(r"(.+)_\d+[a-z]{1,2}")  # aardvark_01b


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that protocols measure from.

    Attributes
    ----------
    recordings : sequence of Recording
        One a run, in the order of the runs' numbers.
    stimuli : dict of str to int
        Gallery index by marker label.
    centres : Bundle or None
        Whose gallery holds other pictures of the concepts.
    seed : int
        Of shuffles, draws and groups.
    others : sequence of Evaluation
        What other decoders say of the same recordings.
    categories_of : callable or None
        Takes a picture's name and returns what is in it, None where that is not known. Without it a picture's name says
        its concept, and no more.
    """

    decoded: Decoded
    encoder: Encoder
    recordings: Sequence[Recording]
    stimuli: Mapping[str, int]
    centres: Bundle | None = None
    seed: int = 0
    others: Sequence["Evaluation"] = ()
    categories_of: Callable[[str], frozenset[str] | None] | None = None

    @property
    def bundle(self) -> Bundle:
        """What decodes."""
        return self.decoded.bundle

    @property
    def scores(self) -> Scores:
        """The trials as a session would have scored them."""
        return self.decoded.scores

    @property
    def truth(self) -> IntArray:
        """True gallery index of each trial, shape (n_trials,)."""
        return self.decoded.truth

    @property
    def chance(self) -> float:
        """Of the exact picture, out of the whole gallery."""
        return 1 / self.scores.n_entries

    def some(self, most: int) -> tuple[IntArray, tuple[str, ...]]:
        """Return at most so many trials, evenly from first to last, and a note where these are not all."""
        n = self.scores.n
        if n <= most:
            return np.arange(n), ()
        return np.linspace(0, n - 1, most).astype(np.int64), (
            f"{most} of {n} trials, evenly from first to last",
        )

    def encode(self, windows: FloatArray, latencies_s: FloatArray) -> FloatArray:
        """Return the embeddings of windows, a few hundred at a time."""
        parts = [
            self.encoder.encode(
                np.ascontiguousarray(windows[start : start + 512], np.float32),
                latencies_s[start : start + 512].astype(np.float32),
            )
            for start in range(0, len(windows), 512)
        ]
        return np.concatenate(parts)


def concept_of(name: str) -> str:
    """Return the concept that a picture of a gallery shows, by its name.

    ``aardvark`` of ``aardvark_01b`` and of ``00001_aardvark/3``, the folder of ``tools/hammer``, else the name itself.
    """
    *folders, stem = name.split("/")
    if found := _THINGS_PICTURE.fullmatch(stem):
        return found[1]
    return concept_name(folders[-1]) if folders else name


def p_text(p: float) -> str:
    """Return a p value as ``= 0.022``, or ``< 0.001``."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def check_pictures(recording: Recording, bundle: Bundle) -> None:
    """Refuse a recording whose numbers mean other pictures than the gallery's.

    THINGS-EEG2 counts the pictures of training and of test from 1 each, so that a training recording scored against a
    gallery of test pictures would give numbers, all of them wrong.

    Raises
    ------
    RecordingError
        If the recording says which split its pictures are of and what they are, and none of those that its numbers
        name in the gallery is the picture of that name.
    """
    table, manifest = recording.stimuli, bundle.manifest
    if table.split is None or table.id is None or manifest.space.of_categories:
        return
    named = [
        (row, manifest.labels[str(number)])
        for row, number in enumerate(table.id)
        if str(number) in manifest.labels
    ]
    told = []
    for row, name in named:
        shown = {str(column[row]) for column in (table.concept, table.image) if column is not None} - {""}
        if not shown:
            return
        # Pictures of NSD go by one number, whatever the part; recordings name the file of COCO that each is cut from.
        told.append(name == f"nsd{table.id[row]:05}" or any(_same(name, what) for what in shown))
    if not told or any(told):
        return
    row, name = named[0]
    what = str((table.image if table.image is not None else table.concept)[row])  # type: ignore[index]
    raise RecordingError(
        f"{recording.name} shows pictures of the {table.split[row]} split, and its numbers name other pictures in the "
        f"gallery of {manifest.name!r}: {table.id[row]} is {what} there and {name!r} here. Each split counts from 1. "
        "Give a recording of the split that the gallery was made of, or make a gallery of these: decode-stream "
        "gallery IMAGES --target NAME --bundle PATH"
    )


def _same(name: str, shown: str) -> bool:
    """Return whether a gallery's name is that of a picture's file, or of what it shows."""
    stem = shown.rpartition("/")[2].rpartition(".")[0] or shown
    return name == shown or name.rpartition("/")[2] == stem or concept_of(name) == shown
