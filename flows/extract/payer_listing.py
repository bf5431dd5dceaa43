"""The sources that indexes list: each file once, whatever its signatures; what a payer's configuration adds.

Memory: the distinct files of one payer that are wanted, however often they are mentioned.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

from flows.download.open_source import expand
from flows.download.sources import Source, origin_of
from flows.download.url_renewal import RenewUrl, UrlRenewals
from flows.extract.index_listing import is_signed, read_indexes
from flows.extract.undated_sources import names_month
from flows.settings.values import PayerSource, ReadSettings, asks_for_month, fill_month
from flows.storage.layout import Layout
from flows.storage.redaction import redact_url
from transforms.contents.found_files import FoundFile
from transforms.contents.index_values import IndexFacts
from transforms.contents.listing import Choice, Listing
from transforms.errors import BadFileError, MissingSourceError, NotPublishedError, OutageError, UsageError


@dataclass(frozen=True)
class Listed:
    """Distinct files in order of first mention, and what can't be read.

    refused: locations that can't be followed. failed: indexes that the index leads to, and why they can't be read.
    skipped: mentions of files that are not read, by the index's word for what they are. left_out: by the choice.
    """

    sources: tuple[Source, ...]
    refused: tuple[Source, ...]
    failed: tuple[tuple[Source, str], ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0


@dataclass(frozen=True)
class PayerListing(Listed):
    """A payer's files of one month: ``listed`` = sources + refused + ``left_out``, all of them distinct.

    failed: indexes that can't be read, files that aren't there: and why. undated: files that neither an address nor the
    date of an index places in the month. missing: indexes and files of the configuration that are not there, and why.
    """

    missing: tuple[tuple[Source, str], ...] = ()
    payer: str = ""
    listed: int = 0
    undated: frozenset[Source] = field(default=frozenset(), compare=False)


def sources_of(
    index: Source,
    layout: Layout | None = None,
    settings: ReadSettings | None = None,
    choice: Choice | None = None,
    follow: Callable[[FoundFile], bool] = lambda _: True,
) -> Listed:
    """The in-network files of an index and of those that it leads to, each once, whatever its signatures.

    Relative locations belong beside the index; one that leads out of its folder, or to another scheme than http(s), is
    refused.

    Args:
        follow: whether an index that it lists is read.

    Raises:
        BadFileError: it can't be read to its end.
    """
    tree = read_indexes(index, choice or Choice(), layout, settings or ReadSettings(), follow=follow)
    return replace(_as_listed(_wanted(tree.listing), tree.listing, index), failed=tuple(tree.failed))


@lru_cache(16)
def renewal(layout: Layout, settings: ReadSettings) -> RenewUrl:
    """New addresses from the indexes that list files; the same object for all files of a process."""

    def read_index(index: Source) -> dict[str, str]:
        listed = sources_of(index, layout, settings, follow=lambda nested: is_signed(nested.location))
        return {source.identity: source.location for source in listed.sources}

    return UrlRenewals(read_index)


def choice_of(payer: PayerSource) -> Choice:
    """Which of the listed files the payer's block wants."""
    return Choice.of(payer.include, payer.exclude, payer.plan_market_types, payer.plan_id_types, payer.min_plans)


def list_payer(
    payer: PayerSource, month: date, layout: Layout | None = None, settings: ReadSettings | None = None
) -> PayerListing:
    """What is to be read of a payer for a month: what its indexes list, and the files named themselves.

    An index that can't be read to its end lists nothing; the others go on. One that has not changed is not read again,
    unless it lists signed addresses, which are never cached.
    """
    settings = settings or ReadSettings()
    named = (fill_month(location, month) for location in (*payer.contents, *payer.files))
    origins = tuple(dict.fromkeys(origin for location in named if (origin := origin_of(location)) is not None))
    as_payer = Source("", payer=payer.name, headers=payer.headers, origins=origins)
    listing = Listing(choice_of(payer))
    failed: list[tuple[Source, str]] = []
    missing: list[tuple[Source, str]] = []
    for index, in_month in _expanded(payer.contents, month, as_payer, failed, missing):
        try:
            tree = read_indexes(
                index, listing.choice, layout, settings, month=month, in_month=in_month, strict=True, listing=listing
            )
        except BadFileError as error:
            (missing if isinstance(error, NotPublishedError) else failed).append((index, str(error)))
            continue
        failed += tree.failed
    for source, in_month in _expanded(payer.files, month, as_payer, failed, missing):
        file = listing.add(source.name, source.location)
        file.in_month = file.in_month or in_month
        listing.settle()
    wanted = _wanted(listing)
    listed = _as_listed(wanted, listing, as_payer)
    in_its_month = {file.location.strip() for file in wanted if file.in_month}
    undated = frozenset(
        source
        for source in listed.sources
        if not (payer.undated == "any" or source.location in in_its_month or names_month(source.location, month))
    )
    return PayerListing(
        listed.sources,
        listed.refused,
        tuple(failed),
        listed.skipped,
        listed.left_out,
        tuple(missing),
        payer.name,
        len(listing.files),
        undated,
    )


def _expanded(
    locations: tuple[str, ...],
    month: date,
    as_payer: Source,
    failed: list[tuple[Source, str]],
    missing: list[tuple[Source, str]],
) -> Iterator[tuple[Source, bool]]:
    """The payer's sources at these locations in that month, and whether the address says that they are the month's.

    Those that can't be listed are added to ``failed``, those where nothing is to ``missing``.
    """
    for location in locations:
        filled = fill_month(location, month)
        try:
            found = expand([filled])
        except (UsageError, OutageError) as error:
            reason = str(error).removeprefix(f"{redact_url(filled)}: ")
            kind = missing if isinstance(error, MissingSourceError) else failed
            kind.append((replace(as_payer, location=filled), reason))
            continue
        for source in found:
            in_month = asks_for_month(location) or names_month(source.location, month)
            yield replace(as_payer, location=source.location), in_month


def _wanted(listing: Listing) -> list[FoundFile]:
    return [file for file in listing.files.values() if listing.choice.left_out_by(file) is None]


def _as_listed(wanted: list[FoundFile], listing: Listing, as_payer: Source) -> Listed:
    return Listed(
        tuple(_as_source(file, as_payer) for file in wanted if not file.refused),
        tuple(_as_source(file, as_payer) for file in wanted if file.refused),
        skipped=dict(listing.skipped),
        left_out=len(listing.files) - len(wanted),
    )


def _as_source(file: FoundFile, as_payer: Source) -> Source:
    facts = IndexFacts(file.description, file.mentions, file.plans, file.networks) if file.mentions else None
    return replace(as_payer, location=file.location.strip(), contents=file.contents, listed_bytes=0, facts=facts)
