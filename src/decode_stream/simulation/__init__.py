"""`decode-stream simulate`: people who were never there, in the layouts of published datasets."""
