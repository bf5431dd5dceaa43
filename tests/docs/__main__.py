"""Write the generated pages, and with ``--pictures`` the screenshots of the demo's report (needs Chromium).

python -m tests.docs [--pictures]
"""

import argparse

from tests.docs.generate import GENERATED
from tests.docs.pictures import take_pictures


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/.")
    parser.add_argument("--pictures", action="store_true", help="also run the demo and photograph its report")
    asked = parser.parse_args()
    for page, generate in GENERATED.items():
        page.write_text(generate(), encoding="utf-8")
    if asked.pictures:
        take_pictures()


if __name__ == "__main__":
    main()
