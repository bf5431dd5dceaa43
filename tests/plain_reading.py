"""CONTRACT section 4 as a slow, plain program: ``json.loads``, loops, nothing shared with the pipeline it checks.

Read it in this order: ``plain_json`` (the bytes of a file and the values in it), ``plain_extract`` (prices and their
providers), ``plain_rates`` (rows over all files, the rules), ``plain_benchmarks`` (representative rates, percentiles).
Everything is held in memory: sum of the files, some ten times over. This page is the one to import from.
"""

from tests.plain_benchmarks import (
    PlainProvider,
    PlainSummary,
    ProviderKey,
    SummaryKey,
    plain_network_summaries,
    plain_providers,
    plain_summaries,
)
from tests.plain_extract import Header, PlainExtract, RateRow, plain_extract
from tests.plain_json import UnreadableError, plain_documents, plain_json
from tests.plain_rates import PlainNpi, PlainRate, is_valid_npi, luhn_sum, plain_rates

__all__ = [
    "Header",
    "PlainExtract",
    "PlainNpi",
    "PlainProvider",
    "PlainRate",
    "PlainSummary",
    "ProviderKey",
    "RateRow",
    "SummaryKey",
    "UnreadableError",
    "is_valid_npi",
    "luhn_sum",
    "plain_documents",
    "plain_extract",
    "plain_json",
    "plain_network_summaries",
    "plain_providers",
    "plain_rates",
    "plain_summaries",
]
