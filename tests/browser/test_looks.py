"""How it looks: in a hall, on a phone, in the dark, on one screen; and whether everyone can use it."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.declared import FIRST, VIEWS, WALK, short, view_id
from tests.browser.tab import BELOW
from tests.browser.test_links import opens
from tests.topics import SCENES

TOPIC, VIEW = WALK
FONTS = """
  window.written = new Map();
  const write = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.written.set(text, parseFloat(this.font.match(/([\\d.]+)px/)[1]));
    return write.call(this, text, ...rest);
  };
"""
STREAMLIT: dict[str, str] = {}  # axe rule -> why it is Streamlit's own and not ours
FITS = "document.querySelector('[data-testid=stMain]')"


@pytest.mark.parametrize("viewed", VIEWS, ids=view_id)
def test_in_a_hall_all_is_on_one_screen_and_large(visit, viewed):
    topic, view = viewed
    tab = visit()
    tab.page.add_init_script(FONTS)
    tab.open(topic, view=view.name, frame="2", present="1", **short(view)).settled()
    scroll, client = tab.page.evaluate(f"[{FITS}.scrollHeight, {FITS}.clientHeight]")
    written = tab.page.evaluate("Object.fromEntries(window.written)")
    labels = {
        axis for p in tab.see("stage.spec.panels.filter((p) => p.axes)") for axis in (p["x"]["label"], p["y"]["label"])
    }
    small = {text: size for text, size in written.items() if size < (24 if text in labels else 18)}
    assert not small, f"letters on the canvas that the last row cannot read: {small}"
    sizes = tab.see(
        "['.title', '.legend', '.chip', '.notice'].flatMap((s) => [...root.querySelectorAll(s)]"
        ".filter((e) => e.offsetParent && e.textContent).map((e) => [s, parseFloat(getComputedStyle(e).fontSize)]))"
    )
    least = {".title": 24}
    assert not [(name, size) for name, size in sizes if size < least.get(name, 18)], sizes
    assert scroll <= client, f"{scroll} px of page on a screen of {client} px"
    tab.check()


@pytest.mark.parametrize("viewed", VIEWS, ids=view_id)
def test_the_first_screen_holds_the_stage_and_everyone_can_use_it(visit, viewed):
    topic, view = viewed
    tab = visit().open(topic, view=view.name, frame="2", **short(view)).settled()
    problems = [*_first_screen(tab, 1280, 720), *grave(tab)]
    tab.page.set_viewport_size(dict(width=1920, height=1080))
    tab.until("root.clientWidth > 1100 && !stage.dirty")
    assert problems + _first_screen(tab, 1920, 1080) == []
    tab.check()


def _first_screen(tab, width, height):
    """What of the stage is small, or lies beyond the first screen."""
    box = tab.see("root.querySelector('.transport').getBoundingClientRect().toJSON()")
    lone = min(tab.see("stage.columns.map((c) => c.length > 1 ? 999 : c[0].canvas.clientHeight)"))
    high = min(tab.see("[999, ...stage.panels.filter((p) => p.spec.axes).map((p) => p.canvas.clientHeight)]"))
    low = max(tab.see("[0, ...[...root.querySelectorAll('.chip')].map((c) => c.getBoundingClientRect().bottom)]"))
    return [
        f"{what} at {width} × {height}"
        for what, wrong in {
            "transport off the screen": box["bottom"] > height or box["right"] > width,
            f"a panel only {lone} px high": lone < 200,
            f"a panel of a stack only {high} px high": high < 150,
            f"numbers down to {low:.0f} px": low > height,
            "no knobs": tab.page.locator(".st-key-knobs > div:visible").count() < 2,
        }.items()
        if wrong
    ]


WIDE = """[...document.querySelectorAll('[data-testid=stMain] *')]
  .filter((e) => e.getBoundingClientRect().right > 391 && !e.closest('.st-key-scenes'))
  .map((e) => `${e.tagName} ${e.className}`.slice(0, 80)).slice(0, 8)"""


@pytest.mark.parametrize("viewed", VIEWS, ids=view_id)
def test_a_phone_need_not_scroll_sideways(visit, viewed):
    topic, view = viewed
    tab = visit("phone").open(topic, view=view.name, frame="2", **short(view)).settled()
    wide = tab.page.evaluate(f"[document.documentElement.scrollWidth, {FITS}.scrollWidth, {FITS}.clientWidth]")
    assert wide[0] <= 390 and wide[1] <= wide[2], (wide, tab.page.evaluate(WIDE))
    boxes = tab.see(
        "[...root.querySelectorAll('canvas, .transport, .chip')].map((e) => e.getBoundingClientRect().right)"
    )
    assert max(boxes) <= 391
    reach = tab.see("[...root.querySelectorAll('.transport > button')].map((e) => e.offsetHeight)")
    assert min(reach) >= 40, "buttons too small for a finger"
    tab.check()


def test_a_phone_home(visit):
    tab = visit("phone").goto().until("+root.dataset.painted > 0", root=".stage").idle()
    assert tab.page.evaluate(f"{FITS}.scrollWidth <= {FITS}.clientWidth")
    tab.check()


def test_a_finger_plays_and_scrubs(visit):
    tab = visit("phone").open(TOPIC, view=VIEW).until("stage.length > 10")
    tab.page.get_by_title("Play or pause", exact=False).tap()
    tab.until("!stage.playing").settled()
    number = tab.see("stage.panels.findIndex((p) => p.spec.curves)")
    canvas = tab.page.locator(".stage canvas").nth(number)
    canvas.scroll_into_view_if_needed()
    canvas.tap(position={"x": tab.see(f"stage.panels[{number}].left + 4"), "y": 60})
    tab.until("+root.dataset.frame < 5").check()


BRIGHTNESS = """(() => {
  const c = stage.panels[0].canvas;
  const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let most = 0; let least = 255;
  for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 230) {
    const v = 0.3 * p[i] + 0.6 * p[i + 1] + 0.1 * p[i + 2]; most = Math.max(most, v); least = Math.min(least, v); }
  return [least, most]; })()"""
GROUND = "parseInt(getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor.match(/\\d+/)[0])"


def test_in_the_dark(visit):
    dark = visit("dark").open(TOPIC, view=VIEW, frame="4").settled()
    light = visit("light").open(TOPIC, view=VIEW, frame="4").settled()
    assert dark.see("stage.theme.dark") and not light.see("stage.theme.dark")
    assert dark.page.evaluate(GROUND) < 60 and light.page.evaluate(GROUND) > 230
    assert dark.see("stage.theme.background") != light.see("stage.theme.background")
    assert dark.see(BRIGHTNESS)[1] > 180 and light.see(BRIGHTNESS)[0] < 60  # the letters stand out
    dark.goto().until("+root.dataset.painted > 0 && stage.theme.dark", root=".stage")


def test_the_theme_is_switched_while_one_looks(visit):
    tab = visit().open(TOPIC, view=VIEW, frame="4").settled()
    light = tab.pixels()
    tab.page.emulate_media(color_scheme="dark")
    tab.until("stage.theme?.dark && !stage.dirty").settled()
    assert tab.pixels() != light and tab.data("frame") == "4"
    tab.page.emulate_media(color_scheme="light")
    tab.until("stage.theme?.dark === false && !stage.dirty").settled()
    assert tab.pixels() == light
    tab.check()


def test_the_window_is_resized_while_one_looks(visit):
    tab = visit().open(TOPIC, view=VIEW, frame="4").settled()
    before = tab.pixels()
    for width, height in ((1920, 1080), (900, 600), (390, 844), (1280, 720)):
        tab.page.set_viewport_size(dict(width=width, height=height))
        laid = "stage.panels.every((p) => Math.abs(p.width - p.canvas.clientWidth) <= 1)"
        tab.until(f"root.getBoundingClientRect().right <= {width} && {laid} && !stage.dirty")
        wide = tab.see(
            "stage.panels.map((p) => [p.width, p.canvas.clientWidth, p.canvas.getBoundingClientRect().right])"
        )
        assert all(abs(held - shown) <= 1 and right <= width for held, shown, right in wide), (width, wide)
    tab.until("!stage.dirty && stage.panels[0].width > 200").settled()
    assert tab.data("frame") == "4" and tab.pixels() == before


def grave(tab):
    """What axe finds serious or critical and what is not known to be Streamlit's own."""
    found = Axe().run(tab.page).response["violations"]
    return [
        (one["id"], node["target"], node["html"][:200])
        for one in found
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical") and one["id"] not in STREAMLIT
    ]


@pytest.mark.parametrize("look", ["light", "dark"])
def test_everyone_can_use_the_home_page(visit, look):
    assert grave(visit(look).goto().until("+root.dataset.painted > 0", root=".stage").idle()) == []


@pytest.mark.parametrize("look", ["dark", "phone", "present"])
def test_everyone_can_use_every_look(visit, look):
    tab = visit("light" if look == "present" else look)
    assert grave(tab.open(TOPIC, view=VIEW, frame="2", present=int(look == "present")).settled()) == []


def test_everyone_can_read_what_is_below(visit):
    tab = visit().open(TOPIC, view=VIEW, frame="2").settled()
    tabs = tab.page.locator(".st-key-below [role=tab]")
    for i in range(tabs.count()):
        tabs.nth(i).click()
        tab.page.wait_for_function(BELOW)
        assert grave(tab.idle()) == []


def test_the_whole_page_can_be_used_without_a_mouse(visit):
    tab = visit().open(TOPIC, view=VIEW, frame="2").settled()
    seen = set()
    for _ in range(70):
        tab.page.keyboard.press("Tab")
        seen.add(
            tab.page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.title || ''")
        )
    assert {"Frame", "Speed"} <= seen and any(label.startswith("Play") for label in seen)


@pytest.mark.parametrize("named", [one for one in SCENES if one not in FIRST], ids=view_id)
def test_every_other_scene_opens_by_its_link(visit, named):
    opens(visit, *named)
