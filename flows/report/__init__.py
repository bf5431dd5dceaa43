"""HTML pages from published tables: one per code, geography and payer, self-contained.

The templates are in `pages/`; the figures and sentences come from `transforms.report`.
"""
