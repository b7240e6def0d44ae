"""Why trials of fMRI are not decided, in words for people."""

__all__ = ["withheld_told", "withheld_words"]

#: By the words of `stream.flags` and of the cutters.
_WORDS = {
    "gap": "volumes of its response are lost",
    "settling": "the mean that is taken off had not settled",
    "overwritten": "its volumes were no longer held",
    "warm-up": "too few trials yet to standardise its beta by",
    "too few volumes": "too few volumes yet for its beta",
    "artefact": "its response is larger than what the decoder takes for signal",
    "not finite": "volumes of its response hold values that are not numbers",
}
#: What can be done about it.
_ADVICE = {
    "too few volumes": "they must tell it from drifts, confounds and other trials; fewer --confounds, a longer "
    "--high-pass-s or a larger --nuisance-penalty in training let it be told sooner",
    "warm-up": "--warm-up says how many",
}


def withheld_words(reason: str) -> str:
    """Return why a trial is withheld, as a line of it says."""
    return _WORDS.get(reason, reason)


def withheld_told(reason: str) -> str:
    """Return why a trial is withheld, with what can be done about it."""
    return "; ".join(part for part in (withheld_words(reason), _ADVICE.get(reason)) if part)
