"""`make sbom`: the bill of materials against CycloneDX's schema, offline, in the environment of .ci/tools.lock."""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

if __name__ == "__main__":
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit(f"{sys.argv[1]} is not CycloneDX 1.6: {wrong}" if wrong else None)
