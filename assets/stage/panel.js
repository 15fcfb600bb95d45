// One panel: a canvas with axes, its layers, a read-out under the pointer, zoom, and places to drag.

import { Axis, label } from "./axes.js";
import { LAYERS } from "./layers.js";
import { alpha } from "./paint.js";
import { turned, view } from "./relief.js";

const REACH = 14; // how near a pointer must come to something, in CSS pixels

/** A label, or where it is too long for its axis what stands before its first comma. */
function fitting(g, text, room) {
  return g.measureText(text).width > room ? text.split(",")[0] : text;
}

export class Panel {
  constructor(spec, stage) {
    Object.assign(this, { spec, stage, reels: stage.reels, x: new Axis(spec.x), y: new Axis(spec.y) });
    this.eye = view(); // from where a surface in space is seen
    this.moved = new Map(); // layer -> where the visitor dragged it
    this.build();
    this.listen();
  }

  build() {
    this.element = document.createElement("figure");
    this.element.className = "panel";
    this.element.innerHTML = `<figcaption><span class="title"></span><span class="legend"></span></figcaption>
      <canvas role="img" tabindex="0"></canvas><div class="tip" hidden></div>`;
    this.element.querySelector(".title").textContent = this.spec.title;
    this.caption = this.element.querySelector("figcaption");
    this.canvas = this.element.querySelector("canvas");
    this.canvas.setAttribute("aria-label", this.spec.alt || this.spec.title);
    this.tip = this.element.querySelector(".tip");
    this.g = this.canvas.getContext("2d");
  }

  /** Show other runs; a view that the visitor chose stays while the axes do. */
  renew(spec, reels) {
    const differ = (part) => JSON.stringify(part(spec)) !== JSON.stringify(part(this.spec));
    const [axes, layers] = [differ((one) => [one.x, one.y]), differ((one) => one.layers)];
    Object.assign(this, { spec, reels, held: null });
    this.moved.clear();
    if (axes) Object.assign(this, { x: new Axis(spec.x), y: new Axis(spec.y) });
    if (layers) this.dress();
    if (axes) this.frame();
  }

  /** Fit into `width` x `height` CSS pixels. */
  resize(width, height) {
    const sharp = Math.min(window.devicePixelRatio || 1, 3);
    if (this.width === width && this.height === height && this.sharp === sharp) return;
    this.sharp = sharp;
    this.present = this.stage.spec.present;
    this.font = this.present ? 18 : 12;
    [this.width, this.height] = [width, height];
    this.canvas.style.height = `${height}px`;
    this.dress();
    this.frame();
  }

  /** Take the theme's colours. */
  dress() {
    this.theme = this.stage.theme;
    this.held = null;
    const shade = this.theme.dark ? "dark" : "light";
    this.layers = this.spec.layers.map((layer) => {
      const role = this.stage.spec.roles[layer.role];
      const dash = ["contours", "arrows", "trail"].includes(layer.kind) ? "solid" : role.dash; // too short to be dashed
      return { ...layer, colour: role[shade], dash, marker: role.marker };
    });
    if (!this.spec.legend) return;
    const seen = new Set();
    this.element.querySelector(".legend").replaceChildren(
      ...this.layers.filter((l) => l.name && !seen.has(l.name) && seen.add(l.name)).map((l) => this.key(l)),
    );
  }

  key(layer) {
    const item = document.createElement("span");
    const swatch = document.createElement("i");
    swatch.className = ["adapted", "curve", "path", "contours", "arrows", "trail", "metric"].includes(layer.kind) ? "line" : layer.kind;
    if (["cloud", "marks"].includes(layer.kind)) swatch.classList.add(layer.style.hollow ? "ring" : layer.marker);
    swatch.style.color = layer.colour;
    swatch.style.borderTopStyle = layer.track ? "dotted" : { dash: "dashed", dot: "dotted" }[layer.style.dash || layer.dash] || "solid";
    if (layer.kind === "field" && layer.style.colours !== "tint") swatch.classList.add(layer.style.colours);
    item.append(swatch, layer.name);
    return item;
  }

  /** Lay the plotting rectangle out, with equal units where space is space. */
  frame() {
    const bare = !this.spec.axes;
    const margins = this.present ? [86, 14, 10, 66] : [50, 12, 6, 40];
    const [left, right, top, bottom] = bare ? [2, 2, 2, 2] : margins;
    Object.assign(this, { left, top, right: this.width - right, bottom: this.height - bottom });
    if (this.spec.equal) this.square();
    this.x.place(this.left, this.right);
    this.y.place(this.bottom, this.top);
    this.held = null;
  }

  square() {
    const [w, h] = [this.x.home[1] - this.x.home[0], this.y.home[1] - this.y.home[0]];
    const unit = Math.min((this.right - this.left) / w, (this.bottom - this.top) / h);
    const spareX = (this.right - this.left - unit * w) / 2;
    this.left += spareX;
    this.right -= spareX;
    this.bottom = this.top + unit * h;
  }

  /** Height that the panel would like at `width`. */
  wish(width) {
    if (!this.spec.equal) return Infinity;
    const [across, down] = !this.spec.axes ? [4, 4] : this.stage.spec.present ? [100, 76] : [62, 46];
    const ratio = (this.y.home[1] - this.y.home[0]) / (this.x.home[1] - this.x.home[0]);
    return (width - across) * ratio + down;
  }

  /** Whether this is a surface in space, which a drag turns. */
  get solid() {
    return this.spec.layers.some((layer) => layer.kind === "relief");
  }

  array(layer, cursor) {
    if (this.moved.has(layer.name)) return this.moved.get(layer.name);
    if (layer.slot < 0) return this.stage.statics[layer.fixed];
    return this.reels[layer.track]?.between(layer.slot, cursor);
  }

  /** Give the canvas its pixels, which clears it: only when it is drawn at once, or it would flash. */
  fit() {
    const [width, height] = [this.width, this.height].map((edge) => Math.round(edge * this.sharp));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
  }

  draw(cursor, g = this.g) {
    this.fit();
    const arrays = this.layers.map((layer) => this.array(layer, cursor));
    const done = this.vector ? 0 : this.rest(arrays, cursor);
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.vector) this.ground(g);
    else g.drawImage(this.under, 0, 0);
    this.inside(g, () => {
      this.stack(g, arrays, done, this.layers.length, cursor);
      this.crosshair(g);
      this.stage.pencil?.draw(this, g);
    });
  }

  /** Keep the axes and the lowest layers, as far as they rest, as one picture; say how many layers that holds. */
  rest(arrays, cursor) {
    let n = 0;
    while (n < arrays.length && !["adapted", "curve", "atlas", "metric"].includes(this.layers[n].kind) && arrays[n] === this.before?.[n]) n += 1;
    this.before = arrays;
    const held = this.held && this.held.length === n && this.held.every((array, i) => array === arrays[i]);
    if (held) return n;
    this.under ||= document.createElement("canvas");
    Object.assign(this.under, { width: this.canvas.width, height: this.canvas.height });
    const g = this.under.getContext("2d");
    this.ground(g);
    this.inside(g, () => this.stack(g, arrays, 0, n, cursor));
    this.held = arrays.slice(0, n);
    return n;
  }

  ground(g) {
    g.setTransform(this.sharp, 0, 0, this.sharp, 0, 0);
    if (this.spec.axes) this.grid(g);
    else if (this.spec.equal) {
      g.strokeStyle = alpha(this.theme.ink, 0.18);
      g.strokeRect(this.left + 0.5, this.top + 0.5, this.right - this.left - 1, this.bottom - this.top - 1);
    }
  }

  /** Draw within the plotting rectangle. */
  inside(g, act) {
    g.setTransform(this.sharp, 0, 0, this.sharp, 0, 0);
    g.save();
    g.beginPath();
    g.rect(this.left - 1, this.top - 1, this.right - this.left + 2, this.bottom - this.top + 2);
    if (this.spec.axes || this.spec.equal) g.clip();
    act();
    g.restore();
  }

  stack(g, arrays, from, to, cursor) {
    for (let i = from; i < to; i += 1) {
      if (!arrays[i]) continue;
      g.save();
      LAYERS[this.layers[i].kind](g, this, this.layers[i], arrays[i], cursor);
      g.restore();
    }
  }

  grid(g) {
    const { ink } = this.theme;
    g.font = `${this.font}px ${this.theme.font}`;
    g.strokeStyle = alpha(ink, 0.12);
    g.fillStyle = alpha(ink, 0.82);
    g.lineWidth = 1;
    g.setLineDash([]);
    const wide = this.right - this.left;
    this.rule(g, this.x.ticks(Math.max(2, wide / (this.font * 5))), (v) => this.tickX(g, v));
    this.rule(g, this.y.ticks(Math.max(2, (this.bottom - this.top) / (this.font * 3.6))), (v) => this.tickY(g, v));
    this.names(g);
  }

  rule(g, values, tick) {
    g.beginPath();
    values.forEach(tick);
    g.stroke();
  }

  tickX(g, v) {
    const x = Math.round(this.x.pixel(v)) + 0.5;
    if (x < this.left - 1 || x > this.right + 1) return;
    g.moveTo(x, this.top);
    g.lineTo(x, this.bottom + 3);
    g.textAlign = "center";
    g.textBaseline = "top";
    g.fillText(label(v), x, this.bottom + 5);
  }

  tickY(g, v) {
    const y = Math.round(this.y.pixel(v)) + 0.5;
    if (y < this.top - 1 || y > this.bottom + 1) return;
    g.moveTo(this.left - 3, y);
    g.lineTo(this.right, y);
    g.textAlign = "right";
    g.textBaseline = "middle";
    g.fillText(label(v), this.left - 6, y);
  }

  names(g) {
    const size = this.present ? 24 : 13;
    g.font = this.g.font = `${size}px ${this.theme.font}`;
    g.fillStyle = this.theme.ink;
    g.textAlign = "center";
    g.textBaseline = "bottom";
    const [across, below] = [this.right - this.left, this.bottom + this.font + size + (this.present ? 14 : 10)];
    g.fillText(fitting(this.g, this.spec.x.label, across), (this.left + this.right) / 2, below, across + 2 * (this.width - this.right));
    g.save();
    g.translate(this.left - (this.present ? 58 : 36), (this.top + this.bottom) / 2);
    g.rotate(-Math.PI / 2);
    g.fillText(fitting(this.g, this.spec.y.label, this.bottom - this.top), 0, 0);
    g.restore();
  }

  /** A fine cross where the pointer is, here and in every panel with the same axes. */
  crosshair(g) {
    const hover = this.stage.hover;
    if (!hover || !this.spec.axes || this.stage.pencil) return;
    const twin = hover.panel === this || this.twin(hover.panel);
    if (!twin || this.spec.curves !== hover.panel.spec.curves) return;
    const [x, y] = [this.x.pixel(hover.x), this.y.pixel(hover.y)];
    g.strokeStyle = alpha(this.theme.ink, 0.35);
    g.lineWidth = 1;
    g.setLineDash([3, 3]);
    g.beginPath();
    g.moveTo(x, this.top);
    g.lineTo(x, this.bottom);
    if (!this.spec.curves) {
      g.moveTo(this.left, y);
      g.lineTo(this.right, y);
    }
    g.stroke();
    g.setLineDash([]);
  }

  twin(other) {
    const same = (a, b) => a.name === b.name && a.home[0] === b.home[0] && a.home[1] === b.home[1];
    return same(this.x, other.x) && same(this.y, other.y);
  }

  listen() {
    const c = this.canvas;
    c.addEventListener("pointerdown", (e) => this.down(e));
    c.addEventListener("pointermove", (e) => this.move(e));
    c.addEventListener("pointerup", (e) => this.up(e));
    c.addEventListener("pointercancel", () => this.leave());
    c.addEventListener("pointerleave", () => !this.grip && this.leave());
    c.addEventListener("click", (e) => this.pick(e));
    c.addEventListener("dblclick", () => this.home());
    c.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
  }

  place(e) {
    const box = this.canvas.getBoundingClientRect();
    return [(e.clientX - box.left) * (this.width / box.width), (e.clientY - box.top) * (this.height / box.height)];
  }

  down(e) {
    const [px, py] = this.place(e);
    this.pressed = [px, py];
    if (this.stage.pencil?.down(this, px, py)) this.grip = { pencil: true };
    else if (this.grab(px, py)) this.grip = this.hold(this.grab(px, py), px, py);
    else if (this.spec.curves) this.grip = { scrub: true };
    else if (this.solid) this.grip = { turn: true };
    else if (this.zoomed && this.spec.axes) this.grip = { pan: true };
    if (!this.grip) return;
    this.grip.at = [px, py];
    this.canvas.setPointerCapture(e.pointerId);
    e.preventDefault();
    this.follow(px, py);
  }

  hold(layer, px, py) {
    return { layer, index: layer.kind === "cloud" ? this.closest(layer, px, py) : 0 };
  }

  move(e) {
    const [px, py] = this.place(e);
    if (this.grip) this.follow(px, py);
    const inside = px >= this.left && px <= this.right && py >= this.top && py <= this.bottom;
    const over = this.solid || this.grab(px, py) ? "grab" : this.near(px, py) >= 0 ? "pointer" : "";
    this.canvas.style.cursor = this.stage.pencil && over !== "grab" ? "crosshair" : over;
    this.stage.hover = inside ? { panel: this, x: this.x.value(px), y: this.y.value(py), px, py } : null;
    this.stage.dirty = true;
    this.read(inside && !this.stage.pencil, px, py);
  }

  follow(px, py) {
    const [x, y] = [this.x.value(px), this.y.value(py)];
    if (this.grip.pencil) this.stage.pencil.move(this, px, py);
    else if (this.grip.layer) this.drag(x, y);
    else if (this.grip.scrub) this.stage.seek(this.nearest(x));
    else if (this.grip.turn) {
      this.eye = turned(this.eye, px - this.grip.at[0], py - this.grip.at[1]);
      this.held = null;
      this.grip.at = [px, py];
    } else if (this.grip.pan) {
      this.x.zoom(1, px, px - this.grip.at[0]);
      this.y.zoom(1, py, py - this.grip.at[1]);
      this.frame();
      this.grip.at = [px, py];
    }
    this.stage.dirty = true;
  }

  /** Move what is held: a mark, or one point of a cloud, which stays inside the axes. */
  drag(x, y) {
    const { layer } = this.grip;
    if (layer.kind === "marks") return this.moved.set(layer.name, { data: new Float32Array([x, y]), shape: [1, 2] });
    const { data, shape } = this.array(layer, this.stage.cursor);
    const at = [x, y].map((v, i) => Math.min(Math.max(v, [this.x, this.y][i].home[0]), [this.x, this.y][i].home[1]));
    const moved = data.slice();
    moved.set(at, this.grip.index * shape[1]);
    return this.moved.set(layer.name, { data: moved, shape });
  }

  /** Tell the page what was dragged. */
  dropped({ kind, name, style }) {
    const { data, shape } = this.moved.get(name);
    if (kind === "marks") return this.stage.tell({ type: "drag", names: style.drag, values: [data[0], data[1]] });
    const points = Array.from({ length: shape[0] }, (_, i) => [...data.subarray(i * shape[1], i * shape[1] + 2)]);
    return this.stage.tell({ type: style.drag, tag: style.tag, index: this.grip.index, points });
  }

  up(e) {
    const { layer } = this.grip ?? {};
    if (layer?.style.pick && this.rested(...this.place(e))) this.moved.delete(layer.name); // no drag, a click
    else if (layer) this.dropped(layer);
    this.loosen();
    if (e.pointerType === "touch") this.leave();
  }

  /** Let go of whatever is held; a stroke ends there, also where the browser takes the pointer away. */
  loosen() {
    const drew = this.grip?.pencil;
    this.grip = null;
    if (drew) this.stage.drawn();
  }

  leave() {
    this.loosen();
    this.stage.hover = null;
    this.tip.hidden = true;
    this.stage.dirty = true;
  }

  /** A click that was no drag: the page is told which point it meant. */
  pick(e) {
    const [px, py] = this.place(e);
    const held = this.grab(px, py);
    const meant = this.rested(px, py) && !this.stage.pencil && (!held || held.style.pick);
    const index = meant ? this.near(px, py) : -1;
    if (index >= 0) this.stage.tell({ type: "pick", index, tag: this.pickable.style.tag });
  }

  /** Whether the pointer is about where it was pressed. */
  rested(px, py) {
    return Math.hypot(px - this.pressed?.[0], py - this.pressed?.[1]) < 4;
  }

  get pickable() {
    return this.layers.find((one) => one.kind === "cloud" && one.style.pick);
  }

  /** The number of the point to pick that is nearest to the pointer, or -1. */
  near(px, py) {
    return this.closest(this.pickable, px, py);
  }

  /** The number of the point of a layer that is nearest to the pointer and within reach, or -1. */
  closest(layer, px, py) {
    const array = layer && this.array(layer, this.stage.cursor);
    let [best, least] = [-1, REACH];
    for (let i = 0; array && i < array.shape[0]; i += 1) {
      const [x, y] = [array.data[i * array.shape[1]], array.data[i * array.shape[1] + 1]];
      const far = Math.hypot(this.x.pixel(x) - px, this.y.pixel(y) - py);
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  /** The draggable mark under the pointer, or the cloud of which a point lies there. */
  grab(px, py) {
    return this.layers.find((layer) => {
      if (layer.kind === "cloud" && layer.style.drag) return this.closest(layer, px, py) >= 0;
      if (layer.kind !== "marks" || !layer.style.drag?.length) return false;
      const array = this.array(layer, this.stage.cursor);
      return array && Math.hypot(this.x.pixel(array.data[0]) - px, this.y.pixel(array.data[1]) - py) < REACH;
    });
  }

  /** The frame whose curve point lies nearest to x. */
  nearest(x) {
    const layer = this.layers.find((l) => l.kind === "curve");
    const { frames } = this.reels[layer.track];
    let best = 0;
    frames.forEach((frame, i) => {
      const gap = (j) => Math.abs(this.x.turn(frames[j]?.[layer.slot]?.data[0] ?? Infinity) - this.x.turn(x));
      if (frame && gap(i) < gap(best)) best = i;
    });
    return best;
  }

  wheel(e) {
    if (!(e.ctrlKey || e.metaKey) || !this.spec.axes) return; // a plain wheel scrolls the page
    e.preventDefault();
    const [px, py] = this.place(e);
    const factor = Math.exp(-e.deltaY * 0.01);
    this.x.zoom(factor, px);
    this.y.zoom(factor, py);
    this.zoomed = true;
    this.frame();
    this.stage.dirty = true;
  }

  home() {
    this.eye = view();
    this.x.reset();
    this.y.reset();
    this.zoomed = false;
    this.frame();
    this.stage.dirty = true;
  }

  /** What lies under the pointer, in words. */
  read(inside, px, py) {
    const lines = inside && (this.spec.axes || this.spec.equal) ? this.words(px, py) : [];
    this.tip.hidden = !lines.length;
    if (!lines.length) return;
    this.tip.textContent = lines.join("\n");
    const flip = px > this.width / 2;
    this.tip.style.left = flip ? "" : `${px + 14}px`;
    this.tip.style.right = flip ? `${this.width - px + 14}px` : "";
    this.tip.style.top = `${this.canvas.offsetTop + Math.min(py + 12, this.height - 70)}px`;
  }

  words(px, py) {
    if (this.spec.curves) return this.valuesAt(this.nearest(this.x.value(px)));
    const short = (v) => label(+v.toPrecision(3));
    const lines = [`(${short(this.x.value(px))}, ${short(this.y.value(py))})`];
    this.layers.filter((l) => l.kind === "field").forEach((layer) => {
      const array = this.array(layer, this.stage.cursor);
      const value = array && this.sample(array, px, py);
      if (Number.isFinite(value)) lines.push(`${layer.name} ${short(value)}`);
    });
    return lines;
  }

  valuesAt(i) {
    const lines = [];
    this.layers.filter((l) => l.kind === "curve").forEach((layer) => {
      const point = this.reels[layer.track]?.at(i)?.[layer.slot]?.data;
      if (!point) return;
      if (!lines.length) lines.push(`${this.spec.x.label} ${label(+point[0].toPrecision(4))}`);
      lines.push(`${layer.name} ${label(+point[1].toPrecision(3))}`);
    });
    return lines;
  }

  sample({ data, shape }, px, py) {
    const across = (this.x.value(px) - this.x.home[0]) / (this.x.home[1] - this.x.home[0]);
    const up = (this.y.value(py) - this.y.home[0]) / (this.y.home[1] - this.y.home[0]);
    const at = (t, n) => Math.min(n - 1, Math.max(0, Math.floor(t * n)));
    return data[at(up, shape[0]) * shape[1] + at(across, shape[1])];
  }
}
