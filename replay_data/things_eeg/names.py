"""THINGS-EEG2 by its names: which file is what, of which subject and session, and where it is downloaded.

A. T. Gifford, K. Dwivedi, G. Roig and R. M. Cichy, "A large and rich EEG dataset for modeling human visual object
recognition", NeuroImage 264 (2022).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from decode_stream.replay_data.layout import Finding

__all__ = [
    "CHANNELS_17",
    "CHANNELS_63",
    "DOWNLOADS",
    "N_PARTS",
    "N_SESSIONS",
    "TRAINING",
    "Place",
    "Variant",
    "check_channels",
    "place_of",
]

Variant: TypeAlias = Literal["source", "raw", "preprocessed", "ubp", "neurobridge"]

#: The 63 electrodes in the order in which NICE, ATM, UBP and NeuroBridge stack them; the files' own order may differ.
_ORDER = """
Fp1 Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 F2 F4 F6 F8 FT9 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 FT10
T7 C5 C3 C1 Cz C2 C4 C6 T8 TP9 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 TP10
P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2
"""
CHANNELS_63 = tuple(_ORDER.split())
#: The electrodes over occipital and parietal cortex that the preprocessed files on OSF hold.
CHANNELS_17 = CHANNELS_63[46:]

N_SESSIONS = 4
#: Parts in which the training pictures of a session were shown.
N_PARTS = 5
#: How the published files spell the splits.
TRAINING = {"train": "training", "test": "test"}

#: By variant, which download holds it.
DOWNLOADS: dict[str, str] = {
    "source": "OSF 3jk45 (https://osf.io/3jk45), component Source EEG data, the subject's .zip",
    "raw": "OSF 3jk45, component Raw EEG data (https://osf.io/crxs4), the subject's .zip",
    "preprocessed": "OSF 3jk45, component Preprocessed EEG data (https://osf.io/anp5v); at 250 Hz, Hugging Face "
    "LidongYang/EEG_Image_decode",
    "ubp": "Hugging Face Haitao999/things-eeg, Preprocessed_data_250Hz_whiten",
    "neurobridge": "the preprocessed files that NeuroBridge publishes",
}
_NAMES: dict[Variant, re.Pattern[str]] = {
    "source": re.compile(r"sub-(\d+)_ses-(\d+)_task-(?P<split>train|test)(?:_part-(?P<part>\d+))?_eeg\.vhdr"),
    "raw": re.compile(r"raw_eeg_(?P<split>train|test)(?:ing)?\.npy"),
    "preprocessed": re.compile(r"preprocessed_eeg_(?P<split>train|test)(?:ing)?\.npy"),
    "ubp": re.compile(r"(?P<split>train|test)\.pt"),
    "neurobridge": re.compile(r"(?P<split>train|test)\.npy"),
}
_SUBJECT, _SESSION = re.compile(r"sub-?(\d+)"), re.compile(r"ses-?(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """What a file is, by its name and its folders'.

    Attributes
    ----------
    subject, session, part : int or None
        1-based; None where neither the name nor a folder says it.
    folder_subject, folder_session : int or None
        What the folders say, which may differ from the name.
    """

    variant: Variant
    split: str
    subject: int | None
    session: int | None
    part: int | None
    folder_subject: int | None
    folder_session: int | None

    def __str__(self) -> str:
        said = [
            f"subject {self.subject}" if self.subject is not None else "",
            f"session {self.session}" if self.session is not None else "",
            TRAINING[self.split] + (f" part {self.part}" if self.part is not None else ""),
        ]
        return ", ".join(text for text in said if text)

    def mistaken(self) -> str:
        """Return a sentence if the file lies in another subject's or session's folder, else an empty string."""
        for what, own, folder in (
            ("subject", self.subject, self.folder_subject),
            ("session", self.session, self.folder_session),
        ):
            if own is not None and folder is not None and own != folder:
                return f"The file is of {what} {own} by its name and lies in the folder of {what} {folder}."
        return ""


def place_of(path: Path) -> Place | None:
    """Return what a file is by its name, or None if the name is none of the dataset's."""
    for variant, pattern in _NAMES.items():
        if (match := pattern.fullmatch(path.name)) is None:
            continue
        part = match.groupdict().get("part")
        if variant == "source" and (match["split"] == "train") != (part is not None):
            continue
        folders = [parent.name for parent in path.absolute().parents]
        subject, session = (_number(pattern, folders) for pattern in (_SUBJECT, _SESSION))
        own = (int(match[1]), int(match[2])) if variant == "source" else (subject, session)
        return Place(variant, match["split"], *own, int(part) if part else None, subject, session)
    return None


def _number(pattern: re.Pattern[str], folders: Sequence[str]) -> int | None:
    found = (pattern.fullmatch(name) for name in folders)
    return next((int(match[1]) for match in found if match), None)


def check_channels(names: Sequence[str]) -> tuple[Finding, ...]:
    """Return how a file's EEG channels compare with the published ones."""
    for known, what in ((CHANNELS_63, "63 channels"), (CHANNELS_17, "17 occipital and parietal channels")):
        if tuple(names) == known:
            return (Finding("ok", f"The {what} of the dataset, in the usual order."),)
        if sorted(names) == sorted(known):
            return (Finding("note", f"The {what} of the dataset, in another order than usual; go by names."),)
    findings = []
    if unknown := [name for name in names if name not in CHANNELS_63]:
        findings.append(
            Finding("note", f"Channels that the dataset does not have: {', '.join(unknown[:10])}.")
        )
    if lacking := [name for name in CHANNELS_63 if name not in names]:
        findings.append(
            Finding("note", f"{len(lacking)} of the 63 channels are not there: {', '.join(lacking[:10])}.")
        )
    return tuple(findings)
