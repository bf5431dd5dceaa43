"""Where things lie and how they are written.

Paths, atomic files and folders, locks, Parquet, object storage, and errors of a machine that ran out of something.
"""
