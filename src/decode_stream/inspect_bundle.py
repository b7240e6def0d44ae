"""Says what a bundle is: part of the work of ``decode-stream inspect``."""

from pathlib import Path

from decode_stream.betas import glm_words
from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest
from decode_stream.replay_data.layout import Finding, Inspection

__all__ = ["inspect_bundle"]


def inspect_bundle(path: Path) -> Inspection:
    """Return what a bundle decodes, what it was trained on, and where its weights come from.

    Parameters
    ----------
    path : Path
        A bundle, whole or damaged.

    Raises
    ------
    BundleError
        If it is damaged: every byte is checked.
    """
    bundle = load_bundle(path, weights=True)
    manifest, training = bundle.manifest, bundle.manifest.training
    chain = manifest.chain
    facts = [
        ("model", training.model),
        ("target", training.target),
        ("embedding", _space(manifest.space)),
        ("structure", "" if manifest.structure is None else _space(manifest.structure)),
        ("channels", str(len(chain.channels))),
        ("regions", ", ".join(f"{name} ({len(named)})" for name, named in manifest.regions.items())),
        ("rate", f"{chain.sfreq_hz:g} Hz"),
        ("windows", _windows(manifest)),
        ("betas", "" if manifest.glm is None else glm_words(manifest.glm)),
        ("gallery", f"{len(manifest.gallery)} entries"),
        ("subject", ", ".join(training.subjects)),
        ("trained on", f"{training.n_trials} trials of {', '.join(training.recordings) or 'nothing named'}"),
        ("learnt first from", "; ".join(training.learnt_first)),
        ("began with", "" if training.public is None else str(training.public)),
        ("asked for", ", ".join(f"--{name} {value}" for name, value in training.asked.items())),
        ("held out", training.protocol),
        ("scores", ", ".join(f"{name} {value:.4g}" for name, value in training.scores.items())),
        ("prior", "" if manifest.prior is None else str(manifest.prior)),
        ("converted", "" if manifest.conversion is None else str(manifest.conversion)),
        ("seed", str(training.seed)),
        ("SHA-256", bundle.sha256),
    ]
    kept = "its weights can be trained on from" if bundle.weights else "it keeps no weights to train on from"
    files = Finding("ok", f"all {len(manifest.files)} files are as they were saved; {kept}")
    layout = f"bundle, {manifest.modality}, {training.model}"
    return Inspection(layout, tuple(fact for fact in facts if fact[1]), (files,))


def _space(space: EmbeddingSpace) -> str:
    return f"{space.model} {space.layer}, {space.dimension} numbers, norm {space.norm}"


def _windows(manifest: Manifest) -> str:
    length, step = f"{manifest.length_s * 1e3:g} ms", f"{manifest.step_s * 1e3:g} ms"
    if manifest.first_s is None:
        return f"{manifest.n_latencies} of {length}, one every {step}"
    return (
        f"{manifest.n_latencies} that grow from {manifest.first_s * 1e3:g} ms to {length}, one every {step}"
    )
