"""Print a pip constraints file that pins every requirement to its floor in pyproject.toml.

With it, ``pip install -c`` installs exactly the oldest versions we promise to work with, so that a
floor that does not exist, does not install or does not work fails in CI and not with a user.

    python .ci/floors.py [EXTRA ...] > floors.txt
"""

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<floor>[\w.]+)(?P<marker>\s*;.*)?")


def pinned(requirement: str) -> str:
    """The constraint for one requirement, its environment marker kept."""
    match = REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise SystemExit(f"pyproject.toml: {requirement!r} declares no floor as 'name>=version'")
    return f"{match['name']}=={match['floor']}{match['marker'] or ''}"


def main() -> None:
    """Print the constraints of the dependencies and of the extras named as arguments."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in sys.argv[1:]:
        requirements += project["optional-dependencies"][extra]
    print(*map(pinned, requirements), sep="\n")


if __name__ == "__main__":
    main()
