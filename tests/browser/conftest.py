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
    """Makes visitors: `context("dark")`, `context(reduced_motion="reduce")`."""
    made: list[BrowserContext] = []

    def make(look: str = "light", **more: Any) -> BrowserContext:
        made.append(chrome.new_context(**LOOKS[look] | more))
        made[-1].set_default_timeout(20_000)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def visit(context: Callable[..., BrowserContext], server: Server) -> Iterator[Callable[..., Tab]]:
    """Makes tabs of new visitors; whatever went wrong in one of them fails the test in the end."""
    tabs: list[Tab] = []

    def make(look: str = "light", **more: Any) -> Tab:
        tabs.append(Tab(context(look, **more), server.url))
        return tabs[-1]

    yield make
    for tab in tabs:
        if not tab.page.is_closed():
            tab.check()


@pytest.fixture
def lone(context: Callable[..., BrowserContext]) -> Iterator[Lone]:
    """A stage on an empty page; a fault of its scripts fails the test in the end."""
    tab = Lone(context())
    yield tab
    tab.check()
