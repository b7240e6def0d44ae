"""The commands that make generators, and that refine what was drawn."""
