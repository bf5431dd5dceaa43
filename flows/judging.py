"""The gates applied to a month that is built and not yet published: what is held back, and what stays in its place."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from flows.config import Gates
from flows.extracts import Outcome
from flows.layout import month_name
from transforms.errors import NothingUsableError

if TYPE_CHECKING:
    from flows.month import MonthBuilder

LOG = logging.getLogger(__name__)


class Judge:
    """Called with the builder between building and publishing.

    ``refused_groups``: names in the configuration too few of whose files were read.
    """

    def __init__(
        self,
        gates: Gates,
        outcomes: Sequence[Outcome],
        month: date,
        before: Mapping[str, Any],
        earlier: tuple[str, Mapping[str, Any]],
        state: Mapping[str, Sequence[Outcome]],
    ) -> None:
        self._gates = gates
        self._outcomes = outcomes
        self._month = month_name(month)
        self._last_good: Mapping[str, Any] = before.get("payers", {})
        self._earlier_month, entry = earlier
        self._earlier: Mapping[str, Any] = entry.get("payers", {})
        self._state = state
        self.refused_groups: set[str] = set()

    def __call__(self, builder: "MonthBuilder") -> None:
        """Hold back whatever fails a gate.

        Raises:
            NothingUsableError: nothing is left to publish.
        """
        self._judge_files(builder)
        self._judge_figures(builder)
        if not builder.builds:
            raise NothingUsableError(f"every payer of {self._month} is withheld; the last good tables stand")

    def _judge_files(self, builder: "MonthBuilder") -> None:
        from flows.gates import judge_files

        groups = self._groups(builder)
        for group in sorted({outcome.source.payer or "" for outcome in self._outcomes}):
            own = [outcome for outcome in self._outcomes if outcome.source.payer == group]
            reason = judge_files(self._gates, own)
            if reason is not None:
                self.refused_groups.add(group)
                for payer in sorted(payer for payer, names in groups.items() if group in names):
                    self._hold_back(builder, payer, f"{group}: {reason}")

    def _groups(self, builder: "MonthBuilder") -> dict[str, set[str]]:
        """The configuration's names behind each payer, now and at the last publication."""
        groups = {payer: set(entry.get("groups", ())) for payer, entry in self._last_good.items()}
        for payer, names in builder.groups.items():
            groups[payer] = groups.get(payer, set()) | names
        return groups

    def _judge_figures(self, builder: "MonthBuilder") -> None:
        from flows.gates import judge_figures

        for payer, build in list(builder.builds.items()):
            before = self._earlier.get(payer)
            reason = judge_figures(self._gates, build.figures, before, self._earlier_month)
            if reason is not None and payer not in builder.withheld:
                self._hold_back(builder, payer, reason)

    def _hold_back(self, builder: "MonthBuilder", payer: str, reason: str) -> None:
        LOG.error("%s %s is withheld: %s", self._month, payer, reason)
        entry = self._last_good.get(payer, {})
        read_then = [outcome for kept in self._state.values() for outcome in kept]
        builder.hold_back(payer, reason, entry.get("build"), tuple(entry.get("groups", ())), read_then)
