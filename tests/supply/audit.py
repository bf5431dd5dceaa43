"""`make audit`: what is publicly known against the locked releases.

Where TIC_RATES_ADVISORIES gives a copy of OSV's records on this machine, that is read, and nothing is asked. Otherwise
pip-audit asks the package index, and where that fails, OSV.

A source that does not know an old, famous advisory (CONTROL) is no source: a mirror of the index may have the packages
and no advisories, and pip-audit then says "No known vulnerabilities found" and ends well.

Exit codes: 0 nothing known, or nothing looked up, which is said loudly; 1 a locked release is affected; 3 something was
not looked up although a copy was given, or TIC_RATES_AUDIT=required.
"""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tests.supply.advisories import Answer, Finding, Source, of_copy
from tests.supply.lock import LOCK, REPOSITORY, Release, locked

PIP_AUDIT = REPOSITORY / ".venv-tools" / "bin" / "pip-audit"
CONTROL = Release("jinja2", "3.1.2", None, (), ())
CONTROL_IDS = {"CVE-2024-22195", "GHSA-h5c8-rqwp-cp95"}
ADDRESS = re.compile(r"\w*\(host=|host='|[a-z]+://")
SECONDS = 900  # some 150 questions, one after the other

# Advisories that were looked at and don't concern us: id, and why.
ACCEPTED: dict[str, str] = {}

NOTHING_CHECKED = """\
AUDIT: no advisory source could be reached; NOTHING WAS CHECKED.
Run `make audit` where an index with advisories or OSV answers, or set TIC_RATES_ADVISORIES to a copy of
OSV's records for PyPI (a folder of .json files, or the zip of them that OSV publishes)."""


def answer_of(told: Mapping[str, Any]) -> Answer:
    """What pip-audit's JSON says; a package with a ``skip_reason`` was not looked up."""
    known = [one for one in told["dependencies"] if "skip_reason" not in one]
    found = [
        Finding(one["name"], one["version"], frozenset([vuln["id"], *vuln["aliases"]]), tuple(vuln["fix_versions"]))
        for one in known
        for vuln in one["vulns"]
    ]
    return Answer(frozenset(canonicalize_name(one["name"]) for one in known), found)


def of_pip_audit(program: Path, *service: str) -> Source:
    """pip-audit, with the options that choose its service. It resolves and installs nothing."""
    options = "--format=json --progress-spinner=off --no-deps --disable-pip --requirement=/dev/stdin".split()

    def look_up(releases: Sequence[Release]) -> Answer | str:
        asked = "".join(f"{release.name}=={release.version}\n" for release in releases)
        command = [str(program), *service, *options]
        ended = subprocess.run(command, input=asked, capture_output=True, text=True, check=False, timeout=SECONDS)
        if ended.stdout.startswith("{"):
            return answer_of(json.loads(ended.stdout))
        return without_address((ended.stderr.strip().splitlines() or [f"pip-audit ended with {ended.returncode}"])[-1])

    return look_up


def without_address(error: str) -> str:
    """What went wrong, up to where it says whom it asked: not even an index's host is named, let alone its password."""
    return ADDRESS.split(error)[0].rstrip(" :(") or "it can't be reached"


def ask(source: Source, releases: Sequence[Release]) -> Answer | str:
    """One source's answer, once it has shown that it knows the control."""
    control = source([CONTROL])
    if isinstance(control, str):
        return control
    if not any(found.ids & CONTROL_IDS for found in control.findings):
        return f"it doesn't know {min(CONTROL_IDS)} of {CONTROL.name} {CONTROL.version}, so it has no advisories"
    return source(releases)


def sentence(found: Finding) -> str:
    """An advisory, in a line."""
    accepted = [f"accepted: {why}" for known, why in ACCEPTED.items() if known in found.ids]
    cure = f"fixed in {', '.join(found.fixed)}" if found.fixed else "no fixed release is named"
    return f"{found.name} {found.version}: {', '.join(sorted(found.ids))}; {'; '.join(accepted) or cure}"


def report(answer: Answer, releases: Sequence[Release], required: bool) -> int:
    """Say what was found; returns the exit code."""
    missing = sorted(release.name for release in releases if release.name not in answer.looked_up)
    print(f"{len(releases) - len(missing)} of {len(releases)} locked releases looked up")
    print("\n".join(sentence(found) for found in answer.findings) or "nothing is known against them")
    if missing:
        print(f"AUDIT: NOT LOOKED UP, this source doesn't know them: {', '.join(missing)}")
    open_ones = [found for found in answer.findings if not found.ids & ACCEPTED.keys()]
    return 1 if open_ones else 3 if missing and required else 0


def audit(sources: Mapping[str, Source], releases: Sequence[Release], required: bool) -> int:
    """The first source that knows its control answers; that there is none is said. Returns the exit code."""
    for name, source in sources.items():
        answer = ask(source, releases)
        if not isinstance(answer, str):
            print(f"{LOCK.name} against {name}")
            return report(answer, releases, required)
        print(f"no advisories from {name}: {answer}")
    print(NOTHING_CHECKED)
    return 3 if required else 0


def audit_by_copy(copy: Path) -> int:
    """The audit of the committed lock by a copy of OSV's records; nothing is asked. Returns the exit code."""
    try:
        source = of_copy(copy)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"{copy} is no copy of OSV's records ({error}); fetch it again\n{NOTHING_CHECKED}")
        return 3
    return audit({f"the copy {copy}": source}, locked(), required=True)


def main() -> int:
    """The audit of the committed lock."""
    copy = os.environ.get("TIC_RATES_ADVISORIES")
    if copy:
        return audit_by_copy(Path(copy))
    services = {"the package index": "pypi", "OSV": "osv"}
    sources = {
        name: of_pip_audit(PIP_AUDIT, f"--vulnerability-service={service}") for name, service in services.items()
    }
    return audit(sources, locked(), required=os.environ.get("TIC_RATES_AUDIT") == "required")


if __name__ == "__main__":
    sys.exit(main())
