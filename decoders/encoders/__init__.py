"""Encoders: a window or a trial in, an embedding out."""
