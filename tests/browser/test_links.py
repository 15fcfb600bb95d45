"""Every link opens: on a fresh server, from the map, by scene, however wrong; and the same link is the same picture."""

import pytest

from engine.knob import knobs
from tests.browser.declared import FIRST, TOPICS, VIEWS, WALK, view_id
from tests.browser.server import Server
from tests.browser.tab import Tab
from tests.topics import SCENES

TOPIC, VIEW = WALK
LINK = {"view": VIEW, "gap": "5", "seed": "3", "frame": "17"}
READY = "+root.dataset.painted > 0 || root.querySelector('.notice')?.textContent"  # a picture, or what it waits for


def test_a_deep_link_opens_on_a_fresh_server_to_the_same_picture(visit, context):
    here = visit().open(TOPIC, **LINK).settled()
    with Server() as fresh:
        there = Tab(context(), fresh.url).open(TOPIC, **LINK).settled().check()
        assert there.data("frame") == "17" and there.pixels() == here.pixels()
        assert there.page.locator("[data-testid=stTopNavLink]").count() >= 2
        there.page.close()
        assert "Uncaught" not in fresh.log


def test_a_scene_on_a_fresh_server_and_home(context):
    topic, scene = next((topic, scene) for topic, scene in SCENES if scene.view == VIEW)
    with Server() as fresh:
        tab = Tab(context(), fresh.url).open(topic, scene=scene.name).idle()
        tab.page.locator("[data-testid=stTopNavLink]").first.click(delay=FINGER)
        tab.until("stage.spec?.bare && +root.dataset.painted > 0", root=".stage").check()


FINGER = 100  # ms that a finger rests on a link


def test_a_page_that_stays_empty_is_asked_for_anew(visit):
    tab = visit().open(TOPIC, **LINK).settled()
    tab.page.evaluate("""() => {
        window.dispatchEvent(new PopStateEvent("popstate"));
        document.getElementById("root").remove();
    }""")
    tab.page.wait_for_timeout(1000)
    assert not tab.page.locator(".stage").count()
    tab.until("+root.dataset.painted > 0 && root.dataset.frame === '17'", seconds=30)


def test_from_the_map_to_a_topic_and_back(visit):
    rest = "[...document.querySelectorAll('.stage')].every((one) => one.stage?.done && !one.stage.asked)"
    tab = visit().goto().until(rest, seconds=240, root=".stage").idle()
    for topic in TOPICS:
        tab.page.locator(f"[data-testid=stPageLink-NavLink][href$='{topic}']").first.click(delay=FINGER)
        tab.until("+root.dataset.painted > 0", seconds=60).idle().press("Space").until("!stage.moving").settled()
        assert tab.page.url.split("?")[0].endswith(f"/{topic}")
        tab.page.locator("[data-testid=stTopNavLink]").first.click()
        tab.until(f"stage.spec?.bare && +root.dataset.painted > 0 && {rest}", seconds=90, root=".stage").idle()
        assert tab.page.url.split("?")[0] == f"{tab.url}/"
    tab.check()


@pytest.mark.parametrize("named", FIRST, ids=view_id)
def test_the_first_scene_of_a_view_opens_by_its_link(visit, named):
    opens(visit, *named)


def opens(visit, topic, scene):
    """Open a scene by its link, and find it there."""
    tab = visit().goto(topic, scene=scene.name).until(READY, seconds=60).idle()
    assert tab.words() == {"scene": scene.name} and not tab.page.locator("[data-testid=stAlert]").count()
    assert tab.page.locator("h1").inner_text()
    tab.check()


def test_reloading_gives_the_same_picture(visit):
    tab = visit().open(TOPIC, **LINK).settled()
    before = tab.pixels()
    tab.page.reload()
    tab.until("+root.dataset.painted > 0").settled()
    assert tab.words() == LINK and tab.data("frame") == "17" and tab.pixels() == before
    assert visit().open(TOPIC, **LINK).settled().pixels() == before


def test_a_link_copied_while_one_looks_shows_what_one_sees(visit):
    tab = visit().open(TOPIC, view=VIEW, gap="4")
    tab.until("stage.length > 30").press("Space").settled()
    tab.page.wait_for_function("() => new URLSearchParams(location.search).has('frame')")
    tab.do("stage.seek(Math.round(stage.cursor))").settled()
    other = visit().open(TOPIC, **tab.words()).settled()
    assert other.data("frame") == tab.data("frame") and other.pixels() == tab.pixels()


NONSENSE = [
    {"view": "nowhere"},
    {"scene": "nowhere"},
    {"view": VIEW, "seed": "-5"},
    {"view": VIEW, "seed": "nan"},
    {"view": VIEW, "gap": "1e308", "step_size": "minus one"},
    {"view": VIEW, "data": "yours", "points": "%00***"},
    {"view": VIEW, "frame": "-1"},
    {"view": VIEW, "pin": "seed=x&gap=99"},
    {"view": "x" * 3000, "seed": "<script>alert(1)</script>"},
]


@pytest.mark.parametrize("words", NONSENSE, ids=lambda words: str(words)[:60])
def test_a_link_that_makes_no_sense_gets_a_note_and_keeps_the_page(visit, words):
    tab = visit().goto(TOPIC, **words).until(READY, seconds=60).idle()
    notes = tab.page.locator("[data-testid=stAlert], .stage .notice:not(:empty)").all_inner_texts()
    assert notes and all("Traceback" not in note for note in notes), notes
    assert tab.page.locator("h1").inner_text()


@pytest.mark.parametrize("viewed", VIEWS, ids=view_id)
def test_your_own_data_before_there_are_any_get_a_sentence(visit, viewed):
    topic, view = viewed
    choices = [f.name for f, k in knobs(view.config) if "yours" in (k.choices or ())]
    if not choices or not any(k.text and not f.default for f, k in knobs(view.config)):
        return  # nothing of one's own to bring, or something to begin with
    tab = visit().goto(topic, view=view.name, **{choices[0]: "yours"}).until("stage.spec", seconds=60)
    noted = "[...document.querySelectorAll('[data-testid=stAlert], .stage .notice')].map((e) => e.innerText).join(' ')"
    tab.page.wait_for_function(f"() => /draw|bring/i.test({noted})", timeout=20_000)


def test_a_frame_beyond_the_end_is_the_last(visit):
    tab = visit().open(TOPIC, view=VIEW, steps="20", frame="99999").until("stage.done").settled()
    assert int(tab.data("frame")) == int(tab.data("length")) - 1
    tab.check()


def test_words_that_mean_nothing_are_ignored(visit):
    tab = visit().open(TOPIC, view=VIEW, utm_source="hall", present="7").idle()
    assert not tab.page.locator("[data-testid=stAlert]").count()


FORMULA = "document.querySelector('.st-key-reading')?.innerText"


def test_back_leads_to_what_was_before_and_the_formula_follows(visit):
    tab = visit().open(TOPIC, **LINK).settled()
    entries, before = tab.page.evaluate("history.length"), tab.page.evaluate(FORMULA)
    tab.press("ArrowRight").until("root.dataset.frame === '18'")
    tab.page.wait_for_function(f"() => {FORMULA} !== {before!r} && location.search.includes('frame=18')")
    here, read = tab.words(), tab.page.evaluate(FORMULA)
    tape = tab.data("tape")
    tab.press("s").until(f"root.dataset.tape !== {tape!r}").until("stage.done && !stage.playing").settled()
    tab.page.wait_for_function("() => location.search.includes('frame=')")
    tab.page.wait_for_timeout(500)
    assert tab.page.evaluate("history.length") == entries + 1  # one change, one entry
    tab.page.go_back()
    tab.until(f"root.dataset.tape === {tape!r} && root.dataset.frame === '18'").settled()
    tab.page.wait_for_function(f"() => {FORMULA} === {read!r}")
    assert tab.words() == here
    tab.check()


def test_a_scene_chosen_once_more_plays_again(visit):
    tab = visit().open(TOPIC, scene=FIRST[0][1].name).until("stage.done && !stage.playing", seconds=60).settled()
    tab.page.wait_for_function("() => location.search.includes('frame=')")
    tab.page.wait_for_timeout(1000)
    end, read = tab.data("frame"), tab.page.evaluate(FORMULA)
    tab.press("1").until("stage.playing && stage.cursor < 5").until("!stage.playing", seconds=30).settled()
    tab.page.wait_for_function(f"() => location.search.includes('frame=') && {FORMULA} === {read!r}")
    assert tab.data("frame") == end
    tab.check()
