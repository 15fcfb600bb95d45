"""What the README and the pages tell people to run does run."""

import re
from pathlib import Path

import pytest

from engine.knob import tidy
from engine.link import State
from pages.words.desk import Desk
from pages.words.reading import snippet
from tests.topics import TOPICS, VIEWS, named

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SHORT = {"train_steps": 50, "steps": 20, "autoencoder_steps": 50, "denoiser_steps": 50, "calls": 10}


def test_the_notebook_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert code.count("\n") <= 14
    exec(compile(code, "README", "exec"), {})
    assert "sliced W2" in capsys.readouterr().out


def test_continuous_integration_runs_the_line_of_the_readme():
    line = next(line for line in README.splitlines() if line.endswith("-m tests"))
    plain = (ROOT / ".ci" / "run").read_text("utf-8").replace("install -q", "install")
    assert line in plain


def test_every_picture_of_the_readme_is_there():
    for name in re.findall(r"\]\((assets/[^)]+)\)", README):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(("topic", "view"), VIEWS, ids=named)
@pytest.mark.parametrize("frame", [None, 1], ids=["end", "frame"])
def test_the_snippet_of_a_page_gives_its_frame(topic, view, frame, capsys):
    names = {name for name in SHORT if hasattr(view.config(), name)}
    cfg = tidy(view.config, {name: SHORT[name] for name in names})
    space: dict = {}
    exec(compile(snippet(Desk(topic, *TOPICS[topic], State(view.name, cfg, frame))), "snippet", "exec"), space)
    assert space["cfg"] in (cfg, getattr(cfg, "learning", None))
    assert any(space["frame"] is one for one in space["tape"].frames[:])
    assert capsys.readouterr().out


def test_nothing_private_is_told():
    words = re.compile(r"/work/|/root/|\bhelper-\d|\bissue #?\d|\bsession limit", re.IGNORECASE)
    for file in [
        *ROOT.glob("*.md"),
        *ROOT.glob("engine/**/*.py"),
        *ROOT.glob("pages/**/*.py"),
        *ROOT.glob("assets/*.*"),
    ]:
        if file.suffix in (".md", ".py", ".toml", ".css"):
            assert not words.search(file.read_text("utf-8")), file
