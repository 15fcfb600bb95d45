"""A line of code knows its place: who may import whom, and what every topic must have."""

import ast
from itertools import chain
from pathlib import Path

import pytest

from engine.claim import pages as sheet_pages

ROOT = Path(__file__).parent.parent
SOURCES = sorted(chain(ROOT.glob("engine/**/*.py"), ROOT.glob("pages/**/*.py"), [ROOT / "app.py"]))
TOPICS = sorted(p.stem for p in (ROOT / "pages").glob("*.py") if p.stem not in ("__init__", "home"))


def imports(file: Path) -> set[str]:
    """The modules that a file imports, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def forbidden(file: Path) -> set[str]:
    """The packages that a file of this room must not import."""
    room = file.relative_to(ROOT).parts
    if room[:2] == ("engine", "figures"):
        return {"torch", "streamlit", "pages"}
    return {"engine": {"streamlit", "plotly", "pages"}, "pages": {"torch", "plotly", "tests"}}.get(room[0], {"torch"})


@pytest.mark.parametrize("file", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_only_what_they_may(file):
    packages = {name.split(".")[0] for name in imports(file)}
    assert not packages & forbidden(file)


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_do_not_import_topics(topic):
    others = {f"engine.{other}" for other in sheet_pages() if other != topic}
    for file in (ROOT / "engine" / topic).glob("*.py"):
        assert not {name for name in imports(file) if any(name.startswith(other) for other in others)}, file


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_has_all_its_rooms(topic):
    assert topic in sheet_pages()
    for place in ("engine/{}/claims.py", "engine/figures/{}.py", "pages/{}.py", "assets/{}.md"):
        assert (ROOT / place.format(topic)).exists(), place.format(topic)


@pytest.mark.parametrize("file", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(file):
    text = file.read_text("utf-8")
    assert text.count("\n") <= 300
    if file.parent == ROOT / "pages":
        assert text.count("\n") <= 80
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            words = len((ast.get_docstring(node) or "").split("\n"))
            assert (node.end_lineno or 0) - node.lineno + 1 - words <= 40, node.name


@pytest.mark.parametrize("file", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(file):
    assert ast.get_docstring(ast.parse(file.read_text("utf-8")))


def test_nothing_is_fetched_from_elsewhere():
    for file in chain(ROOT.glob("assets/**/*.js"), ROOT.glob("assets/**/*.css"), ROOT.glob("pages/**/*.py")):
        text = file.read_text("utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in text and "https://" not in text, file
