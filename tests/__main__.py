"""`python -m tests`: format, lint, types, then every test; the first failure ends it."""

import subprocess
import sys
from pathlib import Path

PYTHON = sys.executable
CHECKS = (
    [PYTHON, "-m", "ruff", "format", "--check", "."],
    [PYTHON, "-m", "ruff", "check", "."],
    [str(Path(PYTHON).parent / "oxlint"), "--deny-warnings", "assets/stage"],
    [PYTHON, "-m", "pyright", "--pythonpath", PYTHON],
    [PYTHON, "-m", "pytest"],
)


def main() -> int:
    """Run the checks in turn and return the first exit status that is not 0."""
    for check in CHECKS:
        print(f"$ {' '.join(check[1:])}", flush=True)
        status = subprocess.run(check).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
