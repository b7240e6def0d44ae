"""The keys that every summary of a session holds, whatever became of the session."""

from typing import Any

_KEYS: dict[str, set[str]] = {
    "version": set(),
    "modality": set(),
    "bundle": {"name", "sha256"},
    "provider_notes": set(),
    "stream": {"name", "n_channels", "sfreq_hz"},
    "began": set(),
    "startup_s": {"window_up", "connected", "first_sample", "first_trial_decoded"},
    "duration_s": set(),
    "exit": set(),
    "samples": {"received", "lost", "duplicate"},
    "gaps": set(),
    "events": set(),
    "windows": {"due", "decoded", "skipped", "withheld"},
    "trials": {"seen", "scored"},
    "accuracy": {"protocol", "k", "chance", "n", "top1", "top1_interval", "top5"},
    "latency_ms": {"arrive", "window", "decode", "belief", "generate", "display"},
    "reconstructions": {"made", "superseded", "skipped", "held", "failed", "steps", "images_per_s"},
    "scan": {
        "volumes",
        "tr_s",
        "trials",
        "two_way",
        "compared",
        "displacement_mm",
        "dvars",
        "tsnr",
        "volume_ms",
    },
}
#: What is null where there is no stream, no bundle or no decoder, or no run of fMRI.
_MAY_BE_NULL = {"modality", "bundle", "stream", "accuracy", "scan"}


def check_keys(summary: dict[str, Any]) -> None:
    """Assert that a summary holds every key."""
    for key, parts in _KEYS.items():
        assert key in summary
        if summary[key] is None:
            assert key in _MAY_BE_NULL
        elif parts:
            assert parts <= set(summary[key])
