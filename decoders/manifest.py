"""The manifest: everything that decides what a decoder computes, but for the weights of its network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, nan, prod
from pathlib import Path
from typing import Any

import msgspec

from decode_stream.stream.errors import BundleError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.types import Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

from .conversion import Conversion
from .evidence import NORMS, Calibration
from .volume_space import VolumeSpace

__all__ = [
    "CATEGORIES",
    "MANIFEST_FILE",
    "MIGRATIONS",
    "SCHEMA",
    "EmbeddingSpace",
    "Manifest",
    "PriorTraining",
    "PublicWeights",
    "Training",
    "parse_manifest",
]

#: Name of the manifest in a bundle.
MANIFEST_FILE = "bundle.json"

#: What the embeddings of a gallery of categories are said to be made by.
CATEGORIES = "categories"

#: Version of the manifest that this program writes.
SCHEMA = 2


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Bring a manifest on from schema 1, which had no more than what schema 2 takes for granted.

    Its windows slid, its evidence was calibrated after the last of them, and nothing but embeddings was decoded.
    """
    return {**raw, "schema": 2}


#: From an older schema to the next: each takes the parsed manifest and returns it one version on.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


@dataclass(frozen=True)
class EmbeddingSpace:
    """Where the embeddings live: two targets of one space are one encoder, with one set of weights, used alike.

    Attributes
    ----------
    model, layer : str
        Model, with what tells its weights from others, and layer whose outputs the decoder was trained to give.
    dimension : int
        Of an embedding laid out flat.
    norm : {"unit", "none"}
        Whether similarity is the cosine or the plain inner product.
    shape : tuple of int
        How an embedding lies where it is more than a row, as (257, 768) for a grid of tokens; empty for a row.
    clamp : float or None
        Every number was limited to +-clamp before the norm (Lin et al., Mind Reader, NeurIPS 2022: 1.5).
    preparation : str
        How pictures are brought to the model, where that is a choice: size, colours, activation.
    """

    model: str
    layer: str
    dimension: int
    norm: str = "unit"
    shape: tuple[int, ...] = ()
    clamp: float | None = None
    preparation: str = ""

    def __post_init__(self) -> None:
        if self.dimension < 1 or self.norm not in NORMS:
            raise ValueError(f"An embedding space has a dimension above 0 and a norm of {NORMS}; got {self}.")
        if self.shape and prod(self.shape) != self.dimension:
            raise ValueError(f"A shape of {self.shape} has {prod(self.shape)} numbers, not {self.dimension}.")
        if self.clamp is not None and not 0 < self.clamp < inf:
            raise ValueError(f"A clamp lies above 0; got {self.clamp}.")

    @property
    def of_categories(self) -> bool:
        """Whether the entries are categories, not pictures."""
        return self.model == CATEGORIES


@dataclass(frozen=True)
class PublicWeights:
    """Weights that published code has saved, which a network began with.

    Attributes
    ----------
    files : dict of str to str
        SHA-256 by name of the file.
    code : str
        Whose code saved them.
    kept : tuple of str
        What that code does otherwise than its paper says, and the network with it: its weights were made for that.
    """

    files: dict[str, str]
    code: str
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        files = ", ".join(f"{name} (SHA-256 {sha256[:12]})" for name, sha256 in self.files.items())
        kept = f"; as there, {'; '.join(self.kept)}" if self.kept else ""
        return f"{files} of {self.code}{kept}"


@dataclass(frozen=True)
class Training:
    """Where the encoder comes from.

    Attributes
    ----------
    model : str
        Family of the encoder: ``channel-attention``, ``lda``, ``ridge`` and others.
    target : str
        What pictures' embeddings were made by, as given to ``--target``; empty for categories.
    subjects : tuple of str
        Whom the recordings are of, one each; empty where that was not told.
    recordings : tuple of str
        Names of the recordings, one a run.
    fingerprints : tuple of str
        What tells each recording that was learnt from from others, whatever its name, those that were learnt from
        first as well: `decode_stream.replay_data.open.fingerprint`. Empty where they were never files.
    n_trials : int
        Trials it was trained on.
    seed : int
    protocol : str
        How `scores` were obtained.
    knows_gallery : bool
        Whether the gallery's own pictures were trained on, other showings of them: what their embeddings do not tell of
        the responses to them may have been learnt, too.
    scores : dict of str to float
        Held-out scores: ``top1``, ``auc``, ``log_loss``, ``n``, ``chance``.
    learnt_first : tuple of str
        In words what the encoder learnt from before these recordings: those of other people, and a bundle that it
        began with, after what that had learnt from first.
    public : PublicWeights or None
        Where the weights come from that the encoder began with, or that an encoder did which it goes on from.
    asked : dict of str to str
        What was asked for instead of the model's own, by the name of the flag: ``loss``, ``schedule``, ``epochs``, ...
    """

    model: str
    recordings: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    n_trials: int = 0
    seed: int = 0
    protocol: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    target: str = ""
    subjects: tuple[str, ...] = ()
    knows_gallery: bool = False
    learnt_first: tuple[str, ...] = ()
    public: PublicWeights | None = None
    asked: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PriorTraining:
    """Where a bundle's prior comes from: what draws embeddings as pictures have them, of a decoded one.

    Attributes
    ----------
    n_steps : int
        Evaluations of the network that a sample takes.
    n_pairs : int
        Decoded trials that it was trained on.
    protocol : str
        What it was trained on and how `scores` were obtained, in a sentence.
    scores : dict of str to float
        Of trials of held-out pictures, ``n`` and ``n_pictures`` of them: ``agreement`` with the prior of many steps
        that it was distilled from; and ``cosine``, ``two_way``, ``found``, ``nearest`` and ``spread`` (see
        `decode_stream.decoders.scoring.likeness.Likeness`) of the ``mapper`` alone, of samples of the ``teacher``, of
        ``single`` samples and of their ``mean``, as ``mapper_cosine``.
    """

    n_steps: int
    n_pairs: int
    protocol: str
    scores: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        told = (
            ("cosine to the true embedding", "cosine", ("mapper", "mean", "single")),
            ("two-way", "two_way", ("mapper", "mean", "single")),
            ("spread, of pictures 1", "spread", ("mapper", "single")),
        )
        words = []
        for name, what, whose in told:
            numbers = (f"{who} {self.scores.get(f'{who}_{what}', nan):.3f}" for who in whose)
            words.append(f"{name}: {', '.join(numbers)}")
        steps = f"{self.n_steps} step{'s' if self.n_steps > 1 else ''}"
        agreement = self.scores.get("agreement", nan)
        return (
            f"a sample in {steps}, {self.n_pairs} trials; agreement with the many steps that it was distilled from "
            f"{agreement:.3f}; {'; '.join(words)}; {self.protocol}"
        )


@dataclass(frozen=True)
class Manifest:
    """Everything that decides what a decoder computes, but for the weights.

    Attributes
    ----------
    modality : {"eeg", "meg", "fmri"}
    chain, window : ChainSpec, WindowSpec
        The causal signal chain, the same in training and live.
    length_s, step_s : float
        Window length and step, exact to the decimal as written.
    lag_s : float
        Time from a trial's onset until its first window begins, likewise.
    first_s : float or None
        Of windows that grow, how much has happened at the first end, likewise; None for windows that slide.
    n_latencies : int
        Windows of each trial, from the lag on.
    space : EmbeddingSpace
        Of the target that the gallery was made with, before the bundle's projector if it has one.
    structure : EmbeddingSpace or None
        What the encoder gives besides, as a second output: where things are and what they look like, not what they are.
    gallery : tuple of str
        Names of the candidates.
    labels : dict of str to str
        Gallery name by marker label, as in ``--events 1=house``.
    calibration : Calibration
    files : dict of str to str
        SHA-256 of every other file, by path.
    prior : PriorTraining or None
        Of the bundle's prior, where it has one.
    volume : VolumeSpace or None
        Of fMRI, the grid of the volumes whose voxels are decoded, where the recordings told it.
    regions : dict of str to tuple of str
        Of fMRI, the names of each atlas's regions, in the order of their labels from 1; which voxel lies in which is in
        a file of its own.
    glm : GlmSpec or None
        Of fMRI, how the betas that are decoded were made from volumes, and are live; None for betas that came as they
        are, and where volumes are decoded without betas. The chain's rate is that of the volumes.
    conversion : Conversion or None
        How the networks came to be in fewer bits; None where they are as they were trained.
    """

    name: str
    modality: Modality
    chain: ChainSpec
    window: WindowSpec
    length_s: float
    step_s: float
    n_latencies: int
    space: EmbeddingSpace
    gallery: tuple[str, ...]
    labels: dict[str, str]
    calibration: Calibration
    training: Training
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    lag_s: float = 0.0
    first_s: float | None = None
    structure: EmbeddingSpace | None = None
    prior: PriorTraining | None = None
    regions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    glm: GlmSpec | None = None
    volume: VolumeSpace | None = None
    conversion: Conversion | None = None

    def __post_init__(self) -> None:
        if self.calibration.growing is (self.first_s is None):
            raise ValueError("Calibration and schedule do not agree on whether windows grow.")
        if len(self.calibration.weights) != self.n_latencies:
            raise ValueError(
                f"{len(self.calibration.weights)} calibration weights for {self.n_latencies} latencies."
            )
        n_windows = self.schedule.n_windows
        if n_windows is not None and self.n_latencies > n_windows:
            raise ValueError(f"{self.n_latencies} latencies, but the window grows in {n_windows}.")
        if not self.gallery or len(set(self.gallery)) != len(self.gallery):
            raise ValueError("The gallery needs names that differ.")
        unknown = sorted(set(self.labels.values()) - set(self.gallery))
        if unknown:
            raise ValueError(f"Marker labels name entries that the gallery lacks: {', '.join(unknown)}.")

    @property
    def of_betas(self) -> bool:
        """Whether each trial is a beta, one sample, not some volumes of a run."""
        return self.modality == "fmri" and self.chain.running_mean_s is None and self.schedule.n_times == 1

    @property
    def schedule(self) -> WindowSchedule:
        """The window schedule at the decoder's rate."""
        length, step, lag = (Fraction(str(s)) for s in (self.length_s, self.step_s, self.lag_s))
        first = None if self.first_s is None else Fraction(str(self.first_s))
        return WindowSchedule(exact_sfreq(self.chain.sfreq_hz), length, step, lag, first)

    def stimuli(self, labels: Mapping[str, str] | None = None) -> dict[str, int]:
        """Return the gallery index for every marker label: the names themselves, and `labels` on top.

        Parameters
        ----------
        labels : mapping of str to str, optional
            Gallery name by marker label; the bundle's own where not given.

        Raises
        ------
        BundleError
            If a name is not in the gallery.
        """
        chosen = self.labels if labels is None else labels
        unknown = sorted(set(chosen.values()) - set(self.gallery))
        if unknown:
            raise BundleError(
                f"--events names {', '.join(unknown)}, but the gallery of {self.name!r} holds: "
                f"{', '.join(self.gallery[:20])}{', ...' if len(self.gallery) > 20 else ''}."
            )
        index = {name: i for i, name in enumerate(self.gallery)}
        return index | {label: index[name] for label, name in chosen.items()}


def parse_manifest(text: bytes, path: Path) -> Manifest:
    """Return what `bundle.json` holds, brought to the present schema.

    Parameters
    ----------
    text : bytes
        The file.
    path : Path
        The bundle, for messages.

    Raises
    ------
    BundleError
        If it is of an unknown schema or holds impossible values.
    """
    try:
        raw = msgspec.json.decode(text)
        version = raw.get("schema") if isinstance(raw, dict) else None
        if not isinstance(version, int):
            raise BundleError(
                f"{MANIFEST_FILE} in {path} has no schema version; it is not a bundle of this program."
            )
        while version in MIGRATIONS and version < SCHEMA:
            raw = MIGRATIONS[version](raw)
            version = raw["schema"]
        if version != SCHEMA:
            raise BundleError(
                f"{path} has schema {version} and this program reads schemas up to {SCHEMA}. "
                "Install a newer decode-stream: pip install -U decode-stream"
            )
        return msgspec.convert(raw, Manifest)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{MANIFEST_FILE} in {path} is not a valid manifest: {error}") from error
