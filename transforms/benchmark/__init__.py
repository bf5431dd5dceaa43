"""The methodology, in its order: resolve, payers, taxonomy, exclude, rates, observations, percentiles, summaries.

It imports `schemas` alone, so that it can be read by itself.
"""
