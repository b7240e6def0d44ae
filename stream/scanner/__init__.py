"""Volumes from a scanner: files of a watched folder, put in the order in which they were measured."""
