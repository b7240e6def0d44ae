"""Files of other programs, read and written: tables, what MNE-Python reads, NIfTI, XDF, pickled arrays."""
