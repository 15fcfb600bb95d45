// A network that adapts in the browser: a few steps of gradient descent on the examples under the visitor's hand.

import { alpha, marked, pen } from "./paint.js";

const GRID = 121; // places at which an adapted function is drawn
const FAINT = 61; // the same for the steps before
const FAR = 1e6; // weights that add up to more have run away
const inOrder = new WeakMap(); // examples -> the same by ascending x
const courses = new WeakMap(); // weights -> what became of them with the examples last asked for

/** The matrices of a weight vector: each layer's inputs, its constant one last, times its matrix. */
function matrices(data, sizes) {
  let at = 0;
  return sizes.slice(1).map((out, k) => {
    const [rows, columns] = [sizes[k] + 1, k < sizes.length - 2 ? out + 1 : out];
    const values = Float64Array.from(data.subarray(at, (at += rows * columns)));
    return { values, rows, columns };
  });
}

/** What each layer sees at x, and last the output; written into `seen`. */
export function forward(layers, x, seen) {
  seen[0][0] = x;
  seen[0][1] = 1;
  sums(layers[0], seen[0], seen[1]);
  return onwards(layers, 0, seen);
}

function sums({ values, rows, columns }, from, to) {
  to.fill(0);
  for (let i = 0; i < rows; i += 1) {
    const h = from[i];
    if (h === 0) continue;
    for (let o = 0, w = i * columns; o < columns; o += 1, w += 1) to[o] += h * values[w];
  }
}

/** The output, where seen[k + 1] holds the sums of layer k. */
function onwards(layers, k, seen) {
  for (let next = k + 1; next < layers.length; next += 1) {
    const units = seen[next];
    for (let o = 0; o < units.length; o += 1) if (!(units[o] > 0)) units[o] = 0;
    units[units.length - 1] = 1;
    sums(layers[next], units, seen[next + 1]);
  }
  return seen[layers.length][0];
}

export function rooms(layers) {
  return [new Float64Array(2), ...layers.map(({ columns }) => new Float64Array(columns))];
}

/**
 * The outputs at places in ascending order. Between two kinks of the first layer's units the sums of the second are
 * c + d x, and at a kink one unit joins or leaves them: a whole curve costs little more than its kinks.
 */
export function outputs(layers, places, seen = rooms(layers)) {
  const [{ values, columns }, second] = layers;
  const [c, d] = [new Float64Array(second.columns), new Float64Array(second.columns)];
  const joins = (i, slope, offset) => {
    for (let o = 0, w = i * second.columns; o < second.columns; o += 1, w += 1) {
      c[o] += offset * second.values[w];
      d[o] += slope * second.values[w];
    }
  };
  const kinks = [];
  joins(columns - 1, 0, 1);
  for (let i = 0; i < columns - 1; i += 1) {
    const [slope, offset] = [values[i], values[columns + i]];
    const at = -offset / slope;
    if (slope ? slope < 0 === at >= places[0] : offset > 0) joins(i, slope, offset);
    if (at >= places[0]) kinks.push({ at, i, slope: Math.abs(slope), offset: Math.sign(slope) * offset });
  }
  kinks.sort((one, other) => one.at - other.at);
  const found = new Float64Array(places.length);
  for (let p = 0, passed = 0; p < places.length; p += 1) {
    for (; passed < kinks.length && kinks[passed].at < places[p]; passed += 1) {
      const { i, slope, offset } = kinks[passed];
      joins(i, slope, offset);
    }
    for (let o = 0; o < c.length; o += 1) seen[2][o] = c[o] + d[o] * places[p];
    found[p] = onwards(layers, 1, seen);
  }
  return found;
}

/** Layers after one step down the mean squared error of examples (x, y); only the last one moves where `head`. */
function descended(layers, points, rate, head, { seen, slopes, on }) {
  const n = points.length / 2;
  const last = layers.length - 1;
  const next = layers.map((layer, k) => (head && k < last ? layer : { ...layer, values: layer.values.slice() }));
  for (let p = 0; p < n; p += 1) {
    slopes[last + 1][0] = (2 * rate * (forward(layers, points[2 * p], seen) - points[2 * p + 1])) / n;
    let count = 1; // how many units of the layer above have a slope; `on` holds their numbers
    on[last + 1][0] = 0;
    for (let k = last; k >= (head ? last : 0); k -= 1) {
      descend(next[k], seen[k], slopes[k + 1], on[k + 1], count);
      if (k && !head) count = back(layers[k], seen[k], slopes[k + 1], slopes[k], on[k + 1], on[k], count);
    }
  }
  return next;
}

/** Slopes in what a layer sees, from those in its sums: 0, and not listed, for units off and the one always on. */
function back({ values, rows, columns }, seen, above, below, on, found, count) {
  let many = 0;
  for (let i = 0; i < rows - 1; i += 1) {
    if (!(seen[i] > 0)) continue;
    let sum = 0;
    for (let j = 0; j < count; j += 1) sum += above[on[j]] * values[i * columns + on[j]];
    below[i] = sum;
    found[many] = i;
    many += 1;
  }
  return many;
}

function descend({ values, rows, columns }, seen, slopes, on, count) {
  for (let i = 0; i < rows; i += 1) {
    const h = seen[i];
    if (h === 0) continue;
    for (let j = 0; j < count; j += 1) values[i * columns + on[j]] -= h * slopes[on[j]];
  }
}

/** Whether the weights have not run away. */
function fine(layers) {
  let sum = 0;
  for (const { values } of layers) for (let w = 0; w < values.length; w += 1) sum += Math.abs(values[w]);
  return sum < FAR;
}

/** The weights before and after each of some inner steps; fewer where the steps diverge. */
export function adapted(data, points, { sizes, fast_lr: rate, head }, steps) {
  const key = [points, rate, head];
  let course = courses.get(data);
  if (!course || course.key.some((one, i) => one !== key[i])) {
    const start = matrices(data, sizes);
    const room = { seen: rooms(start), slopes: rooms(start), on: rooms(start).map(({ length }) => new Int32Array(length)) };
    course = { key, room, states: [start], lines: [], losses: [], judges: null, diverged: 0 };
    courses.set(data, course);
  }
  while (course.states.length <= steps && !course.diverged) {
    const next = descended(course.states.at(-1), points, rate, head, course.room);
    if (fine(next)) course.states.push(next);
    else course.diverged = course.states.length;
  }
  return course;
}

/** The mean squared error on examples (x, y). */
export function loss(layers, points, seen = rooms(layers)) {
  if (!inOrder.has(points)) inOrder.set(points, ordered(points));
  const { x, y } = inOrder.get(points);
  return outputs(layers, x, seen).reduce((sum, value, p) => sum + (value - y[p]) ** 2, 0) / x.length;
}

/** Examples by ascending x. */
function ordered(points) {
  const pairs = Array.from({ length: points.length / 2 }, (_, p) => [points[2 * p], points[2 * p + 1]]);
  pairs.sort(([one], [other]) => one - other);
  return { x: pairs.map(([x]) => x), y: pairs.map(([, y]) => y) };
}

/** The examples as they lie now, dragged or not: those of the cloud of that name, in whichever panel it is. */
function examples(panel, layer, name, cursor) {
  for (const one of panel.stage.panels) {
    const cloud = one.layers.find((other) => other.kind === "cloud" && other.name === name && other.track === layer.track);
    const array = cloud && one.array(cloud, cursor);
    if (array) return array.data;
  }
  return new Float32Array(layer.style[name === layer.style.inner ? "points" : "judges"].flat());
}

/** The adapted function, or its loss over the steps: `steps` inner steps, or as many as the cursor says. */
export function adaptation(g, panel, layer, { data }, cursor) {
  if (!data.length) return;
  const points = examples(panel, layer, layer.style.inner, cursor);
  const at = layer.style.steps < 0 ? cursor : layer.style.steps;
  const course = adapted(data, points, layer.style, Math.ceil(at));
  pen(g, panel, layer, layer.style.width);
  if (layer.style.draws === "loss") losses(g, panel, layer, course, at, cursor);
  else functions(g, panel, layer, course, at);
}

function functions(g, panel, layer, course, at) {
  const gone = course.diverged && at >= course.diverged;
  const last = course.states.length - 1;
  const low = Math.min(Math.floor(at), last);
  const part = Math.min(at, last) - low;
  if (layer.style.trail) for (let k = 0; k < low; k += 1) drawn(g, panel, course, k, 0.08 + (0.27 * (k + 1)) / (low + 1), FAINT);
  if (gone) return lost(g, panel, layer, course);
  drawn(g, panel, course, low, part ? 1 - 0.75 * part : 1);
  if (part) drawn(g, panel, course, low + 1, part);
}

function drawn(g, panel, course, k, opacity, grid = GRID) {
  const [low, high] = panel.x.home;
  const place = (i) => low + ((high - low) * i) / (grid - 1);
  if (course.lines[k]?.length !== grid) {
    const places = Float64Array.from({ length: grid }, (_, i) => place(i));
    course.lines[k] = outputs(course.states[k], places, course.room.seen);
  }
  g.globalAlpha = opacity;
  g.beginPath();
  course.lines[k].forEach((value, i) => {
    const y = panel.y.pixel(value);
    if (Number.isFinite(y)) g[i ? "lineTo" : "moveTo"](panel.x.pixel(place(i)), Math.min(Math.max(y, -9999), 9999));
  });
  g.stroke();
  g.globalAlpha = 1;
}

/** A word about steps that diverged, a line for each such layer. */
function lost(g, panel, layer, course) {
  const row = panel.layers.filter((one) => one.kind === "adapted").indexOf(layer);
  g.setLineDash([]);
  g.fillStyle = layer.colour;
  g.font = `600 ${panel.font}px ${panel.theme.font}`;
  g.textAlign = "left";
  g.textBaseline = "top";
  g.lineWidth = 4;
  g.strokeStyle = alpha(panel.theme.background, 0.85);
  const place = [panel.left + 8, panel.top + 6 + row * panel.font * 1.35];
  g.strokeText(`${layer.name}: diverged at step ${course.diverged}`, ...place);
  g.fillText(`${layer.name}: diverged at step ${course.diverged}`, ...place);
}

function losses(g, panel, layer, course, at, cursor) {
  const judges = examples(panel, layer, layer.style.judge, cursor);
  if (course.judges !== judges) Object.assign(course, { judges, losses: [] });
  const upto = Math.min(Math.floor(at), course.states.length - 1);
  for (let k = course.losses.length; k <= upto; k += 1) course.losses.push(loss(course.states[k], judges, course.room.seen));
  const heights = course.losses.slice(0, upto + 1).map((value) => panel.y.pixel(Math.max(value, panel.y.home[0])));
  if (!heights.every(Number.isFinite)) return;
  g.beginPath();
  heights.forEach((y, k) => g[k ? "lineTo" : "moveTo"](panel.x.pixel(k), Math.max(y, -9999)));
  if (course.diverged && at >= course.diverged) g.lineTo(panel.x.pixel(course.diverged), -9999);
  g.stroke();
  g.setLineDash([]);
  marked(g, "dot", layer.colour, panel.x.pixel(upto), heights.at(-1), panel.present ? 6 : 4);
}
