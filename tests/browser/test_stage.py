"""The stage in a real Chromium: messages lost, doubled, out of order, broken; size, theme, load, hands."""

from dataclasses import replace
from functools import partial
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from engine.figures.adapted import adaptation, loss, outputs
from engine.figures.panel import Axis, Panel, adapted, atlas, cloud, field, images, metric
from engine.figures.view import Readout
from engine.figures.wire import News, Track, encode
from tests.browser.lone import LOOK, READOUTS, Lone, broken, frame, hollow, message, panels

TEN = [frame(i) for i in range(10)]
PAINTED = "+root.dataset.painted > 0"
UNDER = """(() => { const [p, h] = [stage.panels[0], stage.hover]; const k = p.sharp;
  const x = h.px + 74 + (h.px + 130 < p.right ? 0 : -148), y = Math.max(h.py - 70, p.top + 60);
  return p.g.getImageData(x * k, y * k, 1, 1).data[0]; })()"""  # the grey in the middle of the picture shown


def where(lone, x, y):
    """The pixels of the page at a place of the first panel."""
    box = "stage.panels[0].canvas.getBoundingClientRect()"
    return lone.see(f"[{box}.left + stage.panels[0].x.pixel({x}), {box}.top + stage.panels[0].y.pixel({y})]")


def rested(lone):
    """What the stage said last of its cursor."""
    return {name: value for name, value in lone.told("cursor")[-1].items() if name != "turn"}


def test_frames_are_held_painted_and_played(lone):
    lone.give(message(TEN, done=True)).until("!stage.playing && root.dataset.frame === '9'")
    assert (lone.data("length"), lone.data("done"), lone.data("tape")) == ("10", "true", "run")
    chips = lone.page.locator(".chip output").all_inner_texts()
    assert chips == ["9", "0.1 ± 0.1"]
    lone.page.wait_for_function("() => told.some((t) => t.name === 'cursor' && !t.value.playing)")
    assert rested(lone) == {"frame": 9, "playing": False, "tape": "run"}


def test_a_count_is_told_to_its_last_digit(lone):
    lone.give(message([frame(12_345)], done=True)).until(PAINTED)
    assert lone.page.locator(".chip output").first.inner_text() == "12345"


def test_a_message_twice_counts_once(lone):
    twice = message(TEN)
    lone.give(twice).give(twice).give(message(TEN[5:], 5, spec=False)).until(PAINTED)
    assert lone.see("stage.length") == 10
    assert lone.see("stage.reels[0].frames.map((f) => f[3].data[0])") == pytest.approx([f.cloud[0, 0] for f in TEN])


def test_messages_out_of_order_end_in_order(lone):
    first, second = message(TEN[:5]), message(TEN[5:], 5, spec=False, done=True)
    lone.give(message([], spec=True)).give(second)
    assert lone.see("stage.length") == 0 and not lone.see("stage.done")
    lone.give(first).give(second).until("stage.done")
    assert lone.see("stage.length") == 10
    order = lone.see("stage.reels[0].frames.map((f) => f[f.length - 1].data[0])")
    assert order == list(range(10))


def test_a_gap_is_asked_for_again(lone):
    lone.give(message(TEN[:4])).give(message(TEN[8:], 8, spec=False, done=True)).until(PAINTED)
    assert lone.see("stage.length") == 4 and not lone.see("stage.done")
    assert lone.told("pull")[-1]["have"] == {"run": 4}
    lone.give(message(TEN[4:], 4, spec=False, done=True)).until("stage.done && stage.length === 10")


def test_frames_of_a_picture_never_seen_are_asked_for_whole(lone):
    lone.give(message(TEN, spec=False))
    assert lone.told("pull")[-1]["id"] == ""
    lone.give(message(TEN)).until(PAINTED)


def test_a_request_without_an_answer_is_asked_again(context):
    with_clock = context()
    with_clock.clock.install()
    lone = Lone(with_clock)
    lone.give(message(TEN[:2]))
    asked = len(lone.told("pull"))
    lone.page.clock.run_for(5000)
    assert len(lone.told("pull")) == asked + 1
    lone.check()


def test_an_event_is_told_until_it_is_heard(context):
    with_clock = context()
    with_clock.clock.install()
    lone = Lone(with_clock)
    lone.give(message(TEN, done=True))
    said = lambda: [one["value"]["events"] for one in lone.page.evaluate("told") if one["name"] == "event"]  # noqa: E731
    lone.do("stage.tell({ type: 'pick', index: 3 })").do("stage.tell({ type: 'pick', index: 5 })")
    lone.page.clock.run_for(3000)
    assert [[event["index"] for event in events] for events in said()] == [[3], [3, 5], [3, 5], [3, 5]]
    first, second = (event["turn"] for event in said()[-1])
    lone.give(message(TEN, done=True, heard=(lone.see("stage.name"), first)))
    lone.page.clock.run_for(8000)
    assert {event["index"] for event in said()[-1]} == {5}
    told = len(said())
    lone.give(message(TEN, done=True, heard=("another", second)))
    lone.page.clock.run_for(8000)
    assert len(said()) > told  # what another stage has told is no answer to this one
    told = len(said())
    lone.give(message(TEN, done=True, heard=(lone.see("stage.name"), second)))
    lone.page.clock.run_for(20000)
    assert len(said()) == told
    lone.check()


def test_an_end_once_told_stays(lone):
    lone.give(message(TEN, done=True)).until("stage.done")
    lone.give(message(TEN[4:5], 4, spec=False, done=False)).until("!stage.dirty")  # a late copy of one frame
    assert lone.see("stage.done")


@pytest.mark.parametrize("kind", [broken, hollow], ids=["nan", "empty"])
def test_numbers_that_are_none_are_left_out(lone, kind):
    some = [frame(0), kind(1), frame(2), kind(3)]
    lone.give(message(some, done=True)).until("!stage.playing && root.dataset.frame === '3'")
    lone.do("stage.seek(2)").until("root.dataset.frame === '2'")
    lone.do("stage.seek(1)").until("root.dataset.frame === '1'")
    assert lone.page.locator(".chip:visible output").all_inner_texts() == ["1"]
    lone.page.locator(".stage canvas").nth(0).hover()
    lone.page.locator(".stage canvas").nth(1).hover()


def test_a_failure_is_a_sentence_and_not_an_end(lone):
    lone.give(message(TEN[:3], failure="This run stopped: 7 was seen, 8 expected")).until("!stage.playing")
    assert lone.page.locator(".notice").inner_text() == "This run stopped: 7 was seen, 8 expected"
    asked = len(lone.told("pull"))
    lone.page.wait_for_timeout(300)
    assert len(lone.told("pull")) == asked


def test_a_run_that_fails_at_once_is_not_asked_for_again(lone):
    lone.give(message([], failure="This run stopped: nothing was seen, one point expected"))
    lone.page.wait_for_function("() => document.querySelector('.notice')?.textContent", timeout=3000)
    assert lone.told("pull") == []  # every answer would be followed by another request, for ever


def test_nothing_is_asked_while_it_rests(lone):
    lone.give(message(TEN)).until(PAINTED)
    lone.do("stage.toggle()").give(message(TEN[:1], spec=False))
    asked = len(lone.told("pull"))
    lone.page.wait_for_timeout(600)
    assert len(lone.told("pull")) == asked and not lone.see("stage.playing")
    lone.do("stage.toggle()")
    assert len(lone.told("pull")) == asked + 1


def test_a_stage_taken_down_asks_nothing(lone):
    lone.give(message(TEN[:2])).until(PAINTED)
    lone.page.evaluate("leave()")
    asked = len(lone.told("pull"))
    lone.page.wait_for_function("() => document.querySelector('.stage').stage.closed", timeout=3000)
    assert len(lone.told("pull")) == asked


def test_a_stage_removed_closes_at_once(lone):
    lone.give(message(TEN[:2])).until(PAINTED)
    assert lone.page.evaluate("(() => { const { stage } = document.querySelector('.stage');"
                              "stage.root.remove(); leave(); return stage.closed; })()")  # fmt: skip


def test_a_stage_put_up_again_at_once_keeps_what_one_draws(lone):
    lone.give(message(TEN)).until(PAINTED)
    lone.page.locator(".stage .tools button").first.click()
    drawn = lone.do("window.mine = stage; leave()").give(message(TEN[:1], spec=False))
    assert drawn.see("stage === window.mine && !!stage.pencil && !stage.closed")
    lone.page.wait_for_timeout(800)
    assert drawn.see("!stage.closed") and lone.page.locator(".stage .tools button.primary").count() == 1


def test_a_stage_taken_down_and_put_up_again_lives(lone):
    lone.give(message(TEN, done=True)).until("!stage.playing && root.dataset.frame === '9'")
    lone.page.evaluate("leave()")
    lone.give(message(TEN, done=True)).until("!stage.closed", seconds=3)
    lone.press("r").until("root.dataset.frame === '0'", seconds=3)
    lone.press("Space").until("root.dataset.frame === '9'", seconds=3)


def test_two_runs_reach_a_frame_of_the_link_together(lone):
    both = [Track("now", panels(), READOUTS), Track("then", panels(), READOUTS)]
    news = [News(0, TEN), News(0, TEN[:2])]
    lone.give(encode(both, news, LOOK | {"cursor": 7}, True, room=1 << 30)).until(PAINTED)
    assert lone.told("pull")[-1]["have"] == {"now": 10, "then": 2}  # the shorter one is still asked for
    lone.give(encode(both, [News(10, []), News(2, TEN[2:])], LOOK, False, room=1 << 30))
    lone.until("stage.goal === null && stage.reels.every((reel) => reel.length === 10)")


def test_between_two_frames_lies_their_mean(lone):
    lone.give(message(TEN, cursor=0)).until(PAINTED)
    middle = lone.see("[...stage.reels[0].between(3, 2.5).data]")
    assert middle == pytest.approx(((TEN[2].cloud + TEN[3].cloud) / 2).ravel().tolist(), abs=1e-6)


def test_another_run_begins_at_its_start_unless_time_is_a_knob(lone):
    lone.give(message(TEN, done=True)).do("stage.seek(6)")
    lone.give(message(TEN[:3], tape="other")).until("root.dataset.tape === 'other'")
    assert lone.see("stage.playing") and lone.see("stage.cursor") < 6
    lone.give(message(TEN, view="timed", tape="a", hold=True, done=True)).do("stage.seek(6)")
    lone.give(message(TEN, view="timed", tape="b", hold=True, done=True)).until("root.dataset.tape === 'b'")
    assert not lone.see("stage.playing") and lone.see("stage.cursor") == 6


def test_the_same_picture_of_another_run_leaves_what_stands(lone):
    lone.give(message(TEN, cursor=3)).until(PAINTED)
    before = lone.do("window.mine = stage.panels[0].canvas; stage.panels[0].x.zoom(2, 100, 0)").pixels()[0]
    lone.give(message(TEN[5:], tape="other", cursor=1)).until("root.dataset.tape === 'other' && !stage.dirty")
    assert lone.see("stage.panels[0].canvas === window.mine && stage.panels[0].x.high - stage.panels[0].x.low < 2")
    assert lone.pixels()[0] != before and lone.page.locator(".chip output").first.inner_text() == "6"
    lone.give(message(TEN, tape="third", row=panels()[:2])).until("root.dataset.tape === 'third'")
    assert lone.see("stage.panels.length === 2 && stage.panels[0].canvas !== window.mine")


def test_other_ranges_and_styles_are_taken_on_as_if_built_anew(lone):
    first, loss, last = panels()
    layers = *first.layers[:3], cloud("points", "model", lambda f: f.cloud, size=9), *first.layers[4:]
    wide = replace(first, layers=layers, x=Axis("across", -3, 3)), replace(loss, y=Axis("loss", 0.1, 9, log=True)), last
    lone.give(message(TEN, cursor=3)).until(PAINTED).do("window.mine = stage.panels[0].canvas")
    heights = lone.see("stage.panels.map((p) => p.height)")
    lone.give(message(TEN, tape="other", row=wide, cursor=3)).until("root.dataset.tape === 'other' && !stage.dirty")
    assert lone.see("stage.panels[0].canvas === window.mine") and lone.see("stage.panels[0].height") < heights[0]
    renewed = lone.pixels()
    lone.do("stage.spec = null").give(message(TEN, tape="third", row=wide, cursor=3))
    lone.until("root.dataset.tape === 'third' && !stage.dirty")
    assert lone.see("stage.panels[0].canvas !== window.mine") and lone.pixels() == renewed


def test_a_run_stands_still_for_a_moment_when_a_knob_is_turned(lone):
    long = [frame(i) for i in range(200)]
    lone.give(message(long)).until("stage.cursor > 1")
    turn = "Object.assign(document.body.appendChild(document.createElement('button')), { className: 'st-key-knobs' })"
    lone.do(f"{turn}.dispatchEvent(new Event('pointerdown', {{ bubbles: true }}))")
    asked, (now, later) = len(lone.told("pull")), [lone.see("stage.cursor"), lone.see("stage.cursor")]
    assert now == later and len(lone.told("pull")) == asked
    lone.until(f"stage.cursor > {now + 1}")  # nothing came of it, so it goes on


def test_a_cursor_in_the_link_is_where_it_rests(lone):
    lone.give(message(TEN[:3], cursor=7)).until(PAINTED)
    assert lone.see("stage.cursor") == 2 and lone.told("pull")
    lone.give(message(TEN[3:], 3, spec=False)).until("root.dataset.frame === '7'")
    assert not lone.see("stage.playing") and lone.see("stage.goal") is None


def test_two_stages_do_not_touch_each_other(lone):
    lone.give(message(TEN, done=True)).give(message(TEN[:5], tape="other", done=True), host="second")
    lone.until("!stage.playing && stage.done").until("!stage.playing", root="#second .stage")
    assert lone.see("root.dataset.length", root="#second .stage") == "5"
    lone.do("stage.seek(2)", root="#second .stage").until("root.dataset.frame === '2'", root="#second .stage")
    assert (lone.data("frame"), lone.data("tape"), lone.data("length")) == ("9", "run", "10")
    lone.give(message(TEN[5:7], 5, tape="other", spec=False), host="second")
    assert lone.see("stage.length") == 10 and lone.see("stage.length", root="#second .stage") == 7


def test_it_fills_the_width_it_has(lone):
    lone.give(message(TEN, done=True)).until("!stage.playing")
    for width in (1280, 1920, 700, 390):
        lone.page.set_viewport_size(dict(width=width, height=720))
        laid = "stage.panels.every((p) => Math.abs(p.width - p.canvas.clientWidth) <= 1)"
        right = "Math.max(...stage.panels.map((p) => p.canvas.getBoundingClientRect().right))"
        lone.until(f"root.clientWidth === {width} && {right} <= {width} + 1 && {laid} && !stage.dirty")
        boxes = lone.see("stage.panels.map((p) => p.canvas.getBoundingClientRect().toJSON())")
        assert all(box["right"] <= width + 1 and box["width"] > 150 and box["height"] > 100 for box in boxes)
        assert (len({round(box["top"]) for box in boxes}) > 1) == (width < 560), boxes
        assert lone.see("stage.panels.every((p) => p.canvas.width === Math.round(p.width * p.sharp))")


def test_it_is_sharp_on_a_fine_screen(context):
    lone = Lone(context(device_scale_factor=2))
    lone.give(message(TEN, done=True)).until(PAINTED)
    assert lone.see("stage.panels[0].canvas.width / stage.panels[0].canvas.clientWidth") == pytest.approx(2, abs=0.02)
    lone.check()


def test_it_follows_the_theme(lone):
    lone.give(message(TEN, cursor=4)).until(PAINTED)
    light = lone.pixels()
    lone.page.evaluate("document.documentElement.classList.add('dark')")
    lone.give().until("stage.theme.dark && !stage.dirty")
    dark = lone.pixels()
    lone.page.evaluate("document.documentElement.classList.remove('dark')")
    lone.give().until("!stage.theme.dark && !stage.dirty")
    assert dark[0] != light[0] and lone.pixels() == light


def test_ten_thousand_points(lone, record_property):
    many = [frame(i, 10_000) for i in range(40)]
    axis = Axis("x", -1, 1)
    row = [Panel("Many", (cloud("points", "model", lambda f: f.cloud),), axis, axis, equal=True, name="many")]
    lone.give(message(many, row=row, fps=10)).until("+root.dataset.painted > 5")
    counted = "() => new Promise((done) => { const d = document.querySelector('.stage').dataset; const n = +d.painted;"
    paints = lone.page.evaluate(f"{counted} setTimeout(() => done((+d.painted - n) / 1.5), 1500); }})")
    record_property("paints_per_second", paints)
    print(f"10 000 points: {paints:.0f} paints a second")
    assert paints > 5


def test_a_long_run_is_held_within_bounds(lone):
    lone.give(message([frame(0, 800)], row=None)).until(PAINTED)
    lone.do("stage.reels[0].bound = 2 ** 21")
    for start in range(1, 401, 40):
        lone.give(message([frame(i, 800) for i in range(start, start + 40)], start, spec=False))
        bytes_held = lone.see(
            "stage.reels[0].frames.flat().filter(Boolean).reduce((sum, a) => sum + a.data.byteLength, 0)"
        )
        assert bytes_held <= 2**21
    assert lone.see("stage.length") == 401
    held = lone.see("stage.reels[0].frames.map((f) => !!f)")
    assert held[0] and held[-1] and sum(held) > 20
    lone.do("stage.seek(123)").until("root.dataset.frame === '123'")


def test_who_asked_for_less_motion_sees_a_still(context):
    lone = Lone(context(reduced_motion="reduce"))
    lone.give(message(TEN, done=True)).until(PAINTED)
    assert not lone.see("stage.playing")
    lone.press("Space").until("stage.playing").until("!stage.playing && root.dataset.frame === '9'")
    lone.check()


def test_keys(lone):
    lone.give(message(TEN, cursor=3, done=True)).until(PAINTED)
    lone.press("ArrowRight").until("root.dataset.frame === '4'")
    lone.press("ArrowLeft").press("ArrowLeft").until("root.dataset.frame === '2'")
    lone.press("r").until("root.dataset.frame === '0'")
    lone.press("Space").until("stage.playing")
    lone.press("Space").until("!stage.playing")
    here = lone.see("stage.cursor")
    lone.page.locator("#elsewhere").focus()
    lone.page.keyboard.type("r r")
    assert lone.see("stage.cursor") == here and lone.page.locator("#elsewhere").input_value() == "r r"


def test_the_slider_scrubs_and_tells_where_it_rests(lone):
    lone.give(message(TEN, done=True)).until("!stage.playing")
    slider = lone.page.get_by_label("Frame", exact=True)
    slider.fill("4")
    lone.until("root.dataset.frame === '4'")
    lone.page.wait_for_function("() => told.some((t) => t.name === 'cursor' && t.value.frame === 4)")
    assert rested(lone) == {"frame": 4, "playing": False, "tape": "run"}
    slider.focus()
    lone.page.keyboard.press("ArrowLeft")
    lone.until("Math.abs(stage.cursor - 3) < 0.01", seconds=3)  # one frame, not a hundredth of the run


def test_a_number_that_comes_late_moves_nothing(lone):
    late = [Readout(f"a number of some length, {i}", lambda f: f.value if f.step > 4 else np.nan) for i in range(9)]
    track = Track("run", panels(), (READOUTS[0], *late))
    look = LOOK | {"cursor": 0}
    lone.give(encode([track], [News(0, TEN, True)], look, True, room=1 << 30)).until("root.dataset.frame === '0'")
    tall = "[stage.panels[0].canvas.offsetHeight, stage.readouts.offsetHeight]"
    shown = "[...root.querySelectorAll('.chip')].filter((chip) => !chip.hidden).length"
    before = lone.see(tall)
    assert lone.see(shown) == 1 and before[1] > 40  # room for two rows
    lone.do("stage.seek(9)").until("root.dataset.frame === '9'").until(f"{shown} === 10")
    lone.page.wait_for_timeout(200)
    assert lone.see(tall) == before


def test_the_page_moves_the_cursor_and_hears_where_it_is(lone):
    words = "told.filter((t) => t.name === 'cursor').length"
    lone.give(message(TEN, done=True, place=(1, None))).until("!stage.playing && root.dataset.frame === '9'")
    lone.page.wait_for_function(f"() => {words} && !told.at(-1).value.playing")
    before = lone.page.evaluate(words)
    lone.give(message(TEN, done=True, place=(1, 9))).give(message(spec=False, start=10, place=(1, 9)))
    lone.give(message(spec=False, start=10, place=(2, 4), heard=("", 1))).until("root.dataset.frame === '4'")
    lone.page.wait_for_function(f"() => {words} > {before}")
    assert rested(lone) == {"frame": 4, "playing": False, "tape": "run"} and not lone.see("stage.playing")
    lone.give(message(spec=False, start=10, place=(3, None))).until("stage.playing && stage.cursor < 4")
    lone.until("!stage.playing && root.dataset.frame === '9'")
    lone.page.wait_for_function("() => told.at(-1).value.frame === 9")
    turns = [one["turn"] for one in lone.told("cursor")]
    assert turns == sorted(set(turns))  # Streamlit does not call when it is told the same once more


def test_the_address_follows_the_cursor_without_a_history(lone):
    lone.page.evaluate("history.pushState({}, '', '/?view=walk&gap=5&pin=seed%3D3&present=1')")
    entries = lone.page.evaluate("history.length")
    address = "() => location.search === '?view=walk&gap=5{}&pin=seed%3D3&present=1'"
    lone.give(message(TEN, done=True)).until("!stage.playing")
    lone.page.wait_for_function(address.format("&frame=9"))
    lone.do("stage.seek(3)")
    lone.page.wait_for_function(address.format("&frame=3"))
    lone.do("stage.toggle()")
    lone.page.wait_for_function(address.format("&frame=9"))
    assert lone.page.evaluate("history.length") == entries


def test_the_curve_scrubs_too(lone):
    lone.give(message(TEN, done=True)).until("!stage.playing")
    box = lone.see("(({left, top}) => [left, top])(stage.panels[1].canvas.getBoundingClientRect())")
    x = box[0] + lone.see("stage.panels[1].x.pixel(3)")
    lone.page.mouse.click(x, box[1] + 80)
    lone.until("root.dataset.frame === '3'")
    assert "loss" in lone.page.locator(".tip:visible").inner_text()


def test_a_mark_is_dragged(lone):
    lone.give(message(TEN, cursor=0)).until(PAINTED)
    at = partial(where, lone)
    _drag(lone, [at(0, 0), at(0.2, 0.1), at(0.5, 0.25)])
    event = lone.told("event")[-1]
    assert event["names"] == ["start_x", "start_y"] and event["values"] == pytest.approx([0.5, 0.25], abs=0.02)


def test_the_pointer_shows_the_picture_that_lies_under_it(lone, record_property):
    axis = Axis("x", -1, 1)
    shades = np.linspace(0, 1, 16).reshape(4, 4)  # one grey for each cell of the grid
    pictures = np.broadcast_to(shades[:, :, None, None], (4, 4, 28, 28))
    row = [Panel("Plane", (atlas("picture", "ink", pictures),), axis, axis, equal=True, name="plane")]
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    box = lone.see("(({left, top}) => [left, top])(stage.panels[0].canvas.getBoundingClientRect())")
    for x, y in ((-0.75, -0.75), (0.25, -0.25), (0.1, 0.4), (0.95, 0.95)):
        px, py = lone.see(f"[stage.panels[0].x.pixel({x}), stage.panels[0].y.pixel({y})]")
        lone.page.mouse.move(box[0] + px, box[1] + py)
        lone.until("!stage.dirty")
        places = np.clip((np.array([y, x]) + 1) * 2 - 0.5, 0, 3)  # between the middles of the cells
        expected = 255 * (places[0] * 4 + places[1]) / 15  # linear, so that any right mixture gives it
        assert lone.see(UNDER) == pytest.approx(expected, abs=2)
    took = lone.see("(() => { const t = performance.now(); for (let i = 0; i < 100; i += 1) "
                    "stage.panels[0].draw(0); return (performance.now() - t) / 100; })()")  # fmt: skip
    record_property("milliseconds", took)
    print(f"a picture of 28 x 28 under the pointer: {took:.2f} ms")


def test_the_pointer_shows_the_metric_that_holds_under_it(lone):
    axis = Axis("x", -1, 1)
    tensors = np.zeros((4, 4, 3), np.float32)  # from left to right the same change, but in ever steeper directions
    turns = np.linspace(0, np.pi / 2, 4)
    for column, turn in enumerate(turns):
        across = np.array([np.cos(turn), np.sin(turn)])
        tensors[:, column] = (25 * np.outer(across, across) + np.eye(2))[[0, 0, 1], [0, 1, 1]]
    layer = metric("change", "ink", tensors, level=0.5, longest=2)
    row = [Panel("Plane", (layer,), axis, axis, equal=True, name="plane")]
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    box = lone.see("(({left, top}) => [left, top])(stage.panels[0].canvas.getBoundingClientRect())")
    lone.do("window.corners = []; const g = stage.panels[0].g; const line = g.lineTo.bind(g);"
            "g.lineTo = (x, y) => { corners.push([x, y]); line(x, y); }")  # fmt: skip
    for x, g in ((-0.75, tensors[0, 0]), (0.25, tensors[0, 2]), (0.0, (tensors[0, 1] + tensors[0, 2]) / 2)):
        px, py = lone.see(f"[stage.panels[0].x.pixel({x}), stage.panels[0].y.pixel(0.25)]")
        lone.page.mouse.move(box[0], box[1])
        lone.until("!stage.dirty").do("window.corners = []")
        lone.page.mouse.move(box[0] + px, box[1] + py)
        lone.until("!stage.dirty && corners.length > 40")
        corners = np.array(lone.see("corners.slice(0, 49).map(([x, y]) => [stage.panels[0].x.value(x) - stage.hover.x,"
                                    "stage.panels[0].y.value(y) - stage.hover.y])"))  # fmt: skip
        a, b, c = g.astype(float)
        lengths = np.einsum("ki,ij,kj->k", corners, np.array([[a, b], [b, c]]), corners)
        np.testing.assert_allclose(lengths, 0.25, rtol=0.03)


def _stroke(mouse, x, y, shift, between=lambda: None):
    """A stroke from left to right; `between` happens in its middle."""
    mouse.move(x - 40, y + shift)
    mouse.down()
    mouse.move(x, y + shift)
    between()
    mouse.move(x + 40, y + shift)
    mouse.up()


def test_a_live_picture_is_told_stroke_by_stroke_and_no_answer_cuts_a_stroke_off(lone):
    row = [Panel("Glyph", (images("", "data", np.zeros((1, 4, 4)), columns=1),), axes=False, draw="picture", live=True)]
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    tools, mouse = lone.page.locator(".stage .tools button"), lone.page.mouse
    tools.first.click()
    box = lone.page.locator(".stage canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    stroke = partial(_stroke, mouse, x, y)
    stroke(-30)
    first = lone.told("event")[-1]
    assert first["before"] is None and sum(first["pixels"]) > 0
    answer = message(TEN, row=row, cursor=0, tape="another", heard=(lone.see("stage.name"), first["turn"]))
    stroke(30, lambda: lone.give(answer))
    second = lone.told("event")[-1]
    assert second["before"] == first["pixels"] and sum(second["pixels"]) > 1.8 * sum(first["pixels"])
    lone.until("stage.reels[0].tape === 'another' && stage.pencil && stage.pencil.panel === stage.panels[0]")
    stroke(0)  # over the panel that was built anew
    third = lone.told("event")[-1]
    assert third["before"] == second["pixels"]
    mouse.move(x - 40, y + 50)
    mouse.down()
    mouse.move(x, y + 50)
    lone.do("stage.panels[0].canvas.dispatchEvent(new PointerEvent('pointercancel'))")  # a call, a second finger
    mouse.up()
    assert lone.told("event")[-1]["before"] == third["pixels"] and not lone.see("stage.pencil.busy")
    tools.nth(0).click()
    tools.nth(0).click()  # undo
    assert lone.told("event")[-1]["pixels"] == second["pixels"]
    tools.nth(2).click()  # the next glyph
    stroke(10)
    assert lone.told("event")[-1]["before"] is None
    count = len(lone.told("event"))
    tools.nth(3).click()  # done
    assert not lone.see("!!stage.pencil") and tools.count() == 1 and len(lone.told("event")) == count


def test_a_field_is_not_drawn_where_it_is_not_known(lone):
    axis, values = Axis("x", 0, 1), np.array([[0.0, np.nan], [0.0, np.nan]])
    row = [Panel("Plane", (field("height", "model", values, colours="heat", crisp=True),), axis, axis, name="plane")]
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    at = "[...(({g, x, y, sharp: k}) => g.getImageData(x.pixel(%s) * k, y.pixel(%s) * k, 1, 1).data)(stage.panels[0])]"
    ground = lone.see("[...stage.panels[0].g.getImageData(1, 1, 1, 1).data]")  # beside the axes
    assert lone.see(at % (0.7, 0.45)) == ground != lone.see(at % (0.3, 0.45))


def test_a_point_is_picked_by_a_click_and_not_by_a_drag(lone):
    axis, spots = Axis("x", -1, 1), np.array([[-0.5, -0.5], [0.5, 0.25], [0.55, 0.25]])
    row = [Panel("Plane", (cloud("points", "ink", spots, pick=True),), axis, axis, equal=True, name="plane")]
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    at = partial(where, lone)
    lone.page.mouse.click(*at(0.56, 0.25))
    lone.page.mouse.click(*at(0.0, 0.9))  # far from every point
    _drag(lone, [at(-0.5, -0.5), at(-0.3, -0.5)])
    assert [event["index"] for event in lone.told("event") if event["type"] == "pick"] == [2]


def test_a_point_is_clicked_or_dragged(lone):
    axis, spots = Axis("x", -1, 1), np.array([[-0.5, -0.5, 0], [0.5, 0.25, 1]])
    layer = cloud("points", "ink", spots, pick=True, drag="moved", tag="mine")
    row = [Panel("Plane", (layer,), axis, axis, equal=True, name="plane")]
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    at = partial(where, lone)
    lone.page.mouse.click(*at(0.51, 0.25))
    _drag(lone, [at(0.5, 0.25), at(0, 0.5), at(-0.25, 0.75)])
    click, drag = lone.told("event")
    assert (click["type"], click["index"], click["tag"]) == ("pick", 1, "mine")
    assert (drag["type"], drag["index"], drag["tag"]) == ("moved", 1, "mine")
    np.testing.assert_allclose(drag["points"], [[-0.5, -0.5], [-0.25, 0.75]], atol=0.02)


SIZES = (1, 40, 40, 1)  # of the adapting networks
A = np.stack([np.linspace(-4, 4, 10), 3 * np.sin(np.linspace(-4, 4, 10))], 1)
B = A[::-1] + 0.3


def adapting() -> list[Panel]:
    """Six networks that adapt in the browser, one of them by its last layer alone and one that diverges; 20 steps."""
    drawn = [weights(i) for i in range(6)]
    look: dict[str, Any] = dict(sizes=SIZES, steps=20, inner=("A", A), judge=("B", B))
    learners: list[dict[str, Any]] = [
        dict(fast_lr=0.01, head=i == 3, trail=i == 0) if i < 5 else dict(fast_lr=5.0) for i in range(6)
    ]
    layers = tuple(
        adapted(f"net {i}", "model", lambda f, w=drawn[i]: w, **look, **one) for i, one in enumerate(learners)
    )
    examples = (cloud("B", "truth", B, hollow=True), cloud("A", "data", A, size=10, drag="support", tag="t"))
    mine = tuple(
        adapted("loss", "model", layers[i].of, **look, fast_lr=0.01, head=i == 3, draws="loss") for i in range(5)
    )
    x, y = Axis("x", -5, 5), Axis("y", -6, 6)
    task = Panel("Task", layers + examples, x, y, name="task", draw="points")
    return [task, Panel("Loss", mine, Axis("steps", 0, 20), Axis("loss", 0.01, 10, log=True), name="loss")]


def weights(seed: int) -> np.ndarray:
    """Those of a network with the inputs' kinks spread over the panel: (1804,)"""
    rng, parts = np.random.default_rng(seed), []
    for k, (i, o) in enumerate(zip(SIZES, SIZES[1:], strict=False)):
        part = np.zeros((i + 1, o + (k < 2)))
        part[:i, :o] = rng.normal(size=(i, o)) * (0.3 if k == 0 else (2 / i) ** 0.5)
        if k == 0:
            part[1, :o] = -part[0, :o] * rng.uniform(-5, 5, o)
        parts.append(part.ravel())
    return np.concatenate(parts).astype(np.float32)


def test_every_adapted_curve_follows_a_dragged_example(lone, record_property):
    row = adapting()
    lone.give(message(TEN, row=row, cursor=0)).until(PAINTED)
    before = lone.pixels()
    at = partial(where, lone)
    _drag(lone, [at(*A[4]), at(0, 0), at(A[4, 0], -4.0)])
    lone.until("!stage.dirty")
    assert all(a != b for a, b in zip(before, lone.pixels(), strict=True))
    event = lone.told("event")[-1]
    moved = np.array(event["points"])
    assert event["type"] == "support" and event["tag"] == "t"
    np.testing.assert_allclose(np.delete(moved, 4, 0), np.delete(A, 4, 0), atol=1e-6)
    assert moved[4] == pytest.approx([A[4, 0], -4.0], abs=0.05)
    _as_in_numpy(lone, row, moved)
    _drag(lone, [at(*moved[4]), at(-30, 30)])  # out of the plot: to its edge
    assert lone.told("event")[-1]["points"][4] == pytest.approx([-5, 6], abs=1e-5)
    took = lone.see(f"({TIMED})()")
    record_property("milliseconds", took)
    print(f"six networks, 20 steps each, after a drag: {took:.1f} ms a picture")


TIMED = """() => { const [task, other] = stage.panels; const cloud = task.layers.find((l) => l.name === "A");
  const start = performance.now();
  for (let i = 0; i < 30; i += 1) {
    const { data, shape } = task.array(cloud, 0); const moved = data.slice(); moved[9] = -4 + i / 10;
    task.moved.set("A", { data: moved, shape }); task.draw(0); other.draw(0);
  }
  return (performance.now() - start) / 30; }"""


def _as_in_numpy(lone, row, points):
    """The browser's adapted functions and losses are those that numpy works out."""
    x = [-4.5, -1.0, 0.3, 3.7]
    for i, layer in enumerate(row[0].layers[:6]):
        states = adaptation(layer.values(TEN[0]), layer.style | {"points": points.tolist()}, 20)
        found = lone.page.evaluate(
            """async ([i, x, judges]) => { const { adapted, forward, loss, rooms } = await import("./stage/adapt.js");
              const { stage } = document.querySelector(".stage");
              const panel = stage.panels[0]; const layer = panel.layers[i];
              const points = panel.moved.get("A").data;
              const course = adapted(panel.array(layer, 0).data, points, layer.style, 20);
              const last = course.states.at(-1); const seen = rooms(last);
              return { n: course.states.length, y: x.map((v) => forward(last, v, seen)),
                loss: loss(last, judges), diverged: course.diverged }; }""",
            [i, x, B.ravel().tolist()],
        )
        assert (found["n"], bool(found["diverged"])) == (len(states), i == 5)
        if i < 5:
            assert found["y"] == pytest.approx(outputs(states[-1], np.array(x)), abs=1e-4)
            assert found["loss"] == pytest.approx(loss(states[-1], B), rel=1e-4)


def _drag(lone, places):
    lone.page.mouse.move(*places[0])
    lone.page.mouse.down()
    for place in places[1:]:
        lone.page.mouse.move(*place, steps=5)
    lone.page.mouse.up()


@pytest.mark.parametrize("panel", [0, 2], ids=["points", "picture"])
def test_a_drawing_is_told_undone_and_cancelled(lone, panel):
    lone.give(message(TEN, cursor=0)).until(PAINTED)
    tools = lone.page.locator(".stage .tools button")
    offers = tools.count()
    tools.nth(panel // 2).click()
    lone.until("stage.pencil && !stage.dirty")
    box = lone.page.locator(".stage canvas").nth(panel).bounding_box()
    assert box
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = lone.pixels()[panel]
    _drag(lone, [middle, (middle[0] + 40, middle[1] + 10)])
    lone.until("!stage.dirty")
    assert lone.pixels()[panel] != before
    tools.nth(1).click()  # undo
    lone.page.mouse.move(0, 0)
    lone.until("!stage.dirty && stage.hover === null")
    assert lone.pixels()[panel] == before
    _drag(lone, [middle, (middle[0] + 40, middle[1] + 10)])
    lone.page.locator(".stage .tools button.primary").click()
    event = lone.told("event")[-1]
    drawn = event["points"] if panel == 0 else [v for v in event["pixels"] if v]
    assert len(drawn) > 5
    lone.until("stage.pencil === null")
    assert tools.count() == offers
    tools.nth(panel // 2).click()
    tools.last.click()  # cancel
    lone.until("stage.pencil === null")
    assert len(lone.told("event")) == 1


def test_the_picture_is_saved(lone, tmp_path):
    lone.give(message(TEN, cursor=5)).until(PAINTED)
    for kind in ("PNG", "SVG"):
        lone.page.locator(".saves summary").click()
        with lone.page.expect_download() as waiting:
            lone.page.locator(".saves button", has_text=kind).click()
        file = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(file)
        assert file.suffix == f".{kind.lower()}" and file.stat().st_size > 3000
    text = next(tmp_path.glob("*.svg")).read_text("utf-8")
    assert len(list(ElementTree.fromstring(text).iter())) > 50 and "NaN" not in text


def test_zoom_and_back(lone):
    lone.give(message(TEN, cursor=5)).until(PAINTED)
    lone.page.locator(".stage canvas").first.hover()
    lone.page.keyboard.down("Control")
    lone.page.mouse.wheel(0, -60)
    lone.page.keyboard.up("Control")
    lone.until("stage.panels[0].zoomed")
    assert lone.see("stage.panels[0].x.high - stage.panels[0].x.low") < 2
    lone.page.locator(".stage canvas").first.dblclick()
    assert lone.see("[stage.panels[0].x.low, stage.panels[0].x.high]") == [-1, 1]


def test_speed(lone):
    lone.give(message([frame(i) for i in range(60)], fps=5)).until(PAINTED)
    lone.page.get_by_label("Speed").select_option("4")
    lone.until("stage.speed === 4")
    lone.give(message(TEN, tape="other")).until("root.dataset.tape === 'other'")
    assert lone.page.get_by_label("Speed").input_value() == "4"
