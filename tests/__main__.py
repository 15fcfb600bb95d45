"""`python -m tests`: format, lint, types, then every test; the first of the checks that fails ends it.

The tests in a browser mostly wait, so they run beside the others, which give way to them.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

PYTHON = sys.executable
CHECKS = (
    [PYTHON, "-m", "ruff", "format", "--check", "."],
    [PYTHON, "-m", "ruff", "check", "."],
    [str(Path(PYTHON).parent / "oxlint"), "--deny-warnings", "assets/stage"],
    [PYTHON, "-m", "pyright", "--pythonpath", PYTHON],
)
TESTS = [PYTHON, "-m", "pytest", "--ignore", "tests/browser", "-n", "2", "--dist", "loadfile"]
BROWSER = [PYTHON, "-m", "pytest", "-o", "cache_dir=.pytest_cache/browser", "tests/browser"]
GIVE_WAY = (lambda: os.nice(10)) if hasattr(os, "nice") else None  # in a process that is to yield to others


def main() -> int:
    """Run the checks in turn, then both kinds of tests at once; return the first exit status that is not 0."""
    for check in CHECKS:
        status = run(check)
        if status:
            return status
    return tests()


def tests() -> int:
    """Both kinds. What fails in the browser is tried once more, alone: a busy machine can be slower than it waits."""
    with TemporaryFile("w+") as said:
        others = subprocess.Popen(TESTS, stdout=said, stderr=said, preexec_fn=GIVE_WAY)
        browser = run(BROWSER)
        status = others.wait()
        said.seek(0)
        print(f"$ {' '.join(TESTS[1:])}\n{said.read()}", flush=True)
    if browser == 1:
        browser = run([*BROWSER, "--last-failed"])
    return status or browser


def run(command: list[str]) -> int:
    """Run one command and return its exit status."""
    print(f"$ {' '.join(command[1:])}", flush=True)
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
