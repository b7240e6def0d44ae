"""What `evaluate` can measure: protocols by name, each of which says what it is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from textwrap import fill

from decode_stream.decoders.scoring.measured import Measured
from decode_stream.stream.errors import UsageError, did_you_mean

from .evaluation import Evaluation
from .measure_categories import measure_categories
from .measure_combined import measure_combined
from .measure_control import measure_ideal, measure_shuffled
from .measure_latency import measure_generalisation, measure_latency, measure_linear_generalisation
from .measure_pictures import measure_concept, measure_exact, measure_identification, measure_k_way
from .measure_prior import measure_prior
from .measure_repeats import measure_repeats
from .measure_retrieval import measure_mind_reader, measure_mindeye, measure_mindeye2
from .measure_transductive import measure_assigned, measure_standardised

__all__ = ["PROTOCOLS", "TRANSDUCTIVE", "Protocol", "chosen", "list_protocols"]


@dataclass(frozen=True)
class Protocol:
    """Something that can be measured of an evaluation.

    Attributes
    ----------
    says : str
        What it is, in a sentence.
    measure : callable
    needs_windows : bool
        Whether the windows are decoded again, not only what was decoded of them.
    """

    says: str
    measure: Callable[[Evaluation, str], Measured]
    needs_windows: bool = False


PROTOCOLS: dict[str, Protocol] = {
    "exact": Protocol(
        "Exact image: a single trial picks its picture out of the whole gallery (200-way with the 200 test images of "
        "THINGS); chance 1 / gallery, n trials, Wilson interval, widened by a bootstrap over blocks of trials where "
        "these share samples, and over pictures where these are shown again.",
        measure_exact,
    ),
    "concept": Protocol(
        "Concept centre, as NICE: a single trial picks the concept of its picture among the means of OTHER pictures of "
        "each concept (200-way for THINGS); chance 1 / concepts, n trials, interval as for exact.",
        measure_concept,
    ),
    "k-way": Protocol(
        "Exact image among k: a single trial picks its picture among it and k - 1 others, exact over all draws of "
        "these, and with draws of fixed seeds as papers do; chance 1 / k, n trials, interval as for exact.",
        measure_k_way,
    ),
    "identification": Protocol(
        "Two-way identification, as MindEye: the share of other pictures whose features correlate less with the "
        "decoded ones than the true picture's, or, of a decoder that gives likelihoods, that have less log-evidence; "
        "and retrieval from brain to picture and back; single trials and the "
        "mean of all repeats; chance 1/2 and 1 / pictures, n trials or pictures, bootstrap interval over pictures.",
        measure_identification,
    ),
    "retrieval-mindeye": Protocol(
        "Retrieval among 300, as MindEye (Scotti et al. 2023): the signals of a picture's repeats are averaged BEFORE "
        "the mapper; from brain to picture and back, by the cosine of all tokens laid flat, exact over all draws of "
        "300 of the pictures shown and as the mean of 30 batches of a shuffled stream; chance 1 / 300, of all pictures "
        "where there are fewer, n pictures, bootstrap interval over pictures.",
        measure_mindeye,
        needs_windows=True,
    ),
    "retrieval-mindeye2": Protocol(
        "Retrieval among 300, as MindEye2 (Scotti et al. 2024): each repeat is decoded and the OUTPUTS are averaged, "
        "after the mapper; else as retrieval-mindeye, with 30 draws of 300 of all pictures without replacement; chance "
        "1 / 300, n pictures, bootstrap interval over pictures.",
        measure_mindeye2,
    ),
    "retrieval-mind-reader": Protocol(
        "Counts in batches, as Mind Reader (Lin et al. 2022): how many of 300 SINGLE trials find their picture among "
        "those of the batch, and are found by it; another showing of the picture counts as right; mean and best of the "
        "batches that successive trials make; chance the share of the batch that shows the picture, 1 / 300 or a "
        "little more, n trials, bootstrap interval over pictures.",
        measure_mind_reader,
    ),
    "latency": Protocol(
        "Time-resolved: exact image from each window alone, and from all windows so far, at every latency; single "
        "trials, chance 1 / gallery, pointwise interval as for exact, clusters above chance against labels shuffled "
        "within runs, corrected over all latencies.",
        measure_latency,
    ),
    "generalisation": Protocol(
        "Generalisation across time of the bundle's encoder: it is told latency i and given the window of latency j; "
        "exact image, single trials, chance 1 / gallery, clusters against labels shuffled within runs.",
        measure_generalisation,
        needs_windows=True,
    ),
    "generalisation-linear": Protocol(
        "Generalisation across time of linear decoders (King and Dehaene 2014): a ridge regression to the embedding is "
        "fitted at latency i and tested at latency j, each of the recordings given held out in turn; exact image, "
        "single trials, chance 1 / gallery, clusters against labels shuffled within runs.",
        measure_linear_generalisation,
        needs_windows=True,
    ),
    "repeats": Protocol(
        "Single trial against n repeats: exact image from n showings of a picture put together, by the mean of their "
        "signals, by the mean of their embeddings and by the sum of their log-evidence; chance 1 / gallery, n "
        "pictures, bootstrap interval over pictures.",
        measure_repeats,
        needs_windows=True,
    ),
    "categories": Protocol(
        "What is in the picture, after Mind Reader (Lin et al. 2022): a linear classifier of categories, learnt from "
        "the embeddings of pictures that the recordings do not show, is applied to the decoded embeddings; area under "
        "the ROC curve of each category and their mean, beside the ceiling, the same classifier on the pictures' own "
        "embeddings; chance 1/2, n pictures, bootstrap interval over pictures.",
        measure_categories,
    ),
    "combined": Protocol(
        "Several decoders together, those of --bundle and of each --with: the same trials by the sum of their "
        "calibrated log-evidence (a product of experts) and by the mean of their plain cosines, as Mind Reader adds "
        "the similarities of its mappers (Lin et al. 2022), each beside every decoder alone, with paired differences "
        "and McNemar's exact test; exact image, single trials, chance 1 / gallery, n trials, interval as for exact.",
        measure_combined,
    ),
    "prior": Protocol(
        "The bundle's prior: the embedding of a single trial as the mapper gives it, and what the prior draws from it, "
        "single samples and their mean; cosine to the true embedding, two-way identification and exact image by "
        "cosine, all without what the pictures of the training share; spread and distance to the nearest picture, in "
        "units of the pictures'; chance 0, 1/2 and 1 / gallery, n trials, bootstrap interval over pictures.",
        measure_prior,
    ),
    "shuffled": Protocol(
        "Shuffled-label control: exact image with the labels permuted within runs, 1000 times, the decoder as it is; "
        "chance 1 / gallery, n trials; the interval holds 95 % of the permutations, p is one-sided.",
        measure_shuffled,
    ),
    "ideal": Protocol(
        "Fraction of the ideal observer, (p - chance) / (p* - chance), on a simulated person whose true model is "
        "known; exact image, single trials, bootstrap interval over pictures.",
        measure_ideal,
    ),
}

#: Numbers that use the whole test set, made only when asked for.
TRANSDUCTIVE: dict[str, Protocol] = {
    "standardise": Protocol(
        "Decoded embeddings are z-scored over the test set, dimension by dimension, and given the gallery's mean and "
        "spread, as Brain-Diffuser and MindDiffuser do; exact image, single trials, chance 1 / gallery.",
        measure_standardised,
    ),
    "assign": Protocol(
        "Trials and pictures are matched one to one: no picture may be picked twice among the r-th showings of all; "
        "exact image, single trials, chance 1 / gallery.",
        measure_assigned,
    ),
}


def chosen(names: str | None, known: dict[str, Protocol], flag: str) -> tuple[str, ...]:
    """Return the protocols that a comma-separated list names, each once.

    Raises
    ------
    UsageError
        If one is not known; all are listed then.
    """
    asked = () if names is None else tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in asked:
        if name not in known:
            raise UsageError(
                f"{flag} names {name!r}.{did_you_mean(name, known)} There are:\n{list_protocols(known.items())}"
            )
    return asked


def list_protocols(protocols: Iterable[tuple[str, Protocol]]) -> str:
    """Return a paragraph for each protocol that says what it is."""
    indent = " " * 25
    return "\n".join(
        fill(f"  {name:<22} {protocol.says}", 118, subsequent_indent=indent) for name, protocol in protocols
    )
