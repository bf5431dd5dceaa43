"""Summaries to what a page says: figures, sentences, charts, map, calculator, CSV."""
