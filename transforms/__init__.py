"""WHAT: pure functions over open binary streams, bytes and frames. Opens nothing, knows no Prefect."""
