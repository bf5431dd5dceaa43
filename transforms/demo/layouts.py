"""How each of the demo's files is laid out: the shapes that real payers use, one per file."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from transforms.demo.market import AETNA, ANTHEM, BLUE_ILLINOIS, CIGNA, LANTERN, PREMERA, UNITED, Publisher


@dataclass(frozen=True)
class Layout:
    """The shape of one file; the defaults are plain 1.x with references first."""

    version: str = "1.3.1"
    header: Literal["start", "end"] = "start"
    references: Literal["before", "after", "none"] = "before"
    reference_ids: Literal["integer", "float", "text", "digits"] = "integer"  # digits: text, cited as integers
    inline_share: float = 0.0  # of the rates that write their providers out instead of citing
    rates_first: bool = False  # negotiated_rates before billing_code, description before billing_code_type
    as_text: bool = False  # NPIs and rates are strings, NPIs repeated, TINs without dash
    code: Literal["text", "number", "padded"] = "text"
    lower_type: bool = False
    dates: Literal["iso", "time", "us", "us time"] = "iso"
    spreadsheet: bool = False  # NPIs and EINs end in .0, EINs lack the zeros in front; classes are capitalised
    pretty: bool = False  # indented, CRLF
    escaped: bool = False  # keys written with \u escapes

    @property
    def second_schema(self) -> bool:
        """2.x: network_name, business_name, setting, issuer_name."""
        return self.version.startswith("2")


@dataclass(frozen=True)
class DemoFile:
    """One file to write: name without its date, container, and which share of the publisher's offers it holds."""

    name: str
    container: Literal["gzip", "gzip members", "zip", "plain"]
    publisher: Publisher
    layout: Layout
    last_updated_day: int = 1
    part: Literal["all", "first", "second", "none"] = "all"
    twin_of: str = ""  # the same bytes under another name

    def file_name(self, month: date) -> str:
        """As payers name them: the month's first day in front."""
        return f"{month.isoformat()}_{self.name}"


_INLINE = Layout(version="1.0.0", header="end", references="none", inline_share=1)
_ANTHEM = DemoFile(
    "anthem_in-network-rates_PPO.json.gz",
    "gzip",
    ANTHEM,
    Layout(version="2.0.0", reference_ids="digits"),
    last_updated_day=2,
)

FILES = (
    DemoFile("Aetna-Life-Insurance-Company_1_of_2.json.gz", "gzip", AETNA, _INLINE, part="first"),
    DemoFile("Aetna-Life-Insurance-Company_2_of_2.json.gz", "gzip", AETNA, _INLINE, last_updated_day=3, part="second"),
    DemoFile(
        "Blue-Cross-and-Blue-Shield-of-Illinois_in-network-rates.json.gz",
        "gzip members",
        BLUE_ILLINOIS,
        Layout(version="1.2.0", references="after", reference_ids="float", dates="time", code="padded"),
    ),
    _ANTHEM,
    replace(_ANTHEM, name="anthem_in-network-rates_HMO.json.gz", twin_of=_ANTHEM.name),
    DemoFile(
        "premera-blue-cross_in-network.json",
        "plain",
        PREMERA,
        Layout(version="1", inline_share=0.5, rates_first=True, as_text=True, code="number", dates="us", pretty=True),
        last_updated_day=4,
    ),
    DemoFile(
        "cigna-health-life-insurance-company_national-oap.zip",
        "zip",
        CIGNA,
        Layout(version="2.1.0", header="end", reference_ids="text", rates_first=True, inline_share=0.2),
    ),
    DemoFile(
        "United-HealthCare-Services--Inc-_OPH-Optum-Physical-Health_in-network-rates.json.gz",
        "gzip",
        UNITED,
        Layout(),
    ),
    DemoFile(
        "United-HealthCare-Services--Inc-_Dental_in-network-rates.json.gz",
        "gzip",
        UNITED,
        Layout(),
        part="none",
    ),
    DemoFile(
        "prairie-lantern_mrf.json",
        "plain",
        LANTERN,
        Layout(version="2.0", references="after", lower_type=True, dates="us time", escaped=True, spreadsheet=True),
        last_updated_day=5,
    ),
)
