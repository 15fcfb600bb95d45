"""Several visitors at once, and none: who watches pays, and nobody watching means nothing computing."""

import time

from tests.browser.declared import TIMED, TRAINING, WALK

LONG = {"view": TRAINING[1], "train_steps": "3000", "width": "128"}


def test_two_visitors_at_once(visit):
    one = visit().open(TRAINING[0], **LONG)
    two = visit().open(WALK[0], view=WALK[1], seed="5")
    one.until("stage.length > 5 && stage.playing")
    two.until("stage.length > 5 && stage.playing")
    tape = two.data("tape")
    two.press("s").until(f"root.dataset.tape !== {tape!r} && stage.length > 3")
    held = one.see("stage.length")
    one.until(f"stage.length > {held}")
    assert TRAINING[1] in one.data("tape") and WALK[1] in two.data("tape")


def test_two_visitors_of_one_run_see_the_same(visit):
    link = dict(view=WALK[1], gap="7", frame="30")
    one, two = visit().open(WALK[0], **link), visit().open(WALK[0], **link)
    assert one.settled().pixels() == two.settled().pixels()
    two.press("s").until("root.dataset.tape.includes('seed')")
    assert "seed" not in one.data("tape") and one.see("stage.cursor") == 30


def test_a_visitor_in_two_tabs(context, server, visit):
    first = visit()
    second = type(first)(first.page.context, server.url)
    first.open(WALK[0], view=WALK[1], frame="3").settled()
    second.open(TIMED[0], view=TIMED[1], frame="4").settled()
    first.press("s").until("root.dataset.tape.includes('seed')")
    assert "seed" not in second.data("tape")
    second.check()


def busy(server, seconds=1.5):
    """The share of one core that the server uses."""
    time.sleep(1)  # what was begun is finished
    before = server.cpu
    time.sleep(seconds)
    return (server.cpu - before) / seconds


def test_a_closed_tab_ends_the_work(visit, server):
    tab = visit().open(TRAINING[0], **LONG, seed="11").until("stage.length > 3")
    assert not tab.see("stage.done")
    tab.check().page.close()
    assert busy(server) < 0.1


def test_a_pause_ends_the_work(visit, server):
    tab = visit().open(TRAINING[0], **LONG, seed="12").until("stage.length > 3").press("Space")
    tab.until("!stage.playing").settled()
    held = tab.see("stage.length")
    assert busy(server) < 0.1
    assert tab.see("stage.length") == held and not tab.see("stage.done")
    tab.press("Space").until(f"stage.length > {held}")
