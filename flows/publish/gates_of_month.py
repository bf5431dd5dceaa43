"""The gates applied to a month that is built and not yet published: what is held back, and what stays in its place."""

import logging
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from flows.publish.published_month import Standing
from flows.settings.config import Gates
from flows.storage.layout import month_name
from transforms.errors import NothingUsableError

if TYPE_CHECKING:
    from flows.tables.month_tables import MonthBuilder

LOG = logging.getLogger(__name__)


class Judge:
    """Called with the builder between building and publishing."""

    def __init__(
        self,
        gates: Gates,
        standing: Standing,
        earlier: tuple[str, Mapping[str, Any]],
    ) -> None:
        """Args: earlier: name and manifest entry of the month published before."""
        self._gates = gates
        self._read = standing.read
        self._standing = standing
        self._month: date = standing.published.month
        self._earlier_month, entry = earlier
        self._earlier: Mapping[str, Any] = entry.get("payers", {})

    def __call__(self, builder: "MonthBuilder") -> None:
        """Hold back what fails a gate; its last good rows stay, and so do those of blocks that this run did not read.

        Raises:
            NothingUsableError: nothing is left to publish.
        """
        name = month_name(self._month)
        for refused in (self._refused_files, self._refused_figures, self._vanished):
            for payer, reason in list(refused(builder)):
                LOG.error("%s %s is withheld: %s", name, payer, reason)
                builder.hold_back(payer, reason)
        unread = self._unread(builder)
        withheld_before = self._standing.published.entry.get("withheld", {})
        builder.withheld |= {payer: withheld_before[payer] for payer in unread if payer in withheld_before}
        builder.restore([*builder.withheld, *unread])
        if not builder.builds:
            raise NothingUsableError(f"every payer of {name} is withheld; the last good tables stand")

    def _refused_files(self, builder: "MonthBuilder") -> Iterator[tuple[str, str]]:
        """Payers of blocks too few of whose files were read."""
        from flows.publish.gates import judge_files

        blocks = {payer: self._standing.blocks(payer) for payer in self._standing.published.payers}
        for payer, names in builder.groups.items():
            blocks[payer] = blocks.get(payer, set()) | names
        reasons: dict[str, str] = {}
        for block in sorted(self._read):
            own = [outcome for outcome in builder.outcomes if outcome.source.payer == block]
            reason = judge_files(self._gates, own)
            if reason is not None:
                reasons |= {payer: f"{block}: {reason}" for payer in sorted(blocks) if block in blocks[payer]}
        yield from reasons.items()

    def _refused_figures(self, builder: "MonthBuilder") -> Iterator[tuple[str, str]]:
        from flows.publish.gates import judge_figures

        for payer, build in builder.builds.items():
            reason = judge_figures(self._gates, build.figures, self._earlier.get(payer), self._earlier_month)
            if reason is not None:
                yield payer, reason

    def _vanished(self, builder: "MonthBuilder") -> Iterator[tuple[str, str]]:
        """Payers of blocks that were read which were published before, in this month or the one before it."""
        if not self._gates.withhold_vanished:
            return
        readable = {outcome.source.payer for outcome in builder.outcomes if outcome.usable}
        name = month_name(self._month)
        last = self._standing.published.payers
        for payer in sorted({*last, *self._earlier} - {*builder.builds, *builder.withheld}):
            entry = last.get(payer) or self._earlier[payer]
            blocks = self._blocks(entry, builder) & (self._read if payer in last else readable)
            if blocks and not builder.stands_elsewhere(payer, entry.get("reporting_entities", ())):
                where = f"the last publication of {name}" if payer in last else self._earlier_month
                yield payer, f"no rows where {where} has {entry['rows']:,} (gate withhold_vanished is true)"

    def _blocks(self, entry: Mapping[str, Any], builder: "MonthBuilder") -> set[str | None]:
        """The blocks behind a published payer; where a run of other sources published it, those that name its files."""
        if entry.get("groups"):
            return set(entry["groups"])
        contents = set(entry.get("source_ids", ()))
        files = self._standing.published.entry.get("files", ())
        names = {file["source"] for file in files if file["source_id"] in contents}
        return {outcome.source.payer for outcome in builder.outcomes if outcome.source.name in names}

    def _unread(self, builder: "MonthBuilder") -> list[str]:
        """Published payers whose blocks are in the configuration and were not read, unless they were built."""
        return [payer for payer in self._standing.unread if payer not in {*builder.builds, *builder.withheld}]
