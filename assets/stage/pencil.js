// Drawing by hand: points over a panel, or a picture on a grid of pixels.

import { alpha, marked } from "./paint.js";

const SPACING = 5; // CSS pixels between two points of a stroke

/** Collects strokes as points in the units of the axes. */
export class Points {
  constructor(panel) {
    this.panel = panel;
    this.strokes = [];
  }

  down(panel, px, py) {
    if (panel !== this.panel) return false;
    this.strokes.push([]);
    this.last = [-99, -99];
    this.move(panel, px, py);
    return true;
  }

  move(panel, px, py) {
    if (Math.hypot(px - this.last[0], py - this.last[1]) < SPACING) return;
    this.last = [px, py];
    this.strokes.at(-1).push([panel.x.value(px), panel.y.value(py)]);
  }

  up() {}

  undo() {
    this.strokes.pop();
  }

  clear() {
    this.strokes = [];
  }

  event() {
    return { type: "drawn", points: this.strokes.flat().map((p) => p.map((v) => +v.toFixed(3))) };
  }

  draw(panel, g) {
    if (panel !== this.panel) return;
    veil(g, panel, panel.spec.hint || "Draw the data here");
    this.strokes.flat().forEach(([x, y]) => marked(g, "dot", panel.stage.spec.roles.data[panel.theme.dark ? "dark" : "light"],
      panel.x.pixel(x), panel.y.pixel(y), 3));
  }
}

/** Paints a picture of `size` x `size` grey pixels with a soft brush. */
export class Picture {
  constructor(panel, size = 28) {
    Object.assign(this, { panel, size });
    this.fresh();
  }

  /** Begin another picture. */
  fresh() {
    this.past = [];
    this.told = null;
    this.pixels = new Uint8Array(this.size * this.size);
  }

  get empty() {
    return !this.pixels.some(Boolean);
  }

  down(panel, px, py) {
    if (panel !== this.panel) return false;
    this.past.push(this.pixels.slice());
    this.last = null;
    this.busy = true;
    this.move(panel, px, py);
    return true;
  }

  box() {
    const { left, right, top, bottom } = this.panel;
    const edge = Math.min(right - left, bottom - top);
    return [(left + right - edge) / 2, (top + bottom - edge) / 2, edge];
  }

  move(panel, px, py) {
    const [x0, y0, edge] = this.box();
    const here = [((px - x0) / edge) * this.size, ((py - y0) / edge) * this.size];
    const from = this.last || here;
    const steps = Math.max(1, Math.ceil(Math.hypot(here[0] - from[0], here[1] - from[1]) * 2));
    for (let i = 1; i <= steps; i += 1) {
      this.dab(from[0] + ((here[0] - from[0]) * i) / steps, from[1] + ((here[1] - from[1]) * i) / steps);
    }
    this.last = here;
  }

  dab(cx, cy) {
    for (let r = Math.max(0, Math.floor(cy - 3)); r < Math.min(this.size, cy + 3); r += 1) {
      for (let c = Math.max(0, Math.floor(cx - 3)); c < Math.min(this.size, cx + 3); c += 1) {
        const d = Math.hypot(c + 0.5 - cx, r + 0.5 - cy);
        const v = Math.round(255 * Math.min(1, Math.max(0, 2.1 - d)));
        this.pixels[r * this.size + c] = Math.max(this.pixels[r * this.size + c], v);
      }
    }
  }

  up() {
    this.last = null;
    this.busy = false;
    this.say();
  }

  undo() {
    this.pixels = this.past.pop() || this.pixels;
    this.say();
  }

  clear() {
    this.pixels = new Uint8Array(this.size * this.size);
    this.say();
  }

  /** Where every stroke is taken up at once, tell the picture as it is, and as it was when it was last told. */
  say() {
    if (!this.panel.spec.live || (this.empty && !this.told)) return;
    const event = this.event();
    this.panel.stage.tell(event);
    this.told = event.pixels;
  }

  event() {
    return { type: "picture", size: this.size, pixels: [...this.pixels], before: this.told };
  }

  draw(panel, g) {
    if (panel !== this.panel) return;
    veil(g, panel, "");
    const [x0, y0, edge] = this.box();
    g.fillStyle = "#000";
    g.fillRect(x0, y0, edge, edge);
    const unit = edge / this.size;
    this.pixels.forEach((v, i) => {
      if (!v) return;
      g.fillStyle = `rgb(${v},${v},${v})`;
      g.fillRect(x0 + (i % this.size) * unit, y0 + Math.floor(i / this.size) * unit, unit + 0.4, unit + 0.4);
    });
    if (this.empty) words(g, panel, panel.spec.hint || "Draw here", "#ffffff");
  }
}

function veil(g, panel, text) {
  g.globalAlpha = 1;
  g.fillStyle = alpha(panel.theme.background, 0.78);
  g.fillRect(panel.left, panel.top, panel.right - panel.left, panel.bottom - panel.top);
  const empty = panel.stage.pencil.strokes && !panel.stage.pencil.strokes.length;
  if (text && empty) words(g, panel, text, panel.theme.ink);
}

function words(g, panel, text, colour) {
  g.fillStyle = colour;
  g.font = `${panel.present ? 24 : 16}px ${panel.theme.font}`;
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.fillText(text, (panel.left + panel.right) / 2, (panel.top + panel.bottom) / 2);
}
