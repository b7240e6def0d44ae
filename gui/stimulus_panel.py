"""What the person is shown now: its picture and its name, where a marker tells."""

from PySide6.QtCore import Qt

from .panel import Panel, label, set_text
from .pictures import Pictures, Thumbnail
from .snapshot import Snapshot
from .words import stimulus_note, stimulus_text

__all__ = ["StimulusPanel"]


class StimulusPanel(Panel):
    """Draws the stimulus of a snapshot; an empty place between stimuli."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__("Stimulus")
        self._pictures = pictures
        self.picture = Thumbnail(centred=True)
        self.name = label("value", elided=True)
        self.name.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.content.addWidget(self.picture, 1)
        self.content.addWidget(self.name)
        self.content.addStretch()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Draw what is shown now."""
        stimulus = snapshot.stimulus
        known = stimulus is not None and stimulus.known
        picture = self._pictures.of(stimulus.name) if stimulus is not None and known else None
        name, note = stimulus_text(snapshot), stimulus_note(snapshot)
        self.picture.setVisible(snapshot.has_pictures)
        self.picture.show_picture(picture, note or ("no picture" if known else ""))
        set_text(self.name, name)
        set_text(self.note, "" if snapshot.has_pictures else note)
        self.describe(f"{name}, {note}" if note else name)
