"""The stages of a decoder as calls that can be timed, each by whatever runs it here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from math import ceil
from typing import Literal

import numpy as np

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.candidates import Candidates
from decode_stream.decoders.evidence import Evidence
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.ranking import largest
from decode_stream.decoders.runtime import Encoder
from decode_stream.export.sample_inputs import drawn_windows
from decode_stream.stream.filters import CausalChain
from decode_stream.stream.types import Channel

__all__ = [
    "BATCHES",
    "N_STEPS",
    "Stage",
    "encoder_stages",
    "evidence_stages",
    "generator_stages",
    "preprocessing_stage",
    "prior_stage",
]

#: Windows that are encoded at once: one, as many as a session may, as many as an evaluation does.
BATCHES = (1, 5, 64)
#: Steps of a picture.
N_STEPS = (1, 2, 4)
_HERE = "NumPy"
_N_BEST = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """Something that is done with windows or pictures, by one or more that can do it.

    Attributes
    ----------
    name : str
    unit : {"hop", "window", "trial", "picture"}
        What a call takes.
    n : int
        How many of them.
    calls : dict of str to callable
        By what runs it.
    left_out : dict of str to str
        Why something does not run it, by its name.
    n_steps : int
        Of a picture.
    """

    name: str
    unit: Literal["hop", "window", "trial", "picture"]
    n: int
    calls: Mapping[str, Callable[[], object]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    n_steps: int = 0

    def beside(self, name: str, call: Callable[[], object]) -> "Stage":
        """Return the stage with one more that runs it."""
        return replace(self, calls={**self.calls, name: call})

    def without(self, left_out: Mapping[str, str]) -> "Stage":
        """Return the stage with what does not run it, and why."""
        return replace(self, left_out={**self.left_out, **left_out})


def preprocessing_stage(bundle: Bundle) -> Stage:
    """Return the chain on the samples of one hop, of white noise at the decoder's own rate.

    A stream of a higher rate has as many times more samples to filter.
    """
    spec, schedule = bundle.manifest.chain, bundle.manifest.schedule
    channels = [
        Channel(name, bundle.manifest.modality, unit)
        for name, unit in zip(spec.channels, spec.units, strict=True)
    ]
    chain = CausalChain(spec, channels, spec.sfreq_hz)
    n = max(1, ceil(schedule.step_s * schedule.sfreq_hz))
    hop = np.random.default_rng(0).standard_normal((n, len(channels)))
    starts = count(0, n)
    return Stage("preprocessing", "hop", 1, {_HERE: lambda: chain.process(hop, next(starts))})


def encoder_stages(bundle: Bundle, encoders: Mapping[str, Encoder]) -> list[Stage]:
    """Return the encoder on windows drawn as in training, by batch size."""
    windows, latencies_s = drawn_windows(bundle, max(BATCHES))
    return [
        Stage(
            "encoder",
            "window",
            n,
            {
                name: partial(encoder.encode, windows[:n], latencies_s[:n])
                for name, encoder in encoders.items()
            },
        )
        for n in BATCHES
    ]


def evidence_stages(bundle: Bundle, encoder: Encoder) -> list[Stage]:
    """Return what follows on a window's embedding: similarities, the trial's belief and its best five; and these alone.

    Alone they need no similarity to all entries, and so no more than one look at the gallery.
    """
    calibration, n_entries = bundle.manifest.calibration, len(bundle.gallery)
    candidates = Candidates(bundle.gallery, bundle.norm)
    evidence = Evidence(calibration, n_entries, bundle.of_showings if bundle.weighs_showings else None)
    embedding = encoder.encode(*drawn_windows(bundle, 1))
    last = len(calibration.weights) - 1

    def decide() -> object:
        evidence.add(0, last, candidates.similarity(embedding)[0], embedding[0])
        return largest(evidence.belief(0), _N_BEST)

    return [
        Stage("evidence and ranking", "window", 1, {_HERE: decide}),
        Stage("best five alone", "trial", 1, {_HERE: partial(candidates.best, embedding[0], _N_BEST)}),
    ]


def prior_stage(bundle: Bundle, encoder: Encoder, priors: Mapping[str, Prior]) -> Stage:
    """Return one sample of the prior, of a decoded embedding."""
    embedding = encoder.encode(*drawn_windows(bundle, 1))
    return Stage(
        "prior",
        "trial",
        1,
        {name: partial(prior.samples, embedding, [0]) for name, prior in priors.items()},
    )


def generator_stages(generators: Mapping[str, Generator], steps: Sequence[int] = N_STEPS) -> list[Stage]:
    """Return a picture of what is known before any trial, in each number of steps that the generator can."""
    stages = []
    for n_steps in steps:
        calls, left_out = dict[str, Callable[[], object]](), dict[str, str]()
        for name, generator in generators.items():
            if n_steps not in generator.n_steps:
                left_out[name] = f"it draws in {', '.join(map(str, generator.n_steps))} steps"
                continue
            condition = generator.pictures.condition(generator.pictures.nothing())
            calls[name] = partial(generator.draw, condition, generator.noise(0), n_steps)
        words = f"generator, {n_steps} step{'s' if n_steps > 1 else ''}"
        stages.append(Stage(words, "picture", 1, calls, left_out, n_steps))
    return stages
