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
    [PYTHON, "-m", "pytest", "--ignore", "tests/browser", "-n", "2", "--dist", "loadgroup"],
)
BROWSER = [PYTHON, "-m", "pytest", "tests/browser"]


def main() -> int:
    """Run the checks in turn and return the first exit status that is not 0."""
    for check in CHECKS:
        status = run(check)
        if status:
            return status
    return browse()


def browse() -> int:
    """The tests in a real browser. What fails is tried once more, since a busy machine can be slower than they wait."""
    status = run([*BROWSER, "-n", "2"])
    return run([*BROWSER, "--last-failed"]) if status == 1 else status


def run(command: list[str]) -> int:
    """Run one command and return its exit status."""
    print(f"$ {' '.join(command[1:])}", flush=True)
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
