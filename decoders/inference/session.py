"""Running a network: on what was asked for or the best that works, and on the CPU where that is lost."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.stream.errors import BundleError, ProviderLost, UsageError

from .backend import Backend, TensorSpec
from .model_safety import check_model
from .providers import PROVIDERS, ProviderKind, label, provider_kind

__all__ = ["InferenceSession", "LastingSession"]


class InferenceSession:
    """Runs one ONNX model, warmed up.

    Parameters
    ----------
    model : OnnxModel
    provider : {"cpu", "auto", "tensorrt-engine", "tensorrt", "cuda"}
        What runs it; auto for the best that works.
    warm : sequence of int
        Batch sizes that will come in a loop: for these buffers are bound once and, on a GPU, what is done is recorded.
        Any other size runs too.

    Attributes
    ----------
    provider : str
        The name of what does run it.
    fallbacks : tuple of str
        Where the best was asked for, a sentence for each reason why a better provider was passed over.
    notes : tuple of str
        What else is worth telling of how it was opened.
    inputs, outputs : tuple of TensorSpec

    Raises
    ------
    BundleError
        If the model cannot be loaded and run, or is refused; see `check_model`.
    UsageError
        If a provider was asked for by name that is not to be had on this machine or does not work.
    """

    def __init__(self, model: OnnxModel, provider: str = "cpu", *, warm: Sequence[int] = (1,)) -> None:
        check_model(model)
        self.fallbacks: tuple[str, ...] = ()
        if provider == "auto":
            self._backend, self.fallbacks = _best(model, warm)
        else:
            self._backend = _named(model, provider, warm)
        self.provider = self._backend.provider
        self.notes = self._backend.notes
        self.inputs: tuple[TensorSpec, ...] = self._backend.inputs
        self.outputs: tuple[TensorSpec, ...] = self._backend.outputs

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[npt.NDArray[Any]]:
        """Return what the network gives; may be called from several threads.

        Parameters
        ----------
        inputs : dict of str to array
            All inputs by name, of one batch of any size. What a network does not use its engine may not take; that
            is left out.
        outputs : sequence of str, optional
            Names; by default all, in order.

        Returns
        -------
        list of array
            Which belong to the caller.

        Raises
        ------
        ProviderLost
            If the provider fails; the CPU, which there is nothing behind, raises errors of ONNX Runtime.
        ValueError
            If the inputs are not those of the network.
        """
        given = self._checked(inputs)
        wanted = [spec.name for spec in self.outputs] if outputs is None else outputs
        try:
            return self._backend.run(given, wanted)
        except Exception as error:
            if self.provider == "cpu":
                raise
            raise ProviderLost(f"{label(self.provider)} failed: {_brief(error)}") from error

    def _checked(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs as back-ends take them; what is wrong with them must not pass for a device that fails."""
        if not inputs.keys() >= {spec.name for spec in self.inputs}:
            raise ValueError(f"The network takes {[spec.name for spec in self.inputs]}; got {[*inputs]}.")
        n = {len(inputs[spec.name]) for spec in self.inputs if inputs[spec.name].ndim}
        for spec in self.inputs:
            x = inputs[spec.name]
            if x.dtype != spec.dtype or not spec.takes(x.shape) or len(n) > 1:
                raise ValueError(
                    f"{spec.name!r} is {spec.dtype} of shape {spec.shape}, for one batch; got {x.dtype} of shape "
                    f"{x.shape}."
                )
        return {spec.name: np.asarray(inputs[spec.name], order="C") for spec in self.inputs}


class LastingSession:
    """Runs one ONNX model for as long as it is needed: on the CPU from where another provider is lost.

    Parameters
    ----------
    model, provider, warm
        As of `InferenceSession`.
    what : str
        What is run, as the subject of a sentence.

    Attributes
    ----------
    notes : tuple of str
        Why better providers were passed over, and what else is worth telling of how it was opened.
    lost : str
        What happened where a provider was lost; else empty.

    Raises
    ------
    BundleError, UsageError
        See `InferenceSession`.
    """

    def __init__(
        self, model: OnnxModel, provider: str = "cpu", *, what: str, warm: Sequence[int] = (1,)
    ) -> None:
        self._model, self._what, self._warm = model, what, tuple(warm)
        self._lock = threading.Lock()
        self._session = self._opened(provider)
        self.notes = self._session.fallbacks + self._session.notes
        self.lost = ""

    @property
    def provider(self) -> str:
        """The name of what runs it now."""
        return self._session.provider

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[npt.NDArray[Any]]:
        """Return what the network gives; see `InferenceSession.run`. What a provider was lost at is run again."""
        session = self._session
        try:
            return session.run(inputs, outputs)
        except ProviderLost as error:
            self._go_on(session, error)
            return self._session.run(inputs, outputs)

    def _go_on(self, failed: InferenceSession, error: ProviderLost) -> None:
        """Open the model on the CPU, unless another thread that met the same has done so."""
        with self._lock:
            if self._session is not failed:
                return
            self._session = self._opened("cpu")
            self.lost = f"{error}; {self._what} goes on on the CPU"

    def _opened(self, provider: str) -> InferenceSession:
        try:
            return InferenceSession(self._model, provider, warm=self._warm)
        except BundleError as error:
            raise BundleError(f"{self._what[:1].upper()}{self._what[1:]} cannot be run: {error}") from error


def _named(model: OnnxModel, provider: str, warm: Sequence[int]) -> Backend:
    kind = provider_kind(provider)
    if (why := kind.missing()) is not None:
        here = ", ".join(one.name for one in PROVIDERS if one.missing() is None)
        raise UsageError(
            f"The provider {provider!r} is not to be had here ({why}); this machine has: {here}. See decode-stream "
            "doctor."
        )
    try:
        return kind.open(model, warm)
    except Exception as error:
        if provider == "cpu":
            raise BundleError(_brief(error)) from error
        _named(model, "cpu", (1,))  # a model at fault fails there too
        raise UsageError(
            f"The provider {provider!r} is installed but does not run this network here: {_brief(error).rstrip('.')}. "
            "See decode-stream doctor, or give --provider cpu."
        ) from error


def _best(model: OnnxModel, warm: Sequence[int]) -> tuple[Backend, tuple[str, ...]]:
    """Return what runs a model best, and why better providers were passed over."""
    passed: dict[str, list[ProviderKind]] = {}
    *better, last = PROVIDERS
    for kind in better:
        why = kind.missing()
        if why is None:
            try:
                return kind.open(model, warm), _sentences(passed, kind)
            except Exception as error:
                why = f"it does not run this network: {_brief(error)}"
        passed.setdefault(why, []).append(kind)
    return _named(model, last.name, warm), _sentences(passed, last)


def _sentences(passed: Mapping[str, Sequence[ProviderKind]], runs: ProviderKind) -> tuple[str, ...]:
    """Return a sentence for each reason."""
    if len(passed) == 1:
        # One reason for all of them, such as that there is no GPU.
        (why,) = passed
        return (f"{why}, so it runs on {'the ' if runs.name == 'cpu' else ''}{runs.label}",)
    return tuple(
        f"passed over {', '.join(kind.label for kind in kinds)}: {why}" for why, kinds in passed.items()
    )


def _brief(error: Exception) -> str:
    """Return the beginning of what an error says; those of ONNX Runtime may go on for pages."""
    return " ".join(str(error).split())[:300] or type(error).__name__
