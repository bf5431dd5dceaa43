"""HTML pages from published tables: one per code, geography, payer and practice, self-contained.

The templates are in `pages/`; the figures and sentences come from `transforms.report`.
"""
