"""What lies in a folder of THINGS-EEG2, what is missing there and which download holds it."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from decode_stream.replay_data.formats.array_files import open_arrays, starts_as
from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

from .images import IMAGES_DOWNLOAD, METADATA, find_image_table
from .names import DOWNLOADS, N_PARTS, N_SESSIONS, TRAINING, Place, Variant, place_of
from .raw import read_raw
from .source import behaviour_of
from .trials import DATA_KEYS, N_AXES, info_of, read_trials

__all__ = ["held_in", "inspect_folder", "is_of_the_dataset"]

#: Folders of the dataset and of its variants, which alone are looked into.
_INSIDE = re.compile(
    r"sub-?\d+|ses-?\d+|eeg|beh|eeg_dataset|(source|raw|preprocessed)_(data|eeg)\w*|image_set\w*",
    re.IGNORECASE,
)
_MOST_LEVELS = 6
#: More channels than these are not of an EEG cap: the variants of THINGS-MEG bear the same names.
_MOST_CHANNELS = 128
_STARTS: dict[Variant, tuple[str, ...]] = {"ubp": ("zip",), "neurobridge": ("npy", "pickle")}
_WORDS: dict[Variant, str] = {
    "source": "source",
    "raw": "raw",
    "preprocessed": "preprocessed",
    "ubp": "UBP",
    "neurobridge": "NeuroBridge",
}


def is_of_the_dataset(path: Path, place: Place) -> bool:
    """Return whether a file is one of the dataset, where others bear such a name too."""
    if place.variant == "source":
        # Any BIDS dataset may have a task "test".
        return place.part is not None or (path.parent.parent / "beh").is_dir()
    return place.variant not in _STARTS or _is_eeg(path, place)


def _is_eeg(path: Path, place: Place) -> bool:
    """Return whether a file called train or test holds EEG trials; a damaged one may, and reading it says so."""
    if starts_as(path) not in _STARTS[place.variant]:
        return False
    try:
        held = open_arrays(path)
    except RecordingError:
        return place.subject is not None
    if isinstance(held, np.ndarray) and place.subject is None and not info_of(path).is_file():
        return False
    array = held.get(DATA_KEYS[place.variant]) if isinstance(held, dict) else held
    shape: tuple[int, ...] = array.shape if isinstance(array, np.ndarray) else ()
    return len(shape) == N_AXES[place.variant] and shape[-2] <= _MOST_CHANNELS


def held_in(folder: Path) -> list[tuple[Path, Place]]:
    """Return the recordings of the dataset in a folder and in those below it, by name."""
    return sorted(_walk(folder), key=lambda found: str(found[0]))


def _walk(folder: Path) -> Iterator[tuple[Path, Place]]:
    for here, folders, files in os.walk(folder, onerror=_refuse):
        level = len(Path(here).relative_to(folder).parts)
        folders[:] = [name for name in folders if _INSIDE.fullmatch(name)] if level < _MOST_LEVELS else []
        for name in files:
            path = Path(here) / name
            place = place_of(path)
            if place is not None and is_of_the_dataset(path, place):
                yield path, place


def _refuse(error: OSError) -> None:
    raise RecordingError(
        f"{error.filename} cannot be read: {error.strerror}. Change its permissions."
    ) from error


def inspect_folder(folder: Path) -> Inspection:
    """Return what a folder holds and lacks: of a session, a subject, a variant or the whole dataset.

    Files of trials and raw files are opened and their shapes told; the source is looked at by name, so inspect one of
    its recordings to see more.
    """
    held = held_in(folder)
    facts = [("recordings", str(len(held)))]
    findings: list[Finding] = []
    by_variant: dict[Variant, list[tuple[Path, Place]]] = defaultdict(list)
    for path, place in held:
        by_variant[place.variant].append((path, place))
        if mistake := place.mistaken():
            findings.append(Finding("wrong", f"{path.relative_to(folder)}: {mistake}"))
    for variant, found in by_variant.items():
        subjects = sorted({place.subject for _, place in found if place.subject is not None})
        said = f", subjects {', '.join(map(str, subjects))}" if subjects else ""
        facts.append((_WORDS[variant], f"{len(found)} files{said}"))
        if variant == "source":
            findings += _lacking_source(found)
        else:
            findings += _lacking_splits(folder, found)
            findings += _opened(folder, found, facts)
    findings += _images(folder)
    return Inspection(
        f"THINGS-EEG2, folder of {_listed([_WORDS[v] for v in by_variant])}", tuple(facts), tuple(findings)
    )


def _listed(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: raw, source and UBP."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _lacking_source(found: Sequence[tuple[Path, Place]]) -> Iterator[Finding]:
    sessions: dict[Path, list[Place]] = defaultdict(list)
    for path, place in found:
        sessions[path.parent].append(place)
        parts = [path.with_suffix(ending) for ending in (".eeg", ".vmrk")]
        for part in (*parts, behaviour_of(path)):
            if not part.is_file():
                yield Finding("missing", f"{part.name} of {place}: {DOWNLOADS['source']}.")
    for places in sessions.values():
        have = {place.part for place in places}
        lacking = [f"training part {part}" for part in range(1, N_PARTS + 1) if part not in have]
        lacking += [] if None in have else ["test"]
        if lacking:
            who = f"subject {places[0].subject}, session {places[0].session}"
            yield Finding("missing", f"{', '.join(lacking)} of {who}: {DOWNLOADS['source']}.")
    yield from _lacking_sessions(found, "source")


def _lacking_sessions(found: Sequence[tuple[Path, Place]], variant: Variant) -> Iterator[Finding]:
    by_subject: dict[int | None, set[int | None]] = defaultdict(set)
    for _, place in found:
        by_subject[place.subject].add(place.session)
    for subject, have in by_subject.items():
        if None in have:
            continue
        if lacking := [str(session) for session in range(1, N_SESSIONS + 1) if session not in have]:
            yield Finding(
                "missing",
                f"{_WORDS[variant]} sessions {', '.join(lacking)} of subject {subject}: {DOWNLOADS[variant]}.",
            )


def _lacking_splits(folder: Path, found: Sequence[tuple[Path, Place]]) -> Iterator[Finding]:
    by_folder: dict[Path, set[str]] = defaultdict(set)
    for path, place in found:
        by_folder[path.parent].add(place.split)
    variant = found[0][1].variant
    for parent, have in by_folder.items():
        for split in TRAINING.keys() - have:
            where = parent.relative_to(folder)
            yield Finding("missing", f"{TRAINING[split]} file of {where}: {DOWNLOADS[variant]}.")
    if variant == "raw":
        yield from _lacking_sessions(found, variant)


def _opened(
    folder: Path, found: Sequence[tuple[Path, Place]], facts: list[tuple[str, str]]
) -> Iterator[Finding]:
    """Open the files, tell their shapes, and find those of one folder that do not go together."""
    forms: dict[Path, dict[tuple[float, int, int], str]] = defaultdict(dict)
    for path, place in found:
        try:
            recording: Recording = (read_raw if place.variant == "raw" else read_trials)(
                path, place, ReadOptions()
            )
        except RecordingError as error:
            yield Finding("wrong", str(error))
            continue
        n_times = recording.epoch.n_times if recording.epoch else 0
        forms[path.parent].setdefault((recording.sfreq_hz, len(recording.channels), n_times), path.name)
        length = (
            f"{recording.n_samples // n_times} trials of {n_times}" if n_times else f"{recording.n_samples}"
        )
        what = f"{len(recording.channels)} channels, {length} samples, {recording.sfreq_hz:g} Hz"
        facts.append((str(path.relative_to(folder)), what))
    for parent, names in forms.items():
        if len(names) > 1:
            yield Finding(
                "wrong",
                f"{parent.relative_to(folder)} mixes variants: {' and '.join(names.values())} differ in rate, "
                "channels or length of trials. Take both from the same download.",
            )


def _images(folder: Path) -> Iterator[Finding]:
    table = find_image_table(folder)
    if table is None:
        yield Finding("missing", f"image_set/{METADATA}, which names the pictures: {IMAGES_DOWNLOAD}.")
        return
    yield Finding("ok", f"The pictures are named by {table.path}.")
    for name, n in table.missing_images().items():
        yield Finding("missing", f"{n} pictures of {table.path.parent / name}: {IMAGES_DOWNLOAD}.")
