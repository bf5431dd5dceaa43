"""Tables of contents as odd as the field notes and odder: strategies for Hypothesis, see generated_documents."""

from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.generated_documents import APPENDED, INSERTED, SCALARS, Speller
from tests.json_text import Pairs, Token, json_text, unescaped
from tests.odd_json import OddBuilder

HOSTS = ("https://mrf.example.com", "http://MRF.example.com", "https://other.example.com:8443", "ftp://a.example.com")
TEXTS: tuple[Any, ...] = (
    "in-network file",
    "in_network_files",
    '"in_network_files":[{"location":"x"}]',
    " A ",
    "",
    "é😀",
)
ODD_TEXTS: tuple[Any, ...] = (*SCALARS, Token(r'"\ud83d"'), Token(r'"\udc00x"'), Token("1.50"), Token("9" * 70), [], {})
KEYS = (
    *("reporting_structure", "TOC_Files", "in_network_files", "reporting_plans", "network_name", "network_names"),
    *("location", "plan_name", "allowed_amount_file", "x", "in_network"),
    *("files", "blobs", "filePath", "fileSchema", "downloadUrl", "name", "reportingPlans", "planName"),
)


class ContentsBuilder(OddBuilder):
    """Builds one table."""

    def __init__(self, random: Random, oddness: float) -> None:
        super().__init__(random, oddness)
        self.junk_left = 40  # or it would nest without end

    def text(self) -> Any:
        """A description or name."""
        return self.random.choice(ODD_TEXTS if self.odd() else TEXTS)

    def location(self) -> Any:
        """An address of few, with and without signature."""
        if self.odd():
            return self.random.choice((*ODD_TEXTS, " ", "rates/a.json?x=1", " https://mrf.example.com/1.json "))
        address = f"{self.random.choice(HOSTS)}/{self.random.randrange(6)}.json.gz"
        return address + self.random.choice(("", "", f"?sig={self.random.randrange(9)}", "?a=b#c"))

    def some(self, make: Any, most: int) -> Any:
        """An array; when odd, something else, or with something else in it."""
        made = [make() for _ in range(self.random.randint(0, most))]
        if not self.odd():
            return made
        first = made[0] if made else {}
        return self.random.choice((None, first, [None, *made], [*made, self.junk(2)], [made], self.junk(2), {}))

    def stray_key(self) -> str:
        """See ``OddBuilder``."""
        return self.random.choice(KEYS)

    def junk(self, depth: int = 3) -> Any:
        """Any JSON, now and then with a structure in it."""
        self.junk_left -= 1
        kind = self.random.randrange(5) if depth and self.junk_left > 0 else 0
        if kind == 2:
            return [self.junk(depth - 1) for _ in range(self.random.randrange(3))]
        if kind == 3:
            return {self.random.choice(KEYS): self.junk(depth - 1) for _ in range(self.random.randrange(3))}
        if kind == 4:
            return self.structure(depth - 1)
        return self.text()

    def file(self) -> Any:
        """A listed file."""
        networks = {"network_name": self.names()} if self.odd() else {}
        return self.record(location=self.location(), description=self.text(), **networks)

    def plan(self) -> Any:
        """A reporting plan."""
        return self.record(plan_name=f"plan {self.random.randrange(40)}", plan_id_type="EIN", plan_id="1")

    def names(self) -> Any:
        """Names of networks."""
        return self.random.choice((["B", "A "], "Choice", [], None, ["é", 7, None], {"x": 1}))

    def structure(self, depth: int) -> Pairs:
        """A reporting structure."""
        fields: dict[str, Any] = {"in_network_files": self.some(self.file, 4)}
        if self.random.random() < 0.9:
            fields["reporting_plans"] = self.some(self.plan, self.random.choice((2, 2, 30)))
        if self.random.random() < 0.2:
            fields["allowed_amount_file"] = self.some(lambda: {"location": "https://x/a", "description": "y"}, 2)
        if self.odd():
            fields[self.random.choice(("network_name", "network_names"))] = self.names()
        if depth and self.odd():
            fields[self.random.choice(("reporting_structure", "x"))] = self.some(lambda: self.structure(depth - 1), 2)
        return self.record(**fields)

    def entry(self) -> Any:
        """An entry of a payer's own index."""
        if self.random.random() < 0.5:
            name = self.random.choice(("a_index.json", "b_in-network.json", "c", self.text()))
            return self.record(name=name, downloadUrl=self.location())
        plan = {"planName": f"plan {self.random.randrange(40)}", "planIdType": "EIN", "planMarketType": "group"}
        schema = self.random.choice(("IN_NETWORK_RATES", "TABLE_OF_CONTENTS", "ALLOWED_AMOUNTS", self.text()))
        plans = self.some(lambda: self.record(**plan), 3)
        return self.record(filePath=self.location(), fileSchema=schema, fileName=self.text(), reportingPlans=plans)

    def document(self, size: int) -> Any:
        """A whole table of contents, or a payer's own index."""
        if self.random.random() < 0.25:
            return self.record(**{self.random.choice(("files", "blobs")): self.some(self.entry, 3 * size), "x": None})
        structures = self.some(lambda: self.structure(2), size)
        table = self.record(
            reporting_entity_name="Acme", reporting_structure=structures, last_updated_on="2026-06-01", version="2.0.0"
        )
        if self.odd():
            return self.random.choice(({"TOC_Files": [table]}, [table, *([structures] * 2)], self.structure(3), table))
        return table


def build_contents(random: Random, size: int, oddness: float, plain: bool) -> bytes:
    """A well-formed table of contents."""
    document = ContentsBuilder(random, oddness).document(size)
    if plain:
        return json_text(document, string=unescaped).encode()
    speller = Speller(random)
    return json_text(document, speller.gap, speller.string).encode()


def generated_contents() -> st.SearchStrategy[bytes]:
    """Well-formed tables of contents: any key order, whitespace, escapes, shapes and mix-ups."""
    return st.builds(
        build_contents,
        random=st.randoms(note_method_calls=False, use_true_random=True),
        size=st.integers(0, 6),
        oddness=st.sampled_from((0.0, 0.02, 0.1, 0.3)),
        plain=st.booleans(),
    )


@st.composite
def broken_contents(draw: st.DrawFn) -> bytes:
    """The same with one mistake anywhere, or cut off anywhere; now and then still JSON."""
    sound = draw(generated_contents())
    at = draw(st.integers(0, len(sound)))
    match draw(st.sampled_from(("insert", "delete", "replace", "double", "append", "cut"))):
        case "insert":
            return sound[:at] + draw(st.sampled_from(INSERTED)) + sound[at:]
        case "delete":
            return sound[:at] + sound[at + draw(st.integers(1, 3)) :]
        case "replace":
            return sound[:at] + draw(st.sampled_from(INSERTED)) + sound[at + 1 :]
        case "double":
            return sound[: at + 1] + sound[at:]
        case "append":
            return sound + draw(st.sampled_from(APPENDED))
        case _:
            return sound[:at]
