"""The thread that draws what is decoded: the newest belief wins, and decoding never waits for it."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Decoder
from decode_stream.decoders.generation.condition import EmbeddingBelief
from decode_stream.decoders.generation.steady import Steadied
from decode_stream.gui.snapshot import UNLIKE_TRAINING, Reconstruction
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.lsl import lsl_now

from .drawer import Drawer
from .timing import StageTimes
from .trials_to_draw import Said, TrialsToDraw

__all__ = ["Painter", "nothing_drawn"]

#: What becomes of a belief: each is counted once.
_COUNTS = ("made", "superseded", "skipped", "held", "failed")

#: Evidence that waits for the painter, at most: some seconds of it, where a drawing takes as long; the oldest goes.
_MOST_WAITING = 256
#: A drawing that takes longer is told of, and its picture is marked as held.
_STUCK_S = 5.0
#: How long the end of a session waits for a drawing.
_END_S = 2.0
#: The painter yields to decoding wherever both want a core (nice value; Linux has one for each thread).
_NICE = 10


class Painter:
    """Draws what a session decodes, in a thread of its own.

    Every belief is taken in, in order, as steady pictures rest on all of them; only the newest is drawn, and those that
    a newer one overtook are counted. Whatever goes wrong with a drawing, the last picture is held and marked so, and
    what happened is told once.

    Parameters
    ----------
    bundle : Bundle
        What decodes.
    make : callable
        Makes what draws; called in the painter's thread, so that nothing waits for a generator to be loaded.
    asked : bool
        Whether somebody asked for pictures: then it is told if there will be none, and else only summed up.

    Attributes
    ----------
    tell : callable
        Is told kind and text of what is worth telling.
    times : StageTimes
        From a belief to its picture.
    missing : str
        Why nothing is drawn at all, once that is known; else empty.

    Raises
    ------
    BundleError
        If the bundle does not say how much its outputs tell of a picture.
    """

    def __init__(self, bundle: Bundle, make: Callable[[], Drawer], *, asked: bool = True) -> None:
        self.tell: Callable[[str, str], None] = lambda kind, text: None
        self.times = StageTimes()
        self.missing = ""
        self._make, self._asked = make, asked
        # Of the decoding thread.
        self._trials = TrialsToDraw(bundle)
        self._unlike, self._n_unlike, self._n_overrun = "", 0, 0
        # Between the threads.
        self._news = threading.Condition()
        self._waiting = deque[Said](maxlen=_MOST_WAITING)
        self._stopped = False
        self._thread = threading.Thread(target=self._paint, name="painter", daemon=True)
        # Written by the painter's thread and read by all.
        self._drawer: Drawer | None = None
        self._newest: tuple[float, Reconstruction] | None = None
        self._number, self._owed = 0, False
        self._variance: npt.NDArray[np.uint8] | None = None
        self._drawing_since_s: float | None = None
        self._held = ""
        self._told = set[str]()
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._drawn_s = 0.0

    # Life

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, or leave it behind where a drawing does not end; may be called twice."""
        with self._news:
            self._stopped = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def _tell_once(self, kind: str, text: str, what: str) -> None:
        """Tell of the first of its sort: errors may word each of many failures otherwise."""
        if what not in self._told:
            self._told.add(what)
            self.tell(kind, text)

    # In the decoding thread

    def keep(self, window: CutWindow, embedding: npt.NDArray[np.float32]) -> None:
        """Take a window of a trial with what was decoded from it."""
        self._trials.keep(window, embedding)

    def look(self, decoder: Decoder, stamp_of: Callable[[int], float]) -> None:
        """Hand on what the last step of the decoder said of trials; returns at once.

        Parameters
        ----------
        stamp_of : callable
            Gives the LSL time of a sample by its index at the decoder's rate; NaN where that is not known.
        """
        self._tell_stuck()
        news, familiar = self._trials.news(decoder, stamp_of)
        if not news:
            return
        if not familiar:
            self._unlike = UNLIKE_TRAINING
            self._n_unlike += len(news)
            self._tell_once(
                "unlike",
                "the signal is unlike that of the training; no picture is drawn of it",
                UNLIKE_TRAINING,
            )
            return
        if self._unlike:
            # The picture of before is none of what comes now: it stays marked until the next is drawn.
            self._unlike, self._held = "", UNLIKE_TRAINING
        with self._news:
            self._n_overrun += max(0, len(self._waiting) + len(news) - _MOST_WAITING)
            self._waiting += news
            self._news.notify()

    def _tell_stuck(self) -> None:
        since_s = self._drawing_since_s
        if since_s is not None and lsl_now() - since_s > _STUCK_S:
            self._tell_once(
                "generator",
                f"the generator has been at one picture for more than {_STUCK_S:g} s; the last one is held, decoding "
                "goes on",
                "stuck",
            )

    # In the painter's thread

    def _paint(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            self._drawer = self._make()
        except Exception as error:
            self.missing = str(error)
            if self._asked:
                self.tell("generator", f"no picture is drawn: {error}")
            return
        generator = self._drawer.generator
        for note in generator.notes:
            self.tell("provider", note)
        while (news := self._next()) is not None:
            self._take(self._drawer, news)
            if generator.lost:
                self._tell_once("provider lost", generator.lost, generator.lost)

    def _next(self) -> list[Said] | None:
        """Return all that was said since the last call, as soon as there is anything; None at the end of it all."""
        with self._news:
            while not self._waiting and not self._stopped:
                self._news.wait()
            if not self._waiting:
                return None
            news = list(self._waiting)
            self._waiting.clear()
            return news

    def _take(self, drawer: Drawer, news: list[Said]) -> None:
        """Take in all that was said, in order, and draw the newest of it if it has moved."""
        newest: tuple[Said, Steadied] | None = None
        for said in news:
            try:
                steadied = drawer.believe(said.said)
            except Exception as error:
                self._hold("held", "nothing to draw", error)
                continue
            if steadied is None:
                self._counts["superseded"] += 1
                continue
            if newest is not None:
                self._counts["superseded" if self._owed else "skipped"] += 1
            newest = said, steadied
            self._owed |= steadied.draw
        if newest is None:
            return
        said, steadied = newest
        if self._owed:
            self._draw(drawer, said, steadied.belief)
        else:
            self._counts["skipped"] += 1
            self._still(said)
        if said.said.decided and not self._owed:
            self._imagine(drawer, steadied.belief)

    def _draw(self, drawer: Drawer, said: Said, belief: EmbeddingBelief) -> None:
        self._drawing_since_s = began_s = lsl_now()
        try:
            drawn = drawer.draw(belief)
        except Exception as error:
            self._hold("failed", "generator failed", error)
            return
        finally:
            self._drawing_since_s = None
        ended_s = lsl_now()
        self.times.add(ended_s - said.decoded_s)
        self._drawn_s += ended_s - began_s
        self._counts["made"] += 1
        self._number += 1
        self._newest = (
            said.stamp_s,
            Reconstruction(
                number=self._number,
                picture=drawn.picture,
                prior=drawer.prior,
                variance=self._variance,
                of=said.of,
                confidence=drawn.confidence,
                age_ms=nan,
                held="",
                n_steps=drawer.n_steps,
                draw_ms=1e3 * (ended_s - began_s),
                nearest=drawn.nearest,
                nearest_distance=drawn.nearest_distance,
            ),
        )
        # After the picture, and read before it, so that a view never finds neither a picture nor a reason.
        self._owed, self._held = False, ""

    def _hold(self, count: str, what: str, error: Exception) -> None:
        """Leave the last picture where it is, and say why."""
        self._counts[count] += 1
        self._held = f"{what}: {error}"
        told = f"{self._held}; the last picture is held, decoding goes on"
        self._tell_once("generator", told, f"{what}: {type(error).__name__}")

    def _still(self, said: Said) -> None:
        """Let the last picture stand for a belief that has hardly moved."""
        self._held = ""
        if self._newest is not None:
            self._newest = said.stamp_s, replace(self._newest[1], of=said.of)

    def _imagine(self, drawer: Drawer, belief: EmbeddingBelief) -> None:
        """Draw what was decided from several noises, as long as nothing else is to be drawn."""

        def go_on() -> bool:
            self._drawing_since_s = lsl_now()
            return not self._waiting and not self._stopped

        try:
            variance = drawer.imagined(belief, go_on)
        except Exception as error:
            told = f"generator failed: {error}; decoding goes on"
            self._tell_once("generator", told, f"imagined: {type(error).__name__}")
            return
        finally:
            self._drawing_since_s = None
        if variance is not None and self._newest is not None:
            self._variance = variance
            self._number += 1
            stamp_s, newest = self._newest
            self._newest = stamp_s, replace(newest, number=self._number, variance=variance)

    # What views and the summary ask

    @property
    def generator(self) -> str:
        """What draws, or that it is being loaded; empty where nothing will be drawn."""
        if self._drawer is None:
            return "" if self.missing else "being loaded"
        return self._drawer.generator.name

    def reconstruction(self) -> Reconstruction | None:
        """Return the newest picture as it stands now; None before there is one."""
        said_held = self._held
        drawer, newest, now_s = self._drawer, self._newest, lsl_now()
        if drawer is None:
            return None
        stuck, since_s = "", self._drawing_since_s
        if since_s is not None and now_s - since_s > _STUCK_S:
            stuck = f"the generator has been at one picture for {now_s - since_s:.0f} s"
        held = self._unlike or stuck or said_held
        if newest is not None:
            stamp_s, picture = newest
            return replace(picture, age_ms=1e3 * (now_s - stamp_s), held=held)
        if not held:
            return None
        prior = drawer.prior
        return Reconstruction(0, prior, prior, None, "", 0.0, nan, held, drawer.n_steps, nan, None, nan)

    def summary(self) -> dict[str, Any]:
        """Return what is written of the pictures of a session."""
        drawer, made = self._drawer, self._counts["made"]
        return nothing_drawn(self.missing) | {
            **self._counts,
            "superseded": self._counts["superseded"] + self._n_overrun,
            "held": self._counts["held"] + self._n_unlike,
            "steps": drawer.n_steps if drawer else None,
            "images_per_s": round(made / self._drawn_s, 2) if made else None,
            "generator": drawer.generator.name if drawer else None,
            "provider": drawer.generator.provider if drawer else None,
        }


def nothing_drawn(missing: str) -> dict[str, Any]:
    """Return what a summary tells of the pictures of a session that drew none.

    Parameters
    ----------
    missing : str
        Why.
    """
    told = {
        "steps": None,
        "images_per_s": None,
        "generator": None,
        "provider": None,
        "missing": missing or None,
    }
    return dict.fromkeys(_COUNTS, 0) | told
