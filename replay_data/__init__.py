"""Recordings: readers for what is on disk, simulated subjects, and the causal LSL player."""
