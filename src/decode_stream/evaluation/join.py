"""Several evaluations as one: mean and interval over seeds and people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from decode_stream import __version__
from decode_stream.config import EvaluateConfig
from decode_stream.decoders.scoring.joined import joined
from decode_stream.decoders.scoring.measured import Measured
from decode_stream.stream.errors import UsageError
from decode_stream.summary import write_json

from .figure import draw_figure
from .table import print_measured, print_notes

__all__ = ["is_summary", "join_summaries"]


class _Recording(msgspec.Struct):
    subject: str
    fingerprint: str


class _Summary(msgspec.Struct):
    """What is read of a summary that an evaluation has written."""

    bundle: dict[str, str]
    recordings: list[_Recording]
    protocols: dict[str, Measured]
    transductive: dict[str, Measured]
    notes: list[str] = msgspec.field(default_factory=list)


def is_summary(path: Path) -> bool:
    """Return whether a path is the summary of an evaluation, by its name: JSON, and no simulated recording."""
    return path.name.endswith(".json") and not path.name.endswith(".simulation.json")


def join_summaries(paths: Sequence[Path], config: EvaluateConfig) -> int:
    """Join summaries that evaluations have written, print the means, and write them; returns the exit code.

    Raises
    ------
    UsageError
        If they do not go together.
    """
    if others := [path.name for path in paths if not is_summary(path)]:
        raise UsageError(
            f"{', '.join(others[:5])}: recordings and summaries cannot be evaluated together. Evaluate each person's "
            "recordings with --json FILE first, then give all FILEs."
        )
    if config.bundle is not None or config.others:
        raise UsageError("Summaries are joined without a bundle: leave out --bundle and --with.")
    if len(paths) < 2:
        raise UsageError(f"{paths[0].name} is one summary; two or more are joined.")
    summaries = [_read(path) for path in paths]
    _check_different(paths, summaries)
    people = _people(summaries)
    parts = {
        "protocols": _joined([summary.protocols for summary in summaries], people, config.seed),
        "transductive": _joined([summary.transductive for summary in summaries], people, config.seed),
    }
    n_people = len(set(people))
    title = f"{len(paths)} evaluations of {n_people} subject{'s' * (n_people > 1)}"
    print(f"{title}; those of one subject's recordings are decoders of that subject")
    notes = [f"{path.name}: {note}" for path, one in zip(paths, summaries, strict=True) for note in one.notes]
    print_notes(notes)
    measured = [one for part in parts.values() for one in part.values()]
    if not measured:
        raise UsageError(
            f"The {len(paths)} summaries have no protocol in common with as many candidates. Evaluate all with the "
            "same --protocol and galleries of one size."
        )
    for one in measured:
        print_measured(one)
    if config.json is not None:
        write_json(
            {
                "version": __version__,
                "joined": [path.name for path in paths],
                "bundles": [summary.bundle for summary in summaries],
                "subjects": people,
                "notes": notes,
                **parts,
            },
            config.json,
        )
    if config.figure is not None:
        draw_figure(measured, title, "", config.figure)
    return 0


def _read(path: Path) -> _Summary:
    try:
        raw = msgspec.json.decode(path.read_bytes())
        for part in ("protocols", "transductive"):
            raw[part] = {name: _with_nan(one) for name, one in raw[part].items()}
        return msgspec.convert(raw, _Summary)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no summary of decode-stream evaluate --json, or an older one: {error}. Evaluate again."
        ) from error


def _with_nan(one: dict[str, Any]) -> dict[str, Any]:
    """Put back what JSON cannot hold: a number that is none."""
    for row in one["numbers"]:
        row |= {name: float("nan") for name in ("value", "low", "high") if row[name] is None}
    return one


def _check_different(paths: Sequence[Path], summaries: Sequence[_Summary]) -> None:
    seen = dict[tuple[Any, ...], Path]()
    for path, summary in zip(paths, summaries, strict=True):
        key = (summary.bundle["sha256"], *sorted(recording.fingerprint for recording in summary.recordings))
        if key in seen:
            raise UsageError(
                f"{path} is of the same bundle and recordings as {seen[key]}; each evaluation counts once."
            )
        seen[key] = path


def _people(summaries: Sequence[_Summary]) -> list[int]:
    """Return whose each summary is, numbered as they come.

    Those whose recordings bear one subject's name, or that share a recording, are of one person.
    """
    people: list[int] = []
    prints = [
        {
            name
            for recording in summary.recordings
            for name in (recording.subject, recording.fingerprint)
            if name
        }
        for summary in summaries
    ]
    for at, own in enumerate(prints):
        same = [people[before] for before in range(at) if own & prints[before]]
        people.append(same[0] if same else max(people, default=0) + 1)
    return people


def _joined(parts: Sequence[dict[str, Measured]], people: Sequence[int], seed: int) -> dict[str, Measured]:
    common = [name for name in parts[0] if all(name in part for part in parts)]
    found = {}
    for name in common:
        every = [part[name] for part in parts]
        if len({(one.k, one.chance) for one in every}) == 1:
            found[name] = joined(every, people, seed=seed)
    return found
