"""Files: their paths, and how they are written, locked, cached and synchronised.

Paths, atomic files and folders, locks, Parquet, object storage, and errors of a machine that ran out of something.
"""
