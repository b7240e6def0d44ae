"""THINGS-EEG2 as it is published: source, raw and preprocessed files."""
