"""Samples in, windows and trials out; no models. Imports nothing else of this project."""
