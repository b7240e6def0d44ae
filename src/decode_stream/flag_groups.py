"""How flags stand in the help: under these headings, in this order, and without their setting's name before them."""

from cyclopts import Group, Parameter

__all__ = [
    "DECODER",
    "FLAT",
    "GENERATOR",
    "MARKERS",
    "OUTPUT",
    "PROTOCOL",
    "REPLAY",
    "SCANNER",
    "SOURCE",
    "VOLUMES",
]

#: A command's configuration: each of its fields is a flag.
FLAT = Parameter(name="*")

SOURCE = Group.create_ordered("Source")
VOLUMES = Group.create_ordered("Volumes")
SCANNER = Group.create_ordered("Scanner")
MARKERS = Group.create_ordered("Markers")
DECODER = Group.create_ordered("Decoder")
GENERATOR = Group.create_ordered("Generator")
REPLAY = Group.create_ordered("Replay")
PROTOCOL = Group.create_ordered("Protocol")
OUTPUT = Group.create_ordered("Output")
