"""Bytes to JSON to extract rows: containers, parser events, the grammar of in-network files, cleaning, extract tables.

This is the plain reader, which parses every byte.
"""
