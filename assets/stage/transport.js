// Play, pause, step, scrub, speed and the keys for them; and saving the picture.

const ICONS = {
  reset: "M6 5h2v14H6zM20 5v14L9 12z",
  back: "M17 5v14L7 12z",
  play: "M7 4v16l13-8z",
  pause: "M6 4h4v16H6zM14 4h4v16h-4z",
  next: "M7 5v14l10-7z",
  save: "M5 19h14v2H5zM11 3h2v9l3.5-3.5 1.4 1.4L12 15.8 6.1 9.9l1.4-1.4L11 12z",
  draw: "M4 20l1-5L16 4l4 4L9 19zM14.5 5.5l4 4",
};
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const APART = 400; // ms between two presses of one key

export class Transport {
  constructor(stage) {
    this.stage = stage;
    this.element = document.createElement("div");
    this.element.className = "transport";
    this.element.append(
      this.button("reset", "Back to the start (R)", () => stage.seek(0)),
      this.button("back", "One frame back (←)", () => stage.step(-1)),
      this.button("play", "Play or pause (Space)", () => stage.toggle()),
      this.button("next", "One frame on (→)", () => stage.step(1)),
      this.slider(),
      this.counter(),
      this.speeds(),
      this.saves(),
    );
  }

  button(icon, title, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = icon;
    button.title = title;
    button.setAttribute("aria-label", title);
    button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[icon]}"/></svg>`;
    button.addEventListener("click", act);
    this[icon] = button;
    return button;
  }

  slider() {
    this.range = document.createElement("input");
    Object.assign(this.range, { type: "range", min: 0, step: "any", value: 0 });
    this.range.setAttribute("aria-label", "Frame");
    this.range.addEventListener("keydown", (e) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[e.key];
      if (!by) return;
      e.preventDefault();
      this.stage.step(by);
    });
    this.range.addEventListener("input", () => this.stage.seek(+this.range.value));
    return this.range;
  }

  counter() {
    this.count = document.createElement("output");
    return this.count;
  }

  speeds() {
    this.select = document.createElement("select");
    this.select.title = "Speed";
    this.select.setAttribute("aria-label", "Speed");
    SPEEDS.forEach((s) => this.select.add(new Option(`${s}×`, s, s === 1, s === 1)));
    this.select.addEventListener("change", () => {
      this.stage.speed = +this.select.value;
    });
    return this.select;
  }

  saves() {
    const menu = document.createElement("details");
    menu.className = "saves";
    menu.innerHTML = `<summary title="Save the picture" aria-label="Save the picture"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS.save}"/></svg></summary>`;
    const list = document.createElement("div");
    ["PNG", "SVG"].forEach((kind) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.addEventListener("click", () => {
        menu.open = false;
        this.stage.save(kind);
      });
      list.append(button);
    });
    menu.append(list);
    return menu;
  }

  /** Show where the stage is. */
  show() {
    const { cursor, moving: playing, spec } = this.stage;
    const { length, done } = this.stage.reels[0];
    const last = Math.max(0, length - 1);
    this.range.max = Math.max(1, last);
    this.range.value = cursor;
    const text = `${Math.round(cursor)} / ${last}${done ? "" : " …"}`;
    if (this.count.textContent !== text) this.count.textContent = text;
    this.range.setAttribute("aria-valuetext", `frame ${Math.round(cursor)} of ${last}`);
    if (this.shown !== playing) {
      this.shown = playing;
      this.play.querySelector("path").setAttribute("d", ICONS[playing ? "pause" : "play"]);
    }
    this.element.classList.toggle("present", !!spec.present);
  }
}

/** Keys that belong to the page, unless the visitor is typing or holds a control. */
export function keys(find) {
  const turn = { " ": (stage) => stage.toggle(), ArrowLeft: (stage) => stage.step(-1), ArrowRight: (stage) => stage.step(1), r: (stage) => stage.seek(0) };
  return (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || busy(e)) return;
    const stage = find();
    const act = turn[e.key.length > 1 ? e.key : e.key.toLowerCase()];
    const press = act ? stage && (() => act(stage)) : hotkey(e.key);
    if (!press) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    press();
  };
}

function busy(e) {
  const target = e.composedPath()[0];
  if (target.closest?.("input:not([type=range]), textarea, select, [contenteditable], [role=textbox], [role=combobox]")) return true;
  const held = target.closest?.("[role=slider], input[type=range], [role=radiogroup], [role=tablist]");
  if (held && e.key.startsWith("Arrow")) return true;
  return e.key === " " && !!target.closest?.("button, summary, a, [role=button], [role=checkbox], [role=tab]");
}

/** A key that stands for a button of the page: the page names such buttons hotkey_<key>. */
function hotkey(key) {
  if (!/^[1-9a-zA-Z]$/.test(key)) return null;
  const button = () => document.querySelector(`.st-key-hotkey_${key.toLowerCase()} button`);
  return button() ? () => spaced(key.toLowerCase(), () => button()?.click()) : null;
}

const pressed = new Map(); // key -> when it was or will be last pressed

/** Presses of one key that follow fast are spread out: Streamlit takes two clicks within one run for one. */
function spaced(key, click) {
  const now = performance.now();
  const due = Math.max(now, (pressed.get(key) ?? -Infinity) + APART);
  pressed.set(key, due);
  if (due > now) setTimeout(click, due - now);
  else click();
}
