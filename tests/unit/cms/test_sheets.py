"""Large workbooks, streamed: what a cell says, which rows are given, and what is refused."""

import io
import random
import tracemalloc
import zipfile
from xml.sax.saxutils import escape

import pytest

from tests.nppes_files import workbook
from transforms.cms.sheets import HEADING_ROWS, sheet_rows, workbook_rows
from transforms.errors import UsageError

EMPTY = "<row><c><v>0</v></c></row>" * HEADING_ROWS


def read(content: bytes, *wanted: str) -> list[list[str]]:
    return list(workbook_rows(io.BytesIO(content), wanted))


def changed(content: bytes, **parts: str | None) -> bytes:
    """A workbook with other parts, by their names without folder; None leaves one out."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            part = parts.get(name.rpartition("/")[2].removesuffix(".xml"), old.read(name))
            if part is not None:
                new.writestr(name, part)
        if "styles" in parts:
            new.writestr("xl/styles.xml", parts["styles"] or "")
    return made.getvalue()


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("<c><v>97026</v></c>", "97026"),
        ("<c><v>2.0200101E7</v></c>", "20200101"),
        ('<c t="s"><v>0</v></c>', "shared text"),
        ('<c t="s"><v>1</v></c>', "two runs"),
        ('<c t="inlineStr"><is><t> &lt;b&gt; &#233; </t></is></c>', "<b> é"),
        ('<c t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r><rPh><t>c</t></rPh></is></c>', "ab"),
        ('<c t="str"><f>A1&amp;"x"</f><v>7x</v></c>', "7x"),
        ('<c t="s"/>', ""),
        ("<c><f>1+1</f></c>", ""),
        ("<c>\n  <v>5</v>\n</c>", "5"),
    ],
)
def test_a_cell_says_what_its_type_makes_of_it(cell: str, text: str) -> None:
    strings = "<si><t>shared text</t></si><si><r><t>two </t></r><r><t>runs</t></r><rPh><t>spoken</t></rPh></si>"
    assert read(workbook(f"<row>{cell}<c><v>1</v></c></row>", strings)) == [[text, "1"]]


def test_a_date_is_read_where_the_style_shows_one() -> None:
    styles = (
        '<styleSheet><numFmts><numFmt numFmtId="170" formatCode="YYYYMMDD"/></numFmts><cellStyleXfs><xf numFmtId="14"/>'
        '</cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="170"/></cellXfs></styleSheet>'
    )
    row = "".join(f'<c s="{style}"><v>43831</v></c>' for style in "0123")
    content = changed(workbook(f"<row>{row}</row>"), styles=styles)
    assert read(content) == [["43831", "2020-01-01", "2020-01-01", "43831"]]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        book = archive.read("xl/workbook.xml").decode()
    other = book.replace("<sheets>", '<workbookPr date1904="1"/><sheets>')
    assert read(changed(content, workbook=other))[0][1] == "2024-01-02"


def test_cells_stand_where_their_references_say() -> None:
    rows = '<row r="1"><c r="B1"><v>1</v></c><c r="AA1"><v>2</v></c></row><row r="5"/><row r="7"><c r="A7"/></row>'
    first, second, third = read(workbook(rows))
    assert (len(first), first[1], first[26], "".join(first)) == (27, "1", "2", "12")
    assert (second, third) == ([], [""])


def test_elements_may_have_a_prefix() -> None:
    content = workbook("<row><c><v>1</v></c></row>" * (HEADING_ROWS + 1) + '<row><c t="s"><v>0</v></c></row>')
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(f"xl/{name}").decode() for name in ("worksheets/sheet1.xml", "sharedStrings.xml")}
    sheet, strings = (
        part.replace("</", "<@").replace("<", "<x:").replace("<x:@", "</x:").replace("xmlns=", "xmlns:x=")
        for part in (
            parts["worksheets/sheet1.xml"],
            parts["sharedStrings.xml"].replace("</sst>", "<si><t>97026</t></si></sst>"),
        )
    )
    assert read(changed(content, sheet1=sheet, sharedStrings=strings), "97026")[-1] == ["97026"]


@pytest.mark.slow
def test_rows_with_a_wanted_text_are_those_of_a_whole_reading() -> None:
    """Against calamine, with texts inline, shared and as numbers."""
    chance = random.Random(22)
    texts = [str(chance.randrange(97000, 97050)) for _ in range(40)] + ["A&B", "*", ""]

    def cell() -> str:
        number = chance.randrange(len(texts))
        kinds = [f'<c t="s"><v>{number}</v></c>', f'<c t="inlineStr"><is><t>{escape(texts[number])}</t></is></c>']
        return chance.choice([*kinds, f"<c><v>{97000 + number}</v></c>", "<c/>"])

    rows = "".join(f"<row>{''.join(cell() for _ in range(3))}</row>" for _ in range(30_000))
    content = workbook(rows, "".join(f"<si><t>{escape(text)}</t></si>" for text in texts))
    every = [[cell.removesuffix(".0") for cell in cells] for _, cells in sheet_rows(content)]
    for wanted in (("97026",), ("97026", "97028"), tuple(map(str, range(97000, 97060)))):
        found = [cells + [""] * (3 - len(cells)) for cells in read(content, *wanted)]
        has_one = [cells for cells in every if set(wanted) & set(cells)]
        assert [cells for cells in found if set(wanted) & set(cells)] == has_one
        assert len(found) < len(every) or len(wanted) > 2


def test_rows_without_a_wanted_text_cost_no_memory() -> None:
    content = workbook(EMPTY + "<row><c><v>97110</v></c></row>" * 400_000 + "<row><c><v>97026</v></c></row>")
    tracemalloc.start()
    try:
        assert read(content, "97026")[-1] == ["97026"]
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_comments_do_not_hide_the_ends_of_rows() -> None:
    rows = f"{EMPTY}<row><!-- </row> --><c><v>97026</v></c></row><row><c><v>1</v></c></row>"
    assert ["97026"] in read(workbook(rows), "97026")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (workbook('<row><c r="XFE1"><v>1</v></c></row>'), r"a cell at 'XFE1'"),
        (workbook('<row><c t="s"><v>3</v></c></row>'), "list index out of range"),
        (workbook("<row><c></row>"), "mismatched tag"),
        (changed(workbook(""), workbook="<workbook/>"), "damaged, or not a workbook"),
        (changed(workbook(""), sheet1=None), "damaged, or not a workbook .*no item named 'xl/worksheets/sheet1.xml'"),
        (changed(workbook(""), sheet1='<!DOCTYPE a [<!ENTITY b "c">]><a/>'), "its XML has a document type"),
        (changed(workbook(""), workbook="<!DOCTYPE a><a/>"), "its XML has a document type"),
    ],
)
def test_what_no_spreadsheet_program_writes_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read(content)


def test_parts_and_rows_of_absurd_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.cms.sheets.MOST_PART_BYTES", 1_000)
    with pytest.raises(UsageError, match=r"xl/sharedStrings.xml has 20,\d+ bytes, more than 1,000"):
        read(workbook("", "<si><t>x</t></si>" * 1_200))
    monkeypatch.setattr("transforms.cms.sheets.MOST_ROW_BYTES", 1_000)
    monkeypatch.setattr("transforms.cms.sheets._PIECE_BYTES", 500)
    with pytest.raises(UsageError, match="a row of over 1,000 bytes"):
        read(workbook(f"<row>{'<c/>' * 2_000}</row>"))


def test_a_cut_or_damaged_workbook_is_refused() -> None:
    whole = workbook("<row><c><v>1</v></c></row>")
    for content in (whole[: len(whole) // 2], whole.replace(b"<v>1</v>", b"<v>2</v>")):
        with pytest.raises(zipfile.BadZipFile):
            read(content)
