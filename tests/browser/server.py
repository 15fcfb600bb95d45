"""A Livesheet server and a Chromium of one's own, for the browser tests, the screenshots and the bench."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent.parent
MISSING = "No Chromium found; install one with: apt-get install chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Where the system's Chromium or Chrome is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium. Raises RuntimeError with what to install when there is none."""
    path = chromium()
    if path is None:
        raise RuntimeError(MISSING)
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chrome
        chrome.close()


class Server:
    """`streamlit run` of one script on a free port of this machine; its words are kept in `log`."""

    def __init__(self, script: str = "app.py", **env: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115, it lives as long as the server
        command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true"]
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, "--server.port", str(self.port)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
            stdout=self._words,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> "Server":
        try:
            return self.wait()
        except RuntimeError:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, seconds: float = 60) -> "Server":
        """Until it answers. Raises RuntimeError with its words when it does not."""
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - self.started > seconds:
                raise RuntimeError(f"the server did not answer at {self.url}: {self.log}")
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/_stcore/health", timeout=1) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()

    @property
    def log(self) -> str:
        """What the server wrote."""
        self._words.seek(0)
        return self._words.read()

    @property
    def cpu(self) -> float:
        """Seconds of processor time that the server has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Bytes of memory that the server holds."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
