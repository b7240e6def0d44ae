"""Volumes as they come: a linear model of the run so far, the betas of its trials, motion and signal quality."""
