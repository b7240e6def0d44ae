"""Under which headings flags stand in the help, in this order."""

from cyclopts import Group

__all__ = [
    "DECODER",
    "GENERATOR",
    "MARKERS",
    "OUTPUT",
    "PROTOCOL",
    "REPLAY",
    "SCANNER",
    "SOURCE",
    "VOLUMES",
]

SOURCE = Group.create_ordered("Source")
VOLUMES = Group.create_ordered("Volumes")
SCANNER = Group.create_ordered("Scanner")
MARKERS = Group.create_ordered("Markers")
DECODER = Group.create_ordered("Decoder")
GENERATOR = Group.create_ordered("Generator")
REPLAY = Group.create_ordered("Replay")
PROTOCOL = Group.create_ordered("Protocol")
OUTPUT = Group.create_ordered("Output")
