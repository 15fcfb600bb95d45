"""Everything a visitor's hands can do: knobs, transport, keys, scenes, drawing, files."""

import io

import numpy as np
import pytest

from engine.knob import tidy
from tests.browser.declared import (
    TOPICS,
    VIEWS,
    WALK,
    drawable,
    scenes_of,
    short,
    sliders,
    view_id,
    widget,
    words,
)
from tests.browser.tab import BELOW

TOPIC, VIEW = WALK
UPLOADS = [(topic, view) for topic, view in VIEWS if any("csv" in kinds for kinds, _ in view.uploads.values())]


HERE = {"view": VIEW}


@pytest.mark.parametrize("viewed", VIEWS, ids=view_id)
def test_a_knob_gives_another_run_and_every_slider_reaches_its_ends(visit, viewed):
    topic, view = viewed
    settings = short(view)
    tab = visit().open(topic, view=view.name, **settings).idle()
    tape = tab.data("tape")
    f, k = sliders(view)[0]
    handle = tab.page.locator(f"{widget(topic, view, f.name)} input[type=range]")
    handle.focus()
    tab.page.keyboard.press("ArrowLeft" if f.default == k.high else "ArrowRight")
    tab.until(f"root.dataset.tape !== {tape!r}").check()
    for f, k in sliders(view):
        for key, end in (("End", k.high), ("Home", k.low)):
            settings[f.name] = getattr(view.mend(tidy(view.config, settings | {f.name: end}))[0], f.name)
            tab.page.locator(f"{widget(topic, view, f.name)} input[type=range]").focus()
            tab.page.keyboard.press(key)
            tab.says(words(topic, view, **settings)).idle()
    tab.press("d").says(words(topic, view))
    tab.check()


@pytest.mark.parametrize("viewed", VIEWS, ids=view_id)
def test_scenes_by_click_and_by_number(visit, viewed):
    topic, view = viewed
    tab = visit().goto(topic, view=view.name, **short(view)).until("stage.spec", seconds=60).idle()
    for number, scene in enumerate(scenes_of(topic, view), 1):
        wanted = {"scene": scene.name}
        tab.page.locator(f".st-key-hotkey_{number} button:visible").click()
        tab.says(wanted)
        _leave_the_scene(tab, topic, view)
        tab.page.wait_for_function("() => !new URLSearchParams(location.search).has('scene')")
        tab.idle().press(str(number)).says(wanted)
    tab.check()


def _leave_the_scene(tab, topic, view):
    """By another seed, or where nothing depends on one by turning a knob."""
    if hasattr(view.config(), view.seed):
        tab.press("s")
        return
    f, _ = sliders(view)[0]
    tab.page.locator(f"{widget(topic, view, f.name)} input[type=range]").focus()
    tab.page.keyboard.press("ArrowLeft")


def test_play_pause_scrub_step_and_start(visit):
    tab = visit().open(TOPIC, view=VIEW)
    tab.until("stage.playing && stage.cursor > 3")
    play = tab.page.get_by_title("Play or pause", exact=False)
    play.click()
    tab.until("!stage.playing && !stage.asked")
    here = int(tab.data("frame"))
    assert here > 0
    slider = tab.page.get_by_label("Frame", exact=True)
    slider.evaluate("(e) => { e.value = 2; e.dispatchEvent(new Event('input', { bubbles: true })); }")
    tab.until("root.dataset.frame === '2'")
    tab.page.wait_for_function("() => new URLSearchParams(location.search).get('frame') === '2'")
    tab.page.get_by_title("One frame on", exact=False).click()
    tab.until("root.dataset.frame === '3'")
    tab.page.get_by_title("Back to the start", exact=False).click()
    tab.until("root.dataset.frame === '0'")
    play.click()
    tab.until("stage.playing && stage.cursor > 4").until("stage.done && !stage.playing", seconds=30).settled()
    assert int(tab.data("frame")) == int(tab.data("length")) - 1
    assert tab.see("stage.done"), "the end was told, and then taken back"
    tab.check()


def test_at_the_end_of_a_run_the_link_and_the_formula_say_so(visit):
    tab = visit().open(TOPIC, view=VIEW, steps="20").until("stage.done && !stage.playing").settled()
    last = str(int(tab.data("length")) - 1)
    tab.page.wait_for_function(f"() => new URLSearchParams(location.search).get('frame') === '{last}'", timeout=5000)


def test_keys(visit):
    tab = visit().open(TOPIC, view=VIEW)
    tab.until("stage.cursor > 2").press("Space").until("!stage.playing")
    here = int(tab.see("Math.round(stage.cursor)"))
    tab.press("ArrowRight").until(f"root.dataset.frame === '{here + 1}'")
    tab.press("ArrowLeft").press("ArrowLeft").until(f"root.dataset.frame === '{here - 1}'")
    tab.press("r").until("root.dataset.frame === '0'")
    tab.press("s").says(HERE | {"seed": "1"})
    tab.press("a").says(HERE | {"seed": "1", "pin": "seed=1"})
    tab.press("s").says(HERE | {"seed": "2", "pin": "seed=1"}).until("stage.reels.length === 2")
    tab.press("p").says(HERE | {"seed": "2", "pin": "seed=1", "present": "1"}).until("stage.spec?.present")
    tab.press("p").says(HERE | {"seed": "2", "pin": "seed=1"})
    tab.press("a").says(HERE | {"seed": "2"}).until("stage.reels.length === 1")
    there = HERE | {"seed": "2", "pin": "seed=1"}
    once = HERE | {"seed": "1"}
    for before in (there, there | {"present": "1"}, there, once | {"pin": "seed=1"}, once, HERE):
        tab.press("u").says(before)
    tab.idle().check()
    assert tab.page.locator(".st-key-hotkey_u button:visible").is_disabled()


def test_a_held_knob_keeps_its_keys_and_its_focus(visit):
    _, view = next(v for v in VIEWS if (v[0], v[1].name) == WALK)
    tab = visit().open(TOPIC, view=VIEW, frame="5").settled()
    f, k = sliders(view)[0]
    tab.page.locator(f"{widget(TOPIC, view, f.name)} input[type=range]").focus()
    for moved in (1, 2, 3):
        tab.page.keyboard.press("ArrowRight")
        tab.says(words(TOPIC, view, **{f.name: getattr(view.config(), f.name) + moved * (k.step or 1)})).idle()
    tab.check()


@pytest.mark.parametrize("pause", [0, 20, 50, 80, 120, 200])
def test_of_many_quick_turns_none_is_lost(visit, pause):
    _, view = next(v for v in VIEWS if (v[0], v[1].name) == WALK)
    tab = visit().open(TOPIC, view=VIEW, frame="5", seed=str(pause)).settled()
    f, k = sliders(view)[0]
    tab.page.locator(f"{widget(TOPIC, view, f.name)} input[type=range]").focus()
    for _ in range(8):
        tab.page.keyboard.press("ArrowRight")
        tab.page.wait_for_timeout(pause)
    here = {f.name: getattr(view.config(), f.name) + 8 * (k.step or 1)}
    tab.says(words(TOPIC, view, seed=pause, **here)).idle()
    for _ in range(4):
        tab.press("s").page.wait_for_timeout(250)  # Streamlit may take clicks that are closer together for one
    tab.says(words(TOPIC, view, seed=pause + 4, **here)).idle().check()


def test_pinned_runs_stand_side_by_side_and_the_link_keeps_them(visit):
    tab = visit().open(TOPIC, view=VIEW, gap="5", pin="seed=7", frame="12").settled()
    assert tab.see("stage.reels.length") == 2 and tab.see("stage.reels.every((reel) => reel.length > 12)")
    titles = tab.see("stage.spec.panels.map((panel) => panel.title)")
    assert titles[0].startswith("A · ") and titles[1].startswith("B · ")
    assert visit().open(TOPIC, **tab.words()).settled().pixels() == tab.pixels()
    tab.check()


KEPT = "/[?&,( ](points|sketch)=[^&,)]/"  # a drawing in the words of a link, or of a tape


@pytest.mark.parametrize("viewed", drawable("points"), ids=view_id)
def test_points_drawn_by_hand_become_the_data(visit, viewed):
    topic, view = viewed
    tab = visit().open(topic, view=view.name).idle()
    number = next(i for i, panel in enumerate(view.panels(view.config())) if panel.draw)
    tab.page.locator(".stage .tools button").first.click()
    tab.page.locator(".stage .tools button.primary").click()  # nothing was drawn
    tab.page.wait_for_selector("[data-testid=stAlert]")
    assert not {"points", "sketch"} & set(tab.words())
    stroke(tab, number)
    tab.page.wait_for_function(f"() => {KEPT}.test(location.search)")
    tab.until(f"{KEPT}.test(`?${{root.dataset.tape}}`)").idle()
    assert not tab.page.locator("[data-testid=stAlert]").count()
    again = visit().open(topic, **tab.words())
    assert again.see("stage.reels[0].tape") == tab.see("stage.reels[0].tape")


def stroke(tab, number):
    """Draw a bow over panel `number` and use it."""
    tab.page.locator(".stage .tools button").first.click()
    tab.until("stage.pencil && !stage.dirty")
    box = tab.page.locator(".stage canvas").nth(number).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.page.mouse.move(x - 50, y)
    tab.page.mouse.down()
    for step in range(-50, 51, 5):
        tab.page.mouse.move(x + step, y - 30 + step**2 / 80)
    tab.page.mouse.up()
    tab.page.locator(".stage .tools button.primary").click()


@pytest.mark.parametrize("viewed", drawable("picture"), ids=view_id)
def test_a_picture_drawn_by_hand_is_taken(visit, viewed):
    topic, view = viewed
    tab = visit().open(topic, view=view.name, **short(view)).idle()
    number = next(i for i, panel in enumerate(view.panels(view.config())) if panel.draw)
    before = tab.data("tape")
    tab.page.locator(".stage .tools button").first.click()
    tab.page.locator(".stage .tools button.primary").click()
    tab.page.wait_for_selector("[data-testid=stAlert]")
    tab.until(f"root.dataset.tape === {before!r}")
    stroke(tab, number)
    tab.until(f"root.dataset.tape !== {before!r}").idle()
    assert not tab.page.locator("[data-testid=stAlert]").count()
    tab.check()


@pytest.mark.parametrize("viewed", UPLOADS[:1], ids=view_id)
def test_a_file_of_points(visit, viewed):
    topic, view = viewed
    tab = visit().open(topic, view=view.name).idle()
    label = next(iter(view.uploads))
    tab.page.locator("[data-testid=stExpander] summary", has_text=label).click()
    chooser = tab.page.locator(f"{widget(topic, view, 'upload')} input[type=file]")
    bad = {"text.csv": b"a,b\n1,2\nx,3\n", "empty.csv": b"", "nan.csv": b"1,2\nnan,1\n", "three.csv": b"1,2,3\n4,5,6\n"}
    for name, data in bad.items():
        chooser.set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})
        note = tab.page.locator("[data-testid=stAlert]", has_text=name)
        note.wait_for()
        assert "expected" in note.inner_text() and "data" not in tab.words()
    good = io.BytesIO()
    np.savetxt(good, np.random.default_rng(0).normal(size=(300, 2)), delimiter=",")
    chooser.set_input_files({"name": "good.csv", "mimeType": "text/csv", "buffer": good.getvalue()})
    tab.page.wait_for_function("() => new URLSearchParams(location.search).get('data') === 'yours'")
    tab.until("root.dataset.tape?.includes('data=yours')").idle()
    tab.check()


def test_numbers_can_be_typed(visit):
    topic, view = next((topic, view) for topic, view in VIEWS if (topic, view.name) == WALK)
    tab = visit().open(topic, view=view.name).idle()
    tab.page.locator("[data-testid=stExpander] summary", has_text="More").click()
    tab.page.locator(".st-key-typed label").first.click()
    box = tab.page.locator(f"{widget(topic, view, 'seed')} input:not([type=range])")
    box.fill("17")
    box.press("Enter")
    tab.says(HERE | {"seed": "17"}).check()


def test_views_by_click(visit):
    topic = TOPIC
    tab = visit().open(topic).idle()
    for view in TOPICS[topic][0]:
        tab.page.locator(".st-key-views button", has_text=view.name.capitalize()).first.click()
        tab.until(f"stage.spec?.view === {view.name!r}", seconds=30).idle()
    tab.check()


def test_what_is_below_the_fold_opens(visit):
    for topic in TOPICS:
        tab = visit().open(topic).idle()
        tabs = tab.page.locator(".st-key-below [role=tab]")
        for i in range(tabs.count()):
            tabs.nth(i).click()
            tab.page.wait_for_function(BELOW)
            tab.idle()
        assert tabs.count() > 1
        with tab.page.expect_download() as waiting:
            tab.page.locator("[data-testid=stDownloadButton] button").first.click()
        assert waiting.value.suggested_filename.endswith((".csv", ".py"))
        tab.check()
