"""Of the series that a folder holds, keep the one that is read."""

from .new_files import Found, Tell
from .scans import Series

__all__ = ["SeriesChoice"]

#: Taken for the repetition time of a file that does not say it.
_TR_S = 2.0


class SeriesChoice:
    """Lets the files of one series pass; the others are counted, and each series is told once.

    A series that is named is the one that has the name as its UID, number or description. Otherwise it is the one of
    the lowest number that comes within a repetition time of the first file: what a scanner makes of a run itself, such
    as motion-corrected volumes, has a higher number and may be there first.

    Parameters
    ----------
    wanted : str or None
    tell : callable
        Takes ``("series", text)``.

    Attributes
    ----------
    n_ignored : int
        Files of other series.
    """

    def __init__(self, wanted: str | None, tell: Tell) -> None:
        self._wanted = wanted
        self._tell = tell
        self._chosen: Series | None = None
        self._undecided: list[Found] = []
        self._told: set[str] = set()
        self.n_ignored = 0

    def passed(self, found: list[Found], now_s: float, *, more: bool) -> list[Found]:
        """Return the files of the series; before it is decided which, none.

        Parameters
        ----------
        found : list of Found
            What has become whole since.
        now_s : float
        more : bool
            Whether there are files that were not read yet.
        """
        self._undecided += found
        if self._chosen is None:
            self._chosen = self._decided(now_s, more)
        if self._chosen is None and self._wanted is None:
            return []
        found, self._undecided = self._undecided, []
        return [file for file in found if self._is_chosen(file)]

    def _decided(self, now_s: float, more: bool) -> Series | None:
        if self._wanted is not None:
            named = (file.content.series for file in self._undecided)
            return next((series for series in named if series.is_called(self._wanted)), None)
        if not self._undecided or more:
            return None
        first = self._undecided[0]
        if now_s - first.at_s < (first.content.tr_s or _TR_S):
            return None
        return min((file.content.series for file in self._undecided), key=lambda series: series.rank)

    def _is_chosen(self, file: Found) -> bool:
        series = file.content.series
        if self._chosen is not None and series.uid == self._chosen.uid:
            return True
        self.n_ignored += 1
        if series.uid not in self._told:
            self._told.add(series.uid)
            read = f"one called {self._wanted!r}" if self._chosen is None else f"series {self._chosen}"
            self._tell(
                "series", f"{file.path} is of series {series}, and {read} is read: all of it is left out."
            )
        return False
