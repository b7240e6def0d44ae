"""Read THINGS-EEG2 in every form in which it is published.

| files | what | stimuli |
|---|---|---|
| ``sub-XX_ses-YY_task-{train_part-NN,test}_eeg.vhdr`` | source | numbers from the behavioural .mat, in order |
| ``raw_eeg_{training,test}.npy`` | a session, joined | numbers in the stim row |
| ``preprocessed_eeg_{training,test}.npy`` | trials, from OSF or at 250 Hz | by place; the order shown is lost |
| ``{train,test}.pt`` | UBP's trials | by place, with sessions |
| ``{train,test}.npy`` | NeuroBridge's trials | by place |

Ids are the dataset's numbers of the pictures, 1-based and counted apart for training (1 to 16540, ten a concept) and
test (1 to 200): `split` says which. Targets, pictures that the person was to respond to, have the id -1. `repeat` is
not given: presentations are spread over sessions, and no file knows of the others.
"""

from pathlib import Path

from decode_stream.replay_data.formats.array_files import starts_as
from decode_stream.replay_data.formats.trial_arrays import TrialRecording
from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

from .folders import held_in, inspect_folder, is_of_the_dataset
from .images import IMAGES_DOWNLOAD, METADATA, N_IMAGES, find_image_table, read_image_table
from .names import DOWNLOADS, TRAINING, Place, check_channels, place_of
from .raw import RawArrayRecording, read_raw
from .source import behaviour_of, read_source
from .trials import read_trials

__all__ = ["inspect", "read", "recognise"]

#: Repeats of every image in the files of trials.
_N_REPEATS = {"train": 4, "test": 80}


def recognise(path: Path) -> str:
    """Return which part of THINGS-EEG2 a path is, as `Layout.recognise` does."""
    if path.is_dir():
        return "THINGS-EEG2, folder" if held_in(path) else ""
    if path.name == METADATA:
        return "THINGS-EEG2, image metadata"
    place = place_of(path)
    if place is None or not path.is_file() or not is_of_the_dataset(path, place):
        return ""
    return _words(path, place)


def _words(path: Path, place: Place) -> str:
    form = {
        "source": "source",
        "raw": "raw data",
        "ubp": "UBP's trials",
        "neurobridge": "NeuroBridge's trials",
    }
    cut = {"npy": "preprocessed (OSF)", "pickle": "preprocessed at 250 Hz"}
    what = form.get(place.variant) or cut.get(starts_as(path), "preprocessed")
    return f"THINGS-EEG2, {what}, {place}"


def read(path: Path, options: ReadOptions) -> Recording:
    """Open a recording of THINGS-EEG2.

    Raises
    ------
    RecordingError
        If it is damaged, cut off, of another subject than its folder, or a folder of several recordings.
    """
    if options.mask is not None:
        raise RecordingError(f"{path} is EEG; a mask applies to fMRI.")
    if options.stream is not None:
        raise RecordingError(f"{path} holds one stream; leave {options.stream!r} away.")
    if path.is_dir():
        held = [found.relative_to(path) for found, _ in held_in(path)]
        if len(held) == 1:
            return read(path / held[0], options)
        named = ", ".join(map(str, held[:8])) + (f", ... ({len(held)} in all)" if len(held) > 8 else "")
        raise RecordingError(f"{path} holds several recordings of THINGS-EEG2. Give one of them: {named}.")
    place = place_of(path)
    if place is None:
        raise RecordingError(
            f"{path} names the pictures of THINGS-EEG2 and is no recording. Give one of its recordings."
        )
    if mistake := place.mistaken():
        raise RecordingError(f"{path}: {mistake} Put it where it belongs.")
    if place.variant == "source":
        if options.unit is not None:
            raise RecordingError(
                f"{path} says its units itself; a unit can be given for files without one only."
            )
        return read_source(path, place, options)
    if place.variant == "raw":
        if options.unit is not None:
            raise RecordingError(f"{path} holds volts; a unit can be given for files without one only.")
        return read_raw(path, place, options)
    return read_trials(path, place, options)


def inspect(path: Path) -> Inspection:
    """Return what a recording or a folder of THINGS-EEG2 holds and lacks."""
    if path.is_dir():
        return inspect_folder(path)
    if path.name == METADATA:
        return _inspect_images(path)
    place = place_of(path)
    assert place is not None
    recording = read(path, ReadOptions())
    facts = list(describe(recording))
    if isinstance(recording, RawArrayRecording | TrialRecording):
        array = recording.array
        facts[:0] = [("array", f"{array.dtype.name} {array.shape}, {array.nbytes / 1e9:.2f} GB")]
    findings = [*check_channels([channel.name for channel in recording.channels if channel.type == "eeg"])]
    findings += [Finding("note", note) for note in recording.notes]
    if place.variant == "source" and not behaviour_of(path).is_file():
        findings.append(
            Finding("missing", f"{behaviour_of(path)}, which numbers the pictures: {DOWNLOADS['source']}.")
        )
    findings += _counts(recording, place)
    table = find_image_table(path)
    if table is None:
        findings.append(
            Finding("missing", f"image_set/{METADATA}, which names the pictures: {IMAGES_DOWNLOAD}.")
        )
    else:
        findings.append(Finding("ok", f"The pictures are named by {table.path}."))
    return Inspection(recognise(path), tuple(facts), tuple(findings))


def _counts(recording: Recording, place: Place) -> list[Finding]:
    """Compare how many images and repeats there are with what was published."""
    if not isinstance(recording, TrialRecording):
        return []
    n_repeats = recording.array.shape[-3]
    n_images = recording.n_trials // n_repeats
    due = (N_IMAGES[place.split], _N_REPEATS[place.split])
    if (n_images, n_repeats) == due:
        return [Finding("ok", f"{n_images} images, {n_repeats} times each, as published.")]
    return [
        Finding("note", f"{n_images} images, {n_repeats} times each; {due[0]} and {due[1]} were published.")
    ]


def _inspect_images(path: Path) -> Inspection:
    table = read_image_table(path)
    facts = [(TRAINING[split], f"{len(files)} pictures") for split, files in table.files.items()]
    findings = [
        Finding("missing", f"{n} pictures of {folder}: {IMAGES_DOWNLOAD}.")
        for folder, n in table.missing_images().items()
    ]
    return Inspection("THINGS-EEG2, image metadata", tuple(facts), tuple(findings))
