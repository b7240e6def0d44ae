"""The look of the window: one explicit dark palette and type sizes that grow with the window."""

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from .words import BACKGROUND, GRID, MUTED, SURFACE, TEXT, TRACE, TRUTH

__all__ = ["apply_theme", "palette", "style_sheet", "text_scale"]

_BASE_PT = 10.0


def palette() -> QPalette:
    """Return the dark palette, twelve roles set by hand.

    The platform's own dark mode is not asked: it has no effect offscreen and differs between systems.
    """
    roles = QPalette.ColorRole
    colours = {
        roles.Window: BACKGROUND,
        roles.WindowText: TEXT,
        roles.Base: SURFACE,
        roles.AlternateBase: BACKGROUND,
        roles.Text: TEXT,
        roles.PlaceholderText: MUTED,
        roles.Button: SURFACE,
        roles.ButtonText: TEXT,
        roles.ToolTipBase: SURFACE,
        roles.ToolTipText: TEXT,
        roles.Highlight: TRACE,
        roles.HighlightedText: BACKGROUND,
    }
    result = QPalette()
    for role, colour in colours.items():
        result.setColor(role, QColor(colour))
    return result


def text_scale(width_px: int, height_px: int) -> float:
    """Return the factor of all type sizes: 1 at 1280 x 720, 1.75 at 3840 x 2160, in steps of 0.05."""
    factor = max(1.0, min(width_px / 1280, height_px / 720))
    return round(float(factor**0.5) * 20) / 20


def style_sheet(scale: float) -> str:
    """Return the type sizes of the window's labels at a scale, and the ground of its panels."""
    return f"""
        QWidget {{ font-size: {_BASE_PT * scale:.2f}pt; }}
        QFrame#panel {{ background: {SURFACE}; border: 1px solid {GRID}; border-radius: 6px; }}
        QSplitter::handle {{ background: transparent; }}
        QLabel[role="title"] {{ font-size: {_BASE_PT * 1.1 * scale:.2f}pt; font-weight: 600; }}
        QLabel[role="state"] {{ font-size: {_BASE_PT * 1.3 * scale:.2f}pt; font-weight: 600; }}
        QLabel[role="truth"] {{ color: {TRUTH}; }}
        QLabel[role="muted"] {{ color: {MUTED}; }}
        QLabel[role="caption"] {{ color: {MUTED}; font-size: {_BASE_PT * 0.85 * scale:.2f}pt; }}
    """


def apply_theme(application: QApplication) -> None:
    """Give an application the Fusion style and the dark palette: the same look on every platform."""
    application.setStyle("Fusion")
    application.setPalette(palette())
