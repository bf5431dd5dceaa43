"""What the project is made of: the lock, the licences, the bill of materials, and what is known against them."""

import json
import re
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.supply import licences, sbom
from tests.supply.advisories import Answer, Finding, is_affected, of_copy
from tests.supply.audit import ACCEPTED, CONTROL, answer_of, audit, main, of_pip_audit, without_address
from tests.supply.lock import LOCK, REPOSITORY, Release, locked, names, pyproject, read_lock, to_develop, to_run

REMEDY = "run `make licences sbom`"
TOOLS = tuple(REPOSITORY / ".ci" / f"{name}.lock" for name in ("tools", "fuzz", "spark", "compiler"))


# The lock


def test_every_locked_release_has_hashes_and_no_index_is_named() -> None:
    for lock in (LOCK, *TOOLS):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text and "-index" not in text and "--find-links" not in text, lock
        assert all(release.sha256 for release in read_lock(text)), lock


def test_the_lock_has_what_pyproject_asks_for() -> None:
    version = {release.name: release.version for release in locked()}
    for requirement in [*to_run(), *to_develop()]:
        (name,) = names([requirement])
        assert requirement.specifier.contains(version[name]), requirement
    ours = {release.name for release in locked() if "tic-rates" in release.required_by}
    assert ours == names([*to_run(), *to_develop()])


def test_a_lock_with_an_index_address_is_refused() -> None:
    text = "six==1.17.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # from https://somewhere/simple\n"
    with pytest.raises(ValueError, match="from https://somewhere/simple"):
        read_lock(text)
    with pytest.raises(ValueError, match="--index-url"):
        read_lock("--index-url https://somewhere/simple\n")


def test_each_dependency_has_its_sentence() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    lines = re.findall(r'^    "[A-Za-z][^"]*",.*$', text.partition("[project.scripts]")[0], re.MULTILINE)
    silent = [line for line in lines if not re.search(r"# \w+.* \w+", line)]
    groups = pyproject()["dependency-groups"]
    assert isinstance(groups, dict)
    assert not silent
    assert len(lines) == len(to_run()) + len(to_develop()) + sum(
        isinstance(each, str) for group in groups.values() for each in group
    )


# Licences


def test_the_licence_table_is_what_the_lock_and_the_installed_packages_say() -> None:
    assert licences.TABLE.read_text(encoding="utf-8") == licences.written(locked()), REMEDY


def test_every_licence_is_permitted_or_was_looked_at() -> None:
    table = licences.read_table()
    unseen = {name: licences.not_permitted(name, cells[2]) for name, cells in table.items()}
    assert not {name: parts for name, parts in unseen.items() if parts}
    assert licences.REVIEWED.keys() <= table.keys(), "a licence is reviewed whose package is gone"


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("MIT AND (Apache-2.0 OR PSF-2.0)", set()),
        ("Apache-2.0 WITH LLVM-exception", set()),
        ("GPL-3.0-only", {"GPL-3.0-only"}),
        ("MIT OR AGPL-3.0-only", {"AGPL-3.0-only"}),
        ("MPL-2.0", {"MPL-2.0"}),
        (licences.UNKNOWN, {licences.UNKNOWN}),
    ],
)
def test_a_licence_nobody_has_looked_at_is_named(expression: str, left: set[str]) -> None:
    assert licences.not_permitted("newcomer", expression) == left


def test_a_locked_package_that_is_not_installed_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"elsewhere 1 is not installed here .*sys_platform.*: .*ELSEWHERE in tests"):
        licences.installed_licence(Release("elsewhere", "1", "sys_platform == 'zos'", (), ()))


# The bill of materials


def test_the_bill_of_materials_is_what_the_lock_and_the_table_say() -> None:
    text = sbom.BILL.read_text(encoding="utf-8")
    assert text == sbom.written(), REMEDY
    bill = json.loads(text)
    assert {(one["name"], one["version"]) for one in bill["components"]} == {
        (one.name, one.version) for one in locked()
    }
    hashes = [
        one["content"] for component in bill["components"] for one in component["externalReferences"][0]["hashes"]
    ]
    assert sorted(hashes) == sorted(content for release in locked() for content in release.sha256)


def test_the_bill_of_materials_names_no_index_no_path_and_no_time() -> None:
    bill = json.loads(sbom.BILL.read_text(encoding="utf-8"))
    assert "serialNumber" not in bill
    assert "timestamp" not in bill["metadata"]
    assert "://" not in json.dumps({key: value for key, value in bill.items() if key != "$schema"})


# The audit

AFFECTED = {
    "id": "GHSA-h5c8-rqwp-cp95",
    "modified": "2026-01-02T03:04:05Z",
    "aliases": ["CVE-2024-22195"],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Jinja2"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.3"}]}],
        }
    ],
}
SIX = Release("six", "1.17.0", None, (), ())
YAML = Release("ruamel-yaml", "0.19.1", None, (), ())


def advisory(name: str, **affected: object) -> dict[str, object]:
    package = {"ecosystem": "PyPI", "name": name}
    return {"id": f"PYSEC-{name}", "modified": "2026-05-06T00:00:00Z", "affected": [{"package": package} | affected]}


def events(*pairs: str) -> dict[str, object]:
    stated = [dict([pair.split(" ")]) for pair in pairs]
    return {"ranges": [{"type": "ECOSYSTEM", "events": stated}]}


def written_copy(folder: Path, *records: dict[str, object]) -> Path:
    for number, record in enumerate([AFFECTED, *records]):
        (folder / f"{number}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("version", "stated", "affected"),
    [
        ("1.2", {"versions": ["1.1", "1.2.0"]}, True),
        ("1.3", {"versions": ["1.1", "1.2.0"]}, False),
        ("1.2", events("introduced 0", "fixed 1.3"), True),
        ("1.3", events("introduced 0", "fixed 1.3"), False),
        ("1.3rc1", events("introduced 0", "fixed 1.3"), True),
        ("1.10", events("introduced 1.9"), True),
        ("1.8", events("introduced 1.9"), False),
        ("1.3", events("introduced 0", "last_affected 1.3"), True),
        ("1.3.post1", events("introduced 0", "last_affected 1.3"), False),
        ("2.2", events("fixed 2.5", "introduced 2.0", "last_affected 1.0", "introduced 0"), True),
        ("1.5", events("fixed 2.5", "introduced 2.0", "last_affected 1.0", "introduced 0"), False),
        ("1.5", events("introduced 0", "fixed 2005-final-really"), True),  # no version: a person decides
        ("1.5", {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, True),  # nor does a commit say
    ],
)
def test_a_release_is_affected_by_osvs_rules(version: str, stated: dict[str, object], affected: bool) -> None:
    assert is_affected(version, stated) is affected


def test_a_known_vulnerability_in_a_locked_release_fails_the_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = written_copy(tmp_path, advisory("ruamel.yaml", **events("introduced 0", "fixed 0.20")))
    assert audit({"a copy": of_copy(copy)}, [SIX, YAML], required=True) == 1
    said = capsys.readouterr().out
    assert "2 records, the newest of 2026-05-06" in said
    assert "2 of 2 locked releases looked up\nruamel-yaml 0.19.1: PYSEC-ruamel.yaml; fixed in 0.20" in said


def test_an_accepted_advisory_is_said_and_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ACCEPTED, "PYSEC-six", "we write no six")
    copy = written_copy(tmp_path, advisory("six", versions=["1.17.0"]))
    assert audit({"a copy": of_copy(copy)}, [SIX], required=True) == 0
    assert "six 1.17.0: PYSEC-six; accepted: we write no six" in capsys.readouterr().out


def test_withdrawn_advisories_and_other_ecosystems_are_left_out(tmp_path: Path) -> None:
    other = advisory("six", versions=["1.17.0"])
    other["affected"] = [{"package": {"ecosystem": "npm", "name": "six"}, "versions": ["1.17.0"]}]
    withdrawn = advisory("six", versions=["1.17.0"]) | {"withdrawn": "2026-06-01T00:00:00Z"}
    assert audit({"a copy": of_copy(written_copy(tmp_path, other, withdrawn))}, [SIX], required=True) == 0


def test_the_copy_may_be_the_archive_that_osv_publishes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.json", json.dumps(AFFECTED))
        archive.writestr("b.json", json.dumps(advisory("six", versions=["1.17.0"])))
    assert audit({"a copy": of_copy(tmp_path / "all.zip")}, [SIX], required=True) == 1


@pytest.mark.parametrize("content", [None, b"", b"<html>"], ids=["nothing there", "empty", "a page"])
def test_a_copy_that_can_not_be_read_fails_the_audit(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "all.zip"
    if content is not None:
        copy.write_bytes(content)
    monkeypatch.setenv("TIC_RATES_ADVISORIES", str(copy))
    assert main() == 3
    said = capsys.readouterr().out
    assert f"{copy} is no copy of OSV's records" in said
    assert "NOTHING WAS CHECKED" in said


def test_the_copy_of_the_environment_is_read_and_nothing_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIC_RATES_ADVISORIES", str(written_copy(tmp_path)))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was asked"))
    assert main() == 0


def test_a_source_without_advisories_is_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.json").write_text(json.dumps(advisory("six", versions=["1.17.0"])), encoding="utf-8")
    sources = {"a copy": of_copy(tmp_path)}
    assert audit(sources, [SIX], required=False) == 0
    assert audit(sources, [SIX], required=True) == 3
    said = capsys.readouterr().out
    assert "no advisories from a copy: it doesn't know CVE-2024-22195 of jinja2 3.1.2" in said
    assert "NOTHING WAS CHECKED" in said


TOLD = {
    "dependencies": [
        {"name": "six", "version": "1.17.0", "vulns": []},
        {
            "name": "jinja2",
            "version": "3.1.2",
            "vulns": [
                {"id": "PYSEC-1", "fix_versions": ["3.1.3"], "aliases": ["CVE-2024-22195"], "description": "..."},
            ],
        },
        {"name": "ruamel.yaml", "skip_reason": "Dependency not found on PyPI and could not be audited: ..."},
    ],
    "fixes": [],
}


def test_what_pip_audit_skips_was_not_looked_up() -> None:
    found = Finding("jinja2", "3.1.2", frozenset({"PYSEC-1", "CVE-2024-22195"}), ("3.1.3",))
    assert answer_of(TOLD) == Answer(frozenset({"six", "jinja2"}), [found])


def test_releases_that_the_source_does_not_know_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    def source(releases: Sequence[Release]) -> Answer:
        return answer_of(TOLD) if list(releases) == [CONTROL] else Answer(frozenset({"six"}), [])

    assert audit({"a source": source}, [SIX, YAML], required=False) == 0
    assert audit({"a source": source}, [SIX, YAML], required=True) == 3
    said = capsys.readouterr().out
    assert "1 of 2 locked releases looked up" in said
    assert "NOT LOOKED UP, this source doesn't know them: ruamel-yaml" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ConnectionError: HTTPSConnectionPool(host='index.example', port=443): Max retries", "ConnectionError"),
        ("ReadTimeout: HTTPSConnection(host='index.example'): timed out", "ReadTimeout"),
        (
            "404 Client Error: Not Found for url: https://me:secret@index.example/six",
            "404 Client Error: Not Found for url",
        ),
        ("https://me:secret@index.example/simple", "it can't be reached"),
        ("pip-audit ended with 2", "pip-audit ended with 2"),
    ],
)
def test_what_went_wrong_is_said_without_the_address_that_was_asked(error: str, said: str) -> None:
    assert without_address(error) == said


def test_the_next_source_is_asked_when_one_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = tmp_path / "pip-audit"
    failing.write_text("#!/bin/sh\necho 'Failed to resolve the service' >&2\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    sources = {"a service": of_pip_audit(failing), "a copy": of_copy(written_copy(tmp_path))}
    assert audit(sources, [SIX], required=False) == 0
    said = capsys.readouterr().out
    assert "no advisories from a service: Failed to resolve the service" in said
    assert "requirements.lock against a copy\n1 of 1 locked releases looked up\nnothing is known against them" in said
