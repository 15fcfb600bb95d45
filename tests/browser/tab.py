"""One tab in the browser, watched."""

from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response
from playwright.sync_api import TimeoutError as TooLong

PROBES = ("/_stcore/health", "/_stcore/host-config")  # Streamlit asks for these under a page's own path first
SOUND = """const box = document.querySelector("[data-testid=stException]");
  if (box) throw new Error(`on the page: ${box.innerText}`);"""
BELOW = "() => document.querySelector('.st-key-below [role=tabpanel]')?.innerText.length > 40"  # the open tab's text
MAIN = ".stage:not(.bare)"  # the stage of a page, not a thumbnail
LOOKS = {
    "light": dict(viewport=dict(width=1280, height=720)),
    "dark": dict(viewport=dict(width=1280, height=720), color_scheme="dark"),
    "phone": dict(viewport=dict(width=390, height=844), device_scale_factor=2, is_mobile=True, has_touch=True),
}


class Tab:
    """One page in the browser; whatever goes wrong in it is noted in `faults`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.page.on("console", self._spoke)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)
        self.page.on("websocket", lambda socket: self._host(socket.url))

    def _spoke(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _probe(message.location.get("url", "")):
            self.faults.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        self._host(request.url)

    def _host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.faults.append(f"request to another host: {url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not (response.status == 404 and _probe(response.url)):
            self.faults.append(f"{response.status} for {response.url}")

    def goto(self, page: str = "", **words: Any) -> "Tab":
        """Open a page by its link, without waiting for a picture."""
        self.page.goto(f"{self.url}/{page}" + (f"?{urlencode(words)}" if words else ""))
        return self

    def open(self, page: str, **words: Any) -> "Tab":
        """Open a topic by its link and wait for the first picture."""
        return self.goto(page, **words).until("+root.dataset.painted > 0", seconds=60)

    def see(self, script: str, *, root: str = MAIN) -> Any:
        """What `script` finds; in it `stage` is the Stage and `root` its element."""
        return self.page.evaluate(f"() => {{ {_names(root)} return ({script}); }}")

    def until(self, script: str, seconds: float = 20, *, root: str = MAIN) -> "Tab":
        """Wait until `script` holds of the stage; an exception on the page ends it at once."""
        found = f"() => {{ {SOUND} {_names(root)} return !!stage && !!({script}); }}"
        self.page.wait_for_function(found, timeout=1000 * seconds)
        return self

    def do(self, script: str, *, root: str = MAIN) -> "Tab":
        """Run statements on the stage."""
        self.page.evaluate(f"() => {{ {_names(root)} {script}; }}")
        return self

    def data(self, name: str) -> str:
        """One value that the stage writes on its element: painted, frame, tape, length, done."""
        return self.see(f"root.dataset.{name} ?? ''")

    def press(self, key: str) -> "Tab":
        """A key on the page itself."""
        self.page.evaluate("document.activeElement?.blur?.()")
        self.page.keyboard.press(key)
        return self

    def pixels(self) -> list[str]:
        """What every canvas of the stage shows, to the pixel."""
        return self.see("stage.panels.map((panel) => panel.canvas.toDataURL())")

    def settled(self) -> "Tab":
        """Wait until the stage rests: nothing asked, played or left to paint, and the page has run to its end."""
        self.until("!stage.playing && stage.goal === null && !stage.dirty && !stage.asked")
        return self.idle()

    def idle(self) -> "Tab":
        """Wait until Streamlit has run the page to its end."""
        app = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState"
        self.page.wait_for_function(f"() => ['notRunning', undefined].includes({app})", timeout=20_000)
        return self

    def words(self) -> dict[str, str]:
        """The words of the link in the address bar."""
        return dict(self.page.evaluate("[...new URLSearchParams(location.search)]"))

    def says(self, expected: dict[str, str], seconds: float = 10) -> "Tab":
        """Wait until the link says just this, apart from the frame. Raises AssertionError with what it says instead."""
        try:
            self.page.wait_for_function(f"() => {{ {SOUND} return {_link(expected)}; }}", timeout=1000 * seconds)
        except TooLong:
            found = {name: value for name, value in self.words().items() if name != "frame"}
            assert found == expected, f"the link says {found} after {seconds} s, expected {expected}"
        return self

    def check(self) -> "Tab":
        """Raise AssertionError when anything went wrong in this tab so far."""
        boxes = self.page.locator("[data-testid=stException]").all_inner_texts()
        assert not boxes, f"an exception on the page: {boxes}"
        assert not self.faults, self.faults
        return self


def _names(root: str) -> str:
    return f"const root = document.querySelector({root!r}); const stage = root?.stage;"


def _link(expected: dict[str, str]) -> str:
    """A script: the link says `expected`, wherever the cursor is."""
    return (
        "(() => { const found = new URLSearchParams(location.search); found.delete('frame'); "
        f"return JSON.stringify([...found].sort()) === JSON.stringify(Object.entries({expected!r}).sort()); }})()"
    )


def _probe(url: str) -> bool:
    return urlsplit(url).path.endswith(PROBES)
