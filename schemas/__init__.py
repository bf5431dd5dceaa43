"""SHAPE: every table and column declared once, code lists, reference data. Imports nothing of ours."""
