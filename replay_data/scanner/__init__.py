"""A scanner played from a recording: each volume as a file, at its time, as a vendor would write it."""
