"""The way of the data of a session that makes betas from volumes, and what is told of it."""

from collections.abc import Mapping
from typing import Any, Literal

from decode_stream.betas import glm_words, tr_told
from decode_stream.config import SessionConfig
from decode_stream.decoders.decoder import Decoder
from decode_stream.decoders.manifest import Manifest
from decode_stream.gui.words import signal_span_s
from decode_stream.stream.cutter import Cutter
from decode_stream.stream.errors import StreamError, UsageError
from decode_stream.stream.fmri.beta_cutter import BetaCutter, decision_schedule, volume_chain
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.running_scale import RunningScale
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import StreamInfo
from decode_stream.summary import accuracy_summary, trial_rows

from .withheld import withheld_told

__all__ = ["BetaEvents", "beta_cutter", "beta_notes", "beta_summary", "revised_words"]

#: Betas before a running statistic is told, where nothing else is asked for.
_WARM_UP = 20


def beta_cutter(
    info: StreamInfo,
    config: SessionConfig,
    manifest: Manifest,
    spec: GlmSpec,
    stimuli: Mapping[str, int],
) -> BetaCutter:
    """Build the way from a stream of volumes to betas.

    Parameters
    ----------
    spec : GlmSpec
        The model.
    stimuli : mapping of str to int
        Gallery index by marker label.

    Raises
    ------
    StreamError
        If the stream lacks voxels or confounds, or comes at another repetition time than the bundle's.
    UsageError
        If nothing tells how long the run will be, or it has no end.
    """
    if info.loop_samples is not None:
        raise UsageError("A run from which betas are made has an end: leave out --loop.")
    if told := tr_told(manifest, 1 / info.sfreq_hz, repr(info.name)):
        raise StreamError(told)
    planned = config.run_volumes or info.n_samples or spec.planned_volumes
    if not planned:
        raise UsageError(
            f"Nothing tells how long the run of {info.name!r} will be, for which the model of drifts is made. Say how "
            "many volumes it will have: --run-volumes N"
        )
    ingest = Ingest(
        info,
        volume_chain(spec, manifest.chain.channels, info),
        signal_span_s(info.sfreq_hz),
        counter_channel=config.counter_channel,
    )
    schedule = decision_schedule(spec, info.sfreq_hz)
    trials = Trials(schedule, 1, stimuli, config.marker_offset_ms / 1e3 / info.speed, info.speed)
    running = None
    if config.statistics == "running":
        running = RunningScale(manifest.chain.n_out, config.warm_up or _WARM_UP)
    return BetaCutter(ingest, spec, manifest.chain, manifest.window, trials, planned, running)


class BetaEvents:
    """Tells once each of what happens to the betas of a run."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def of(self, cutter: Cutter) -> list[tuple[str, str]]:
        """Return kind and text of what has not been told yet."""
        if not isinstance(cutter, BetaCutter):
            return []
        found = []
        if cutter.longer:
            planned = cutter.betas.planned_volumes
            found.append(
                (
                    "longer",
                    f"the run goes on beyond the {planned} volumes it was planned for; drifts are held less well",
                )
            )
        for reason in cutter.withheld_for:
            found.append(("withheld", f"a trial is not decided at its moment: {withheld_told(reason)}"))
        new = [(kind, text) for kind, text in found if text not in self._told]
        self._told |= {text for _, text in new}
        return new


def beta_notes(cutter: Cutter) -> tuple[str, ...]:
    """Return in sentences how betas are made and standardised; nothing where none are made."""
    if not isinstance(cutter, BetaCutter):
        return ()
    planned = cutter.betas.planned_volumes
    return (
        f"Betas are made by a model of the run so far, planned for {planned} volumes: {glm_words(cutter.betas.spec)}.",
        f"Betas are standardised by {_protocol(cutter)}.",
    )


def _protocol(cutter: BetaCutter) -> str:
    if cutter.running is None:
        return "level and spread of the training's (frozen)"
    return (
        f"mean and spread of the session's so far, each itself included (running); the first "
        f"{cutter.running.warm_up - 1} are not decoded before the end"
    )


def revised_words(decoder: Decoder) -> tuple[str, ...]:
    """Return in words how right the betas are since their trials were decided; nothing where none are made."""
    told = []
    ways: dict[Literal["refined", "final"], str] = {
        "refined": "while the response went on",
        "final": "with the whole run",
    }
    for way, when in ways.items():
        scores = decoder.revisions.scores(way)
        if scores.n:
            low, high = scores.interval(scores.hits())
            told.append(
                f"{way}, {when}: {scores.n} trials, top-1 {scores.hits().mean():.3f} (95 % {low:.3f} to {high:.3f})"
            )
    return tuple(told)


def beta_summary(decoder: Decoder) -> dict[str, Any] | None:
    """Return what is written of a session's betas; None where it made none."""
    cutter = decoder.cutter
    if not isinstance(cutter, BetaCutter):
        return None
    revised = {way: decoder.revisions.scores(way) for way in ("refined", "final")}
    return {
        "model": cutter.betas.spec,
        "tr_s": 1 / cutter.ingest.info.sfreq_hz,
        "volumes": cutter.betas.n_volumes,
        "lost": cutter.betas.n_lost,
        "planned_volumes": cutter.betas.planned_volumes,
        "statistics": _protocol(cutter),
        "withheld": dict(cutter.withheld_for),
        **{
            way: {"accuracy": accuracy_summary(scores), "per_trial": trial_rows(scores)} if scores.n else None
            for way, scores in revised.items()
        },
    }
