"""Coverage rules as tables: what `reference coverage` and `reference ncci` keep of an edition, and what is published.

No table has a place for a description of a code: those of CPT codes are the AMA's.
"""

from schemas.codes import Term
from schemas.table import MONTH, Column, Table

NCD, LCD, ARTICLE, PTP, MUE, POLICY = "ncd", "lcd", "article", "ncci_ptp", "mue", "payer_policy"
COVERED, RESTRICTED, NOT_COVERED, BUNDLED, UNITS = "covered", "restricted", "not_covered", "bundled", "units"
CMS = "CMS"

COVERAGE_KINDS = (
    Term(NCD, "national coverage determination"),
    Term(LCD, "local coverage determination of a Medicare contractor"),
    Term(ARTICLE, "billing and coding article of a Medicare contractor, which lists the codes of an LCD"),
    Term(PTP, "NCCI procedure-to-procedure edit: one of two codes is not paid beside the other"),
    Term(MUE, "medically unlikely edit: most units of a code"),
    Term(POLICY, "policy of a payer, from a csv"),
)
KINDS = tuple(term.name for term in COVERAGE_KINDS)
COVERAGE_STANCES = (
    Term(COVERED, "an NCD of level 1 (full), or a policy that says so"),
    Term(RESTRICTED, "an NCD of level 2, or a policy that says so"),
    Term(NOT_COVERED, "an NCD of level 3 (none), or a policy that says so"),
    Term(BUNDLED, "an NCCI edit"),
    Term(UNITS, "a unit limit"),
)
POLICY_STANCES = (COVERED, RESTRICTED, NOT_COVERED)
IN_FORCE, FUTURE, ENDED, SUPERSEDED, WITHDRAWN = "in_force", "future", "ended", "superseded", "withdrawn"
COVERAGE_STATUSES = (
    Term(IN_FORCE, "in force on the month's last day, by its dates"),
    Term(FUTURE, "takes effect later"),
    Term(ENDED, "its end date has passed or lies before its effective date, or its title begins with RETIRED"),
    Term(SUPERSEDED, "the latest edition has another version of the document, which is later"),
    Term(WITHDRAWN, "the latest edition has no version of the document for the code and geography"),
)

_CODE = Column("billing_code", "string", "CPT or HCPCS code")
_KIND = Column("kind", "string", ", ".join(f"`{kind}`" for kind in KINDS))
_RULE = (
    Column("authority", "string", "`CMS`, the Medicare contractor, or the payer"),
    Column(
        "document_id", "string", "`L33631`, `A52369`, an NCD's manual section, `column 1/column 2` of an edit, a code"
    ),
    Column("version", "string", "of the document; of an edit its effective date; empty where there is none"),
    Column("geography", "string", "`US` or a two-letter USPS code"),
    Column("title", "string?", "as published; of NCCI the rationale"),
    Column("effective_date", "date?", "of the version"),
    Column("end_date", "date?", "last day, as published; null for none"),
    Column("states", "list[string]", "all states of the document; none for `US`"),
    Column("stance", "string?", "see the code lists; null where the tables state none: LCDs, articles"),
    Column("partner_code", "string?", "the other code of an NCCI edit"),
    Column("partner_column", "int32?", "2: the partner is not paid beside the code; 1: the reverse"),
    Column("modifier_indicator", "string?", "of an edit: 0 none allowed, 1 allowed, 9 not applicable"),
    Column("unit_limit", "int64?", "most units of the code", "services"),
    Column("adjudication_indicator", "string?", "of a limit: 1 a line, 2 a day, policy; 3 a day, clinical"),
    Column("diagnoses_covered", "list[string]", "ICD-10-CM codes that the article lists as covering"),
    Column("diagnoses_not_covered", "list[string]", "ICD-10-CM codes that the article lists as not covering"),
    Column("related_documents", "list[string]", "of an article its LCDs, of an LCD its articles"),
    Column("source_url", "string?", "where the document can be read"),
    Column("text_digest", "string?", "of the document's text, which is not kept: it tells a change"),
)

COVERAGE_EDITION = Table(
    name="COVERAGE_EDITION",
    description="What one edition says of the wanted codes, all of one kind",
    grain=("billing_code", "authority", "document_id", "version", "geography"),
    columns=(_CODE, *_RULE, Column("part", "string", "file of the edition, or payer: what a further load replaces")),
)

COVERAGE = Table(
    name="COVERAGE",
    description="What may be billed: the rules of the loaded editions, and what changed; present where any is loaded",
    path="coverage/period=YYYY-MM/coverage.parquet",
    grain=("month", "billing_code", "kind", "authority", "document_id", "version", "geography"),
    columns=(
        MONTH,
        _CODE,
        _KIND,
        *_RULE,
        Column("status", "string", ", ".join(f"`{term.name}`" for term in COVERAGE_STATUSES)),
        Column("first_seen", "date", "the first edition that has the row"),
        Column("last_seen", "date", "the last edition that has the row"),
        Column("changed_on", "date?", "the last edition with which it changed; null: not since it was seen"),
        Column("changes", "list[string]", "what that edition changed, such as `new`, `effective_date: A -> B`"),
    ),
)
