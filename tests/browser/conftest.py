"""The browser, the server and the tabs that the browser tests share."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.lone import Lone
from tests.browser.server import MISSING, Server, browser, chromium
from tests.browser.tab import LOOKS, Tab

CORE = ("test_stage.py", "test_visitors.py", "test_links.py")  # what every check runs; all with LIVESHEET_BROWSER=all


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tour of every view, look and control to those who ask for it."""
    if os.environ.get("LIVESHEET_BROWSER") == "all":
        return
    tour = [item for item in items if item.path.parent.name == "browser" and item.path.name not in CORE]
    config.hook.pytest_deselected(items=tour)
    items[:] = [item for item in items if item not in tour]


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """One Chromium for all tests; without any they skip, or fail where a browser is required."""
    if chromium() is None:
        (pytest.fail if os.environ.get("LIVESHEET_BROWSER") in ("required", "all") else pytest.skip)(MISSING)
    with browser() as chrome:
        yield chrome


@pytest.fixture(scope="session")
def server(chrome: Browser) -> Iterator[Server]:
    """One server for most tests. In the end no script may have failed."""
    with Server() as server:
        yield server
        assert "Uncaught" not in server.log, server.log


@pytest.fixture
def context(chrome: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes new visitors: `context("dark")`, `context(reduced_motion="reduce")`."""
    made: list[BrowserContext] = []

    def make(look: str = "light", **more: Any) -> BrowserContext:
        made.append(_visitor(chrome, look, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def _resting(chrome: Browser) -> dict[str, list[BrowserContext]]:
    """Visitors whose tabs are closed, by look. Their browser holds the scripts: a page opens at half the work."""
    return {look: [] for look in LOOKS}


@pytest.fixture
def regular(chrome: Browser, _resting: dict[str, list[BrowserContext]]) -> Iterator[Callable[..., BrowserContext]]:
    """Lends visitors that have been here before, each to one test at a time."""
    lent: list[tuple[str, BrowserContext]] = []

    def lend(look: str = "light") -> BrowserContext:
        lent.append((look, _resting[look].pop() if _resting[look] else _visitor(chrome, look)))
        return lent[-1][1]

    yield lend
    for look, one in lent:
        for page in one.pages:
            page.close()
        _resting[look].append(one)


def _visitor(chrome: Browser, look: str, **more: Any) -> BrowserContext:
    one = chrome.new_context(**LOOKS[look] | more)
    one.set_default_timeout(20_000)
    return one


@pytest.fixture
def visit(regular: Callable[..., BrowserContext], server: Server) -> Iterator[Callable[..., Tab]]:
    """Makes tabs of visitors; whatever went wrong in one of them fails the test in the end."""
    tabs: list[Tab] = []

    def make(look: str = "light") -> Tab:
        tabs.append(Tab(regular(look), server.url))
        return tabs[-1]

    yield make
    for tab in tabs:
        if not tab.page.is_closed():
            tab.check()


@pytest.fixture
def lone(regular: Callable[..., BrowserContext]) -> Iterator[Lone]:
    """A stage on an empty page; a fault of its scripts fails the test in the end."""
    tab = Lone(regular())
    yield tab
    tab.check()
