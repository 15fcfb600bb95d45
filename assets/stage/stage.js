// The stage: holds a run's frames, plays them at the screen's own pace, and asks for more while they are wanted.

import { Panel } from "./panel.js";
import { Picture, Points } from "./pencil.js";
import { theme } from "./paint.js";
import { label } from "./axes.js";
import { Transport, keys } from "./transport.js";
import { svgOf } from "./svg.js";
import { Reel, decode } from "./wire.js";

const REST = 250; // ms that a cursor must rest before the page is told
const READING = 700; // ms between two refreshings of what one reads, while something plays
const LEAVE = 6000; // ms that a page may take to be left
const ARRIVED = 2500; // ms after which a new page that is still empty is looked at again, and then asked for anew
const PATIENCE = 4000; // ms before an unanswered request is asked again
const AGAIN = [800, 6400]; // ms before an event is told again that the page has not heard: at first, and at most
const STAY = 500; // ms that a stage that was taken down is kept, should it be put up again
const HUSH = 400; // ms that a run stands still when a knob is turned: the answer goes first
const HANDS = ".st-key-knobs, .st-key-views, .st-key-scenes"; // where a hand asks for another picture
const ACTS = ["pointerdown", "pointerup", "keydown"];
const GLANCE = 300; // ms after a message until it is looked whether what stands around the stage has changed its height
const SMALL = 155; // px of height below which a panel of a stack is hard to read

/** Whether two pictures differ in nothing but their runs, the ranges of their axes and the style of their layers. */
function alike(one, other) {
  const bones = (panel) => ({ ...panel, x: 0, y: 0, layers: panel.layers.map((layer) => ({ ...layer, style: 0 })) });
  const drawn = (spec) => JSON.stringify({ ...spec, id: "", cursor: null, statics: 0, panels: spec.panels.map(bones) });
  return !!one && drawn(one) === drawn(other);
}

/** Whether a panel holds nothing but rows of pictures. */
function strip(panel) {
  return !!panel && panel.spec.layers.every((layer) => layer.kind === "images");
}

class Stage {
  constructor(root) {
    this.root = root;
    this.born = performance.now();
    this.reels = [];
    this.statics = [];
    this.cursor = 0;
    this.speed = 1;
    this.asked = 0;
    this.pulls = 0;
    this.name = Math.random().toString(36).slice(2);
    this.unheard = [];
    this.later = [];
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.watch = new ResizeObserver(() => this.layout());
    this.watch.observe(root);
    window.addEventListener("resize", (this.resized = () => this.layout()));
    document.fonts.addEventListener("loadingdone", (this.lettered = () => this.restyle(true))); // drawn letters are of the old font
    this.hush = 0;
    this.glance = Infinity;
    this.asks = (event) => event.target.closest?.(HANDS) && (this.hush = performance.now() + HUSH);
    ACTS.forEach((act) => document.addEventListener(act, this.asks, { capture: true, passive: true }));
    requestAnimationFrame((this.loop = (now) => this.tick(now)));
  }

  /** Taken down: for good, or, as Streamlit does it while much arrives, to be put up again at once in the same place. */
  go() {
    clearTimeout(this.going);
    if (!this.root.isConnected) return this.close();
    this.going = setTimeout(() => this.close(), STAY);
  }

  stay() {
    if (!this.going) return;
    clearTimeout(this.going);
    this.going = null;
    this.pull();
  }

  close() {
    window.removeEventListener("resize", this.resized);
    document.fonts.removeEventListener("loadingdone", this.lettered);
    ACTS.forEach((act) => document.removeEventListener(act, this.asks, { capture: true }));
    this.watch.disconnect();
    this.closed = true;
  }

  /** A message from the page. */
  receive(bytes, send) {
    this.send = send;
    if (this.pencil?.busy) return void this.later.push(bytes); // a stroke is not cut off by an answer to the last one
    this.asked = 0;
    const { header, arrays } = decode(bytes);
    const [by, turn] = header.heard;
    if (by === this.name) this.unheard = this.unheard.filter((event) => event.turn > turn);
    if (header.spec) {
      this.hush = 0;
      this.arrange(header, arrays);
    }
    if (!this.spec || header.id !== this.spec.id) return this.pull(); // made for a picture that we do not hold
    header.tracks.forEach((track, i) => this.feed(this.reels[i], track, arrays));
    this.place(header.place);
    this.dirty = true;
    this.pull();
  }

  /** A stroke has come to its end. */
  drawn() {
    this.pencil?.up();
    this.later.splice(0).forEach((bytes) => this.receive(bytes, this.send));
  }

  /** Build the panels anew for a new picture, keeping what the visitor set. */
  arrange(header, arrays) {
    const { spec } = header;
    const held = this.spec;
    if (held?.id === spec.id) return;
    const sameView = held?.view === spec.view;
    const kept = new Map(this.reels.map((reel) => [reel.tape, reel]));
    this.spec = spec;
    this.statics = spec.statics.map((i) => arrays[i]);
    this.reels = header.tracks.map((track) => kept.get(track.tape) || this.reel(track));
    const fresh = !kept.has(header.tracks[0].tape);
    if (fresh) this.begin(spec, sameView);
    if (!this.pencil && alike(held, spec)) return this.renew();
    const pencil = sameView && this.pencil?.panel.spec.live ? this.pencil : null;
    const place = this.panels?.indexOf(pencil?.panel);
    this.pencil = null;
    this.theme = theme(this.root);
    this.panels = spec.panels.map((panel) => new Panel(panel, this));
    this.build();
    if (this.panels[place]?.spec.live) this.take(pencil, this.panels[place]);
    this.layout();
  }

  /** The same picture of another run: whatever stands stays. */
  renew() {
    const wishes = () => String(this.panels.map((panel) => panel.wish(1000)));
    const before = wishes();
    this.panels.forEach((panel, i) => panel.renew(this.spec.panels[i], this.reels));
    if (wishes() !== before) this.layout();
    this.dirty = true;
  }

  /** A new reel. If it begins with a run of which frames are held, it begins with those. */
  reel(track) {
    const reel = new Reel(track.tape);
    reel.opening = track.opening;
    const like = track.opening && this.reels.find((one) => one.opening === track.opening && one.opened);
    if (like) reel.take(0, like.frames.slice(0, like.opened));
    return reel;
  }

  begin(spec, sameView) {
    const held = sameView && spec.hold;
    const live = spec.follow && spec.cursor === null && !this.still;
    if (!held) this.cursor = 0;
    if (spec.cursor !== null) this.cursor = spec.cursor;
    this.playing = spec.cursor === null && !held && !live && !this.still;
    this.goal = held || spec.cursor !== null ? this.cursor : null; // where to go as the frames arrive
    if (live) this.goal = Infinity;
    this.told = performance.now();
    this.placed = null;
  }

  /** The page itself moves the cursor of a run that is held: by undo, the browser's Back, a scene chosen once more. */
  place([turn, frame]) {
    const moved = this.placed !== null && this.placed !== turn;
    this.placed = turn;
    if (!moved) return;
    this.cursor = 0;
    this.playing = frame === null && !this.still;
    this.goal = frame;
    this.sent = "";
    this.settle();
  }

  build() {
    this.row = document.createElement("div");
    this.row.className = "panels";
    this.columns = [];
    this.panels.forEach((panel) => {
      const last = this.columns.at(-1);
      const may = !this.spec.present || (strip(panel) && strip(last?.[0])); // a hall needs larger charts
      const joins = panel.spec.stack && last?.[0].spec.stack === panel.spec.stack && may;
      if (joins) last.push(panel);
      else this.columns.push([panel]);
    });
    this.columns.forEach((column) => {
      const element = document.createElement("div");
      element.className = "column";
      element.append(...column.map((panel) => panel.element));
      this.row.append(element);
    });
    this.transport = new Transport(this);
    this.readouts = document.createElement("div");
    this.readouts.className = "readouts";
    this.tools = document.createElement("div");
    this.tools.className = "tools";
    this.notice = document.createElement("div");
    this.notice.className = "notice";
    this.notice.setAttribute("role", "status");
    this.root.classList.toggle("present", !!this.spec.present);
    this.root.classList.toggle("bare", !!this.spec.bare);
    this.foot = document.createElement("div");
    this.foot.className = "foot";
    this.foot.append(this.readouts, this.tools);
    this.root.replaceChildren(this.row, this.notice, this.transport.element, this.foot);
    this.chips = null;
    this.transport.select.value = String(this.speed);
    this.panels.filter((panel) => panel.spec.draw).forEach((panel) => this.offer(panel));
  }

  feed(reel, track, arrays) {
    if (!reel || reel.tape !== track.tape) return;
    reel.take(track.start, track.frames.map((slots) => slots.map((i) => arrays[i])));
    reel.done ||= track.done && track.start + track.frames.length === reel.length;
    Object.assign(reel, { failure: track.failure, waiting: track.waiting, opened: track.opened });
  }

  get length() {
    return Math.max(0, ...this.reels.map((reel) => reel.length));
  }

  get done() {
    return this.reels.every((reel) => reel.done || reel.failure);
  }

  /** Whether the visitor is on the way to another page. What is said then would call the old page back. */
  get leaving() {
    const { at, from } = window.livesheetLeft || { at: -Infinity };
    return performance.now() - at < LEAVE && (this.born < at || location.pathname === from);
  }

  /** Ask for more frames while they are wanted: only then does anything compute. */
  pull(force = false) {
    if (!this.send || this.closed || this.going) return;
    if (performance.now() < this.hush) return void setTimeout(() => this.pull(), HUSH);
    const lost = !this.spec || (!this.length && !this.done);
    if (!force && !lost && (this.done || !(this.playing || this.reaching))) return;
    const now = performance.now();
    if (this.asked && now - this.asked < PATIENCE) return;
    this.asked = now;
    if (this.leaving) return; // asked again in a while, should the visitor stay after all
    this.pulls += 1;
    const have = Object.fromEntries(this.reels.map((reel) => [reel.tape, reel.length]));
    this.send.setTriggerValue("pull", { id: this.spec?.id ?? "", have, turn: this.pulls });
  }

  /** Whether a run has yet to come as far as the cursor wants to go. */
  get reaching() {
    return this.goal !== null && this.reels.some((reel) => !reel.done && !reel.failure && this.goal > reel.length - 1);
  }

  /** Tell the page what the visitor did, again and again until it says that it heard: a busy server drops requests. */
  tell(event) {
    this.pulls += 1;
    this.unheard.push({ ...event, turn: this.pulls });
    [this.patience] = AGAIN;
    this.insist();
  }

  insist() {
    this.spoken = performance.now();
    if (!this.leaving) this.send?.setTriggerValue("event", { by: this.name, events: [...this.unheard] });
  }

  /** What was asked or told and has had no answer for too long is said again. */
  remind(now) {
    if (this.asked && now - this.asked > PATIENCE) this.pull();
    if (!this.unheard.length || now - this.spoken < this.patience) return;
    this.patience = Math.min(2 * this.patience, AGAIN[1]);
    this.insist();
  }

  /** Whether the cursor moves by itself: it plays, or follows a run that is computed. */
  get moving() {
    return this.playing || this.goal === Infinity;
  }

  toggle() {
    if (this.goal === Infinity) return this.seek(this.cursor);
    if (!this.playing && this.done && this.cursor >= this.length - 1) this.cursor = 0;
    this.playing = !this.playing;
    this.goal = null;
    this.settle();
    this.pull();
  }

  seek(frame) {
    this.playing = false;
    this.goal = null;
    this.cursor = Math.min(Math.max(0, frame), Math.max(0, this.length - 1));
    this.settle();
  }

  step(by) {
    const next = Math.round(this.cursor) + by;
    this.seek(next);
    if (next > this.length - 1 && !this.done) {
      this.goal = next;
      this.pull();
    }
  }

  /** Tell the page where the cursor is, once it rests: for the link and for the numbers in the formula. */
  settle() {
    this.dirty = true;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.report(), REST);
  }

  /** Where the cursor is and whether it moves, told only when that is news. */
  report() {
    const news = { frame: Math.round(this.cursor), playing: this.moving, tape: this.reels[0]?.tape };
    const text = JSON.stringify(news);
    if (text === this.sent || this.closed || this.spec.bare || this.leaving) return;
    this.sent = text;
    this.told = performance.now();
    this.pulls += 1;
    address(news);
    this.send?.setStateValue("cursor", { ...news, turn: this.pulls });
  }

  tick(now) {
    if (this.closed) return;
    if (!this.root.isConnected) this.lost = (this.lost || 0) + 1;
    if (this.lost > 600) return this.close();
    requestAnimationFrame(this.loop);
    const elapsed = Math.min(0.1, (now - (this.before || now)) / 1000);
    this.before = now;
    if (now < this.hush) return;
    if (!this.spec || !this.length) return this.idle(now);
    this.advance(elapsed);
    if (this.moving && now - this.told > READING) this.report();
    this.remind(now);
    if (now > this.glance) {
      this.glance = Infinity;
      this.layout();
    }
    if (!this.dirty) return;
    this.dirty = false;
    this.paint();
  }

  /** Nothing to show yet: say why, and ask again when there was no answer. */
  idle(now) {
    if (this.spec && this.dirty) this.complain();
    this.remind(now);
  }

  advance(elapsed) {
    const last = this.length - 1;
    if (this.goal !== null) {
      const at = Math.min(this.goal, last);
      if (at !== this.cursor) this.dirty = true;
      this.cursor = at;
      if (!this.reaching) {
        this.goal = null;
        this.settle();
      }
    }
    if (!this.playing) return;
    const before = this.cursor;
    this.cursor = Math.min(last, before + elapsed * this.spec.fps * this.speed);
    if (this.cursor !== before) this.dirty = true;
    if (this.cursor < last || !this.done) return;
    if (this.spec.bare) return this.again(elapsed);
    this.playing = false;
    this.settle();
  }

  /** A thumbnail rests at its end for two seconds, then begins again. */
  again(elapsed) {
    this.rested = (this.rested || 0) + elapsed;
    if (this.rested < 2) return;
    this.rested = 0;
    this.cursor = 0;
  }

  paint() {
    const cursor = this.still ? Math.round(this.cursor) : this.cursor;
    this.panels.forEach((panel) => panel.draw(cursor));
    this.transport.show();
    this.numbers(cursor);
    if (!this.spec.bare) document.querySelector(".st-key-reading")?.classList.toggle("behind", this.moving);
    this.complain();
    this.root.dataset.painted = String(1 + +(this.root.dataset.painted || 0));
    this.root.dataset.frame = String(Math.round(this.cursor));
    this.root.dataset.tape = this.reels[0].tape;
    this.root.dataset.length = String(this.length);
    this.root.dataset.done = String(this.done);
  }

  /** Why a run stopped, or how far the one is that must come first. */
  complain() {
    const waiting = this.reels.map((reel) => reel.waiting).find((part) => part !== null && part !== undefined);
    const wait = waiting === undefined ? "" : `The network learns first: ${Math.round(100 * waiting)} %`;
    const text = this.reels.map((reel) => reel.failure).find(Boolean) || wait;
    const news = !text !== !this.notice.textContent;
    if (this.notice.textContent !== text) this.notice.textContent = text;
    if (news) this.layout();
    this.notice.classList.toggle("waiting", !!wait);
    this.notice.style.setProperty("--part", `${100 * (waiting || 0)}%`);
  }

  /** The numbers under the panels, each with its error and how far it may be trusted. */
  numbers(cursor) {
    if (!this.spec.readouts.length) return;
    const fresh = !this.chips;
    if (fresh) this.chips = this.spec.readouts.map((readout) => this.chip(readout));
    this.spec.readouts.forEach((readout, i) => {
      const texts = this.reels.map((reel) => this.value(reel, readout, i, cursor)).filter(Boolean);
      this.chips[i].parentElement.hidden = !texts.some((one) => one !== "–");
      const text = texts.length > 1 ? `A ${texts[1]} · B ${texts[0]}` : texts[0] || "–";
      if (this.chips[i].textContent !== text) this.chips[i].textContent = text;
    });
    if (fresh) this.layout();
  }

  /** In a hall there are two rows of numbers at most: the picture needs the room. */
  brief(chips) {
    chips.forEach((chip) => chip.classList.remove("over"));
    const tops = chips.map((chip) => chip.offsetTop);
    const second = [...new Set(tops)][1] ?? Infinity;
    chips.forEach((chip, i) => chip.classList.toggle("over", tops[i] > second));
  }

  /** Keep room for the numbers that are yet to come, so that nothing moves when one of them appears. */
  reserve(width) {
    const all = (this.chips ?? []).map((output) => output.parentElement);
    const missing = all.filter((chip) => chip.hidden);
    missing.forEach((chip) => {
      chip.hidden = false;
      chip.querySelector("output").textContent = "88.88 %"; // about as long as it will be
    });
    if (this.spec.present) this.brief(all);
    if (width !== this.reserved) this.readouts.style.minHeight = "";
    this.reserved = width;
    this.readouts.style.minHeight = `${this.readouts.offsetHeight}px`;
    missing.forEach((chip) => (chip.hidden = true));
  }

  chip(readout) {
    const chip = document.createElement("span");
    chip.className = "chip";
    if (readout.help) chip.title = readout.help;
    chip.innerHTML = "<b></b> <output></output> <i></i>";
    chip.querySelector("b").textContent = readout.label;
    chip.querySelector("i").textContent = readout.trust;
    this.readouts.append(chip);
    return chip.querySelector("output");
  }

  value(reel, readout, i, cursor) {
    const array = reel.at(Math.round(cursor))?.at(-1); // a pinned run may have another number of layers
    if (!array) return "";
    const [value, error] = [array.data[i * 2], array.data[i * 2 + 1]];
    if (!Number.isFinite(value)) return "–";
    const scale = readout.percent ? 100 : 1;
    const text = label(Number.isInteger(value) ? value * scale : +(value * scale).toPrecision(readout.digits));
    const spread = Number.isFinite(error) ? ` ± ${label(+(error * scale).toPrecision(2))}` : "";
    return `${text}${spread}${readout.percent ? " %" : ""}`;
  }

  layout() {
    if (!this.spec || !this.panels) return;
    const width = this.root.clientWidth;
    if (!width) return;
    this.reserve(width);
    const narrow = width < 560;
    const gap = 14;
    this.row.classList.toggle("narrow", narrow);
    const weights = this.columns.map((column) => column[0].spec.weight);
    const total = weights.reduce((a, b) => a + b, 0);
    const widths = weights.map((w) => (narrow ? width : ((width - gap * (weights.length - 1)) * w) / total));
    this.columns.forEach((column, i) => {
      column[0].element.parentElement.style.width = `${widths[i]}px`;
    });
    if (narrow) this.columns.flat().forEach((panel) => panel.resize(width, this.upright(panel, width)));
    else this.level(widths);
    this.dirty = true;
  }

  /** Height of a panel that has the whole width of a phone. */
  upright(panel, width) {
    panel.caption.style.height = "";
    const tall = 0.72 * (panel.spec.axes ? 1 : Math.min(1, panel.spec.share));
    const most = this.spec.bare ? width : panel.spec.equal ? 420 : width * tall; // thumbnails are all square
    return Math.floor(Math.min(panel.wish(width), most, 420));
  }

  /** Panels side by side: all columns equally tall; captions of lone panels too, so that their plots stand on one line. */
  level(widths) {
    this.panels.forEach((panel) => (panel.caption.style.height = ""));
    const heads = this.columns.filter((column) => column.length === 1).map((column) => column[0].caption);
    const head = Math.max(...heads.map((caption) => caption.offsetHeight));
    heads.forEach((caption) => (caption.style.height = `${head}px`));
    const captions = (column) => column.reduce((sum, panel) => sum + panel.caption.offsetHeight, 0);
    const most = this.columns.map(captions).reduce((a, b) => Math.max(a, b));
    const room = this.room() - most;
    const wishes = this.columns.map((column, i) => column.reduce((sum, panel) => sum + panel.wish(widths[i]), 0));
    const wish = Math.max(...wishes.filter((one) => one < Infinity), 0) || room;
    const stacks = this.columns.filter((column) => column.length > 1);
    const small = stacks.map((column) => {
      const shares = column.map((panel) => panel.spec.share);
      return (SMALL * shares.reduce((a, b) => a + b, 0)) / Math.min(...shares) - (most - captions(column));
    });
    const hall = this.spec.present ? 0.85 * room : 0; // a hall sees no empty half of a screen
    const wanted = Math.max(wish, hall, ...small);
    const plots = Math.max(180, Math.min(room, wanted));
    this.columns.forEach((column, i) => {
      const shares = column.reduce((sum, panel) => sum + panel.spec.share, 0);
      const height = (plots + most - captions(column)) / shares;
      column.forEach((panel) => panel.resize(Math.floor(widths[i]), Math.floor(height * panel.spec.share)));
    });
  }

  /** Height for the panels so that the transport and the numbers stay on the screen. */
  room() {
    const formula = this.spec.present ? document.querySelector(".st-key-reading")?.offsetHeight || 0 : 0;
    const under = formula + this.transport.element.offsetHeight + this.foot.offsetHeight + this.notice.offsetHeight;
    const scroller = this.root.closest('[data-testid="stMain"]');
    const top = this.root.getBoundingClientRect().top + (scroller?.scrollTop || 0);
    if (this.spec.bare) return 260;
    const most = this.spec.present ? 1600 : 620;
    return Math.max(200, Math.min(most, window.innerHeight - top - under - 34));
  }

  /** Take the theme's colours, if they are others, or if the letters are. */
  restyle(lettered = false) {
    if (!this.spec) return;
    const worn = theme(this.root);
    if (!lettered && JSON.stringify(worn) === JSON.stringify(this.theme)) return;
    this.theme = worn;
    this.panels.forEach((panel) => panel.dress());
    this.dirty = true;
    this.layout();
  }

  /** Offer to draw in a panel, with what one needs to finish, mend or leave. */
  offer(panel) {
    const kinds = { points: [Points, "Draw your own data"], picture: [Picture, "Draw your own picture"] };
    const [Kind, title] = kinds[panel.spec.draw];
    this.tools.append(this.textButton(`✎ ${title}`, () => this.take(new Kind(panel), panel)));
  }

  /** Take a pencil up, or go on with it over a panel that was built anew. */
  take(pencil, panel) {
    this.pencil = Object.assign(pencil, { panel });
    panel.canvas.style.touchAction = "none";
    this.tools.replaceChildren(...(panel.spec.live ? this.liveTools(panel) : this.drawingTools(panel)));
    this.layout();
    this.dirty = true;
  }

  /** Lay the pencil down. */
  leave(panel) {
    this.pencil = null;
    panel.canvas.style.touchAction = "";
    this.tools.replaceChildren();
    this.panels.filter((p) => p.spec.draw).forEach((p) => this.offer(p));
    this.layout();
  }

  /** A button of the pencil's: one of its acts. */
  act(text, name) {
    return this.textButton(text, () => {
      this.pencil[name]();
      this.dirty = true;
    });
  }

  drawingTools(panel) {
    const use = this.textButton("Use it", () => {
      this.tell(this.pencil.event());
      this.leave(panel);
    });
    use.className = "primary";
    return [use, this.act("Undo", "undo"), this.act("Clear", "clear"), this.textButton("Cancel", () => this.leave(panel))];
  }

  /** Where each stroke is taken up at once, there is nothing to use or to cancel: another picture, or done. */
  liveTools(panel) {
    const next = this.textButton("Next", () => {
      if (this.pencil.empty) this.tell(this.pencil.event());
      this.pencil.fresh();
      this.dirty = true;
    });
    next.className = "primary";
    return [this.act("Undo", "undo"), this.act("Clear", "clear"), next, this.textButton("Done", () => this.leave(panel))];
  }

  textButton(text, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", act);
    return button;
  }

  save(kind) {
    const name = `livesheet-${this.spec.view}-${Math.round(this.cursor)}`;
    if (kind === "SVG") {
      const text = svgOf(this.panels, this.cursor, this.theme.background);
      download(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
    } else this.composed().toBlob((blob) => download(blob, `${name}.png`));
  }

  composed() {
    const k = this.panels[0].sharp;
    const sheet = document.createElement("canvas");
    sheet.width = this.panels.reduce((sum, p) => sum + p.width + 12, 0) * k;
    sheet.height = (Math.max(...this.panels.map((p) => p.height)) + 30) * k;
    const g = sheet.getContext("2d");
    g.fillStyle = this.theme.background;
    g.fillRect(0, 0, sheet.width, sheet.height);
    let x = 0;
    this.panels.forEach((panel) => {
      g.fillStyle = this.theme.ink;
      g.font = `600 ${15 * k}px ${this.theme.font}`;
      g.fillText(panel.spec.title, (x + panel.left) * k, 19 * k);
      g.drawImage(panel.canvas, x * k, 28 * k);
      x += panel.width + 12;
    });
    return sheet;
  }
}

/** The link follows the cursor, without an entry in the browser's history; the page will say the same of itself. */
function address({ frame, playing }) {
  const words = location.search.slice(1).split("&").filter((word) => word && !word.startsWith("frame="));
  const before = words.findIndex((word) => /^(pin|present)=/.test(word));
  if (!playing) words.splice(before < 0 ? words.length : before, 0, `frame=${frame}`);
  const search = words.length ? `?${words.join("&")}` : "";
  if (search === location.search) return;
  history.replaceState(history.state, "", location.pathname + search + location.hash);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const stages = new WeakMap();

/** The document hears the keys for whatever stage the page has, so that none is lost while one is put up anew. */
function hear() {
  document.removeEventListener("keydown", window.livesheetKeys, true);
  const all = () => [...document.querySelectorAll(".stage")].map((root) => root.stage);
  window.livesheetKeys = keys(() => all().find((stage) => stage?.spec && !stage.spec.bare && !stage.closed));
  document.addEventListener("keydown", window.livesheetKeys, true);
  ["pointerdown", "click"].forEach((kind) => {
    document.removeEventListener(kind, window.livesheetLeave, true);
    document.addEventListener(kind, leave, true);
  });
  window.removeEventListener("popstate", window.livesheetLeave);
  window.addEventListener("popstate", leave);
  window.livesheetLeave = leave;
}

/** Note that a link to another page was pressed, or the browser's own Back. */
function leave(e) {
  const link = e.type === "popstate" || e.target.closest?.("[data-testid^=stPageLink], [data-testid^=stTopNav]");
  if (!link || e.ctrlKey || e.metaKey) return;
  window.livesheetLeft = { at: performance.now(), from: location.pathname };
  clearTimeout(window.livesheetArrival);
  window.livesheetArrival = setTimeout(arrive, ARRIVED, 1);
}

/** A request of the old page that came too late can leave the new one empty: ask for it anew. The address says it all. */
function arrive(again) {
  const page = document.querySelector("[data-testid=stMain]") ?? document.body;
  if (page.innerText.trim() || page.querySelector(".stage")) return;
  if (again) window.livesheetArrival = setTimeout(arrive, ARRIVED, 0);
  else location.reload();
}

export default function mount({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".stage");
  let stage = stages.get(root);
  if (!stage || stage.closed) {
    stage = new Stage(root);
    stages.set(root, stage);
    hear();
    root.stage = stage;
  }
  stage.stay();
  if (data instanceof Uint8Array && data !== stage.latest) {
    stage.latest = data;
    stage.receive(data, { setStateValue, setTriggerValue });
  }
  stage.restyle();
  stage.glance = Math.min(stage.glance, performance.now() + GLANCE);
  return () => stage.go();
}
