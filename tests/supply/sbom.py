"""`make sbom`: the bill of materials, CycloneDX 1.6, of the lock and the licence table, into .ci/sbom.cdx.json.

Written here rather than by cyclonedx-py, which from the lock knows neither licences nor who needs what, from an
environment neither hashes nor other platforms, and names an index or a path in either case. `make sbom` has CycloneDX's
own library check it against the schema.

The same lock and table give the same bytes: no time, no serial number.
"""

import json
from collections.abc import Mapping, Sequence

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tests.supply.licences import read_table
from tests.supply.lock import REPOSITORY, ROOT, Release, locked, pyproject

BILL = REPOSITORY / ".ci" / "sbom.cdx.json"
SCOPES = {"run": "required", "develop": "excluded"}  # CycloneDX's words


def purl(release: Release) -> str:
    """A package URL: it names no index."""
    return f"pkg:pypi/{release.name}@{release.version}"


def licence_choice(expression: str) -> dict[str, object]:
    """An SPDX expression as such, anything else as a name."""
    try:
        return {"expression": canonicalize_license_expression(expression), "acknowledgement": "declared"}
    except InvalidLicenseExpression:
        return {"license": {"name": expression, "acknowledgement": "declared"}}


def files(release: Release) -> dict[str, object]:
    """The files of a release: an installation takes one of them, so their hashes aren't the component's own."""
    hashes = [{"alg": "SHA-256", "content": content} for content in release.sha256]
    comment = "every file of this release that the lock admits"
    return {"type": "distribution", "url": purl(release), "comment": comment, "hashes": hashes}


def component(release: Release, expression: str, use: str) -> dict[str, object]:
    """One release; the marker says on which platforms and Pythons the lock has it."""
    found: dict[str, object] = {
        "type": "library",
        "bom-ref": purl(release),
        "name": release.name,
        "version": release.version,
        "scope": SCOPES[use],
        "licenses": [licence_choice(expression)],
        "purl": purl(release),
        "externalReferences": [files(release)],
    }
    if release.marker:
        found["properties"] = [{"name": f"{ROOT}:marker", "value": release.marker}]
    return found


def dependencies(releases: Sequence[Release]) -> list[dict[str, object]]:
    """Who requires whom, our own project first."""
    refs = {ROOT: ROOT} | {release.name: purl(release) for release in releases}
    needs: dict[str, list[str]] = {name: [] for name in refs}
    for release in releases:
        for name in release.required_by:
            needs[name].append(purl(release))
    return [{"ref": refs[name], "dependsOn": sorted(on)} for name, on in needs.items()]


def ourselves() -> dict[str, object]:
    """The component that the bill is about."""
    project = pyproject()["project"]
    return {
        "type": "application",
        "bom-ref": ROOT,
        "name": ROOT,
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"expression": project["license"]}],
    }


def bill(releases: Sequence[Release], table: Mapping[str, list[str]]) -> dict[str, object]:
    """The whole document; ``table`` has each package's cells (see licences.md)."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": ourselves()},
        "components": [component(one, table[one.name][2], table[one.name][4]) for one in releases],
        "dependencies": dependencies(releases),
    }


def written() -> str:
    """The committed bill's text."""
    return json.dumps(bill(locked(), read_table()), indent=1) + "\n"


if __name__ == "__main__":
    BILL.write_text(written(), encoding="utf-8")
