"""THINGS-MEG as it is published: CTF runs with their tables, and preprocessed trials."""
