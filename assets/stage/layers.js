// How each kind of layer is drawn. Every function takes (g, panel, layer, array, cursor) and draws in CSS pixels.

import { adaptation } from "./adapt.js";
import { relief, trail } from "./relief.js";
import { CATEGORIES, alpha, canvasOf, greyed, marked, pen, ramp, sprite } from "./paint.js";
import { atlas, metric } from "./pointer.js";

function cloud(g, panel, layer, { data, shape }) {
  const [n, width] = shape;
  const size = layer.style.size * (panel.present ? 1.5 : 1);
  const marker = layer.style.hollow ? "ring" : layer.marker;
  const k = panel.sharp;
  g.globalAlpha = layer.style.opacity;
  for (let i = 0; i < n; i += 1) {
    const x = panel.x.pixel(data[i * width]);
    const y = panel.y.pixel(data[i * width + 1]);
    if (!(x > panel.left - 9 && x < panel.right + 9 && y > panel.top - 9 && y < panel.bottom + 9)) continue;
    const colour = width === 3 ? CATEGORIES[data[i * 3 + 2] % 10] : layer.colour;
    if (panel.vector) marked(g, marker, colour, x, y, size / 2);
    else {
      const stamp = sprite(marker, colour, size * k);
      g.drawImage(stamp, x - stamp.width / k / 2, y - stamp.height / k / 2, stamp.width / k, stamp.height / k);
    }
  }
}

function field(g, panel, layer, { data, shape }) {
  const [h, w] = shape;
  if (!h || !w) return;
  const { low, high, colours } = layer.style;
  const table = ramp(colours, layer.colour);
  const picture = new ImageData(w, h);
  for (let row = 0; row < h; row += 1) {
    for (let column = 0; column < w; column += 1) {
      const value = (data[(h - 1 - row) * w + column] - low) / (high - low);
      if (!Number.isFinite(value)) continue; // nothing is known there, so nothing is drawn
      const shade = Math.round(255 * Math.min(1, Math.max(0, value)));
      picture.data.set(table.subarray(shade * 4, shade * 4 + 4), (row * w + column) * 4);
    }
  }
  const x = [panel.x.pixel(panel.x.home[0]), panel.x.pixel(panel.x.home[1])];
  const y = [panel.y.pixel(panel.y.home[1]), panel.y.pixel(panel.y.home[0])];
  g.imageSmoothingEnabled = !layer.style.crisp;
  g.drawImage(canvasOf(picture), x[0], y[0], x[1] - x[0], y[1] - y[0]);
}

/** Marching squares: the two crossings of each cell, or four at a saddle. */
function contours(g, panel, layer, { data, shape }) {
  const [h, w] = shape;
  pen(g, panel, layer, 1.5);
  const px = (c) => panel.x.pixel(panel.x.home[0] + ((c + 0.5) / w) * (panel.x.home[1] - panel.x.home[0]));
  const py = (r) => panel.y.pixel(panel.y.home[0] + ((r + 0.5) / h) * (panel.y.home[1] - panel.y.home[0]));
  g.beginPath();
  layer.style.levels.forEach((level) => {
    for (let r = 0; r < h - 1; r += 1) {
      for (let c = 0; c < w - 1; c += 1) {
        const corner = [data[r * w + c], data[r * w + c + 1], data[(r + 1) * w + c + 1], data[(r + 1) * w + c]];
        const found = crossings(corner, level);
        found.forEach(([dc, dr], i) => g[i % 2 ? "lineTo" : "moveTo"](px(c + dc), py(r + dr)));
      }
    }
  });
  g.stroke();
}

const EDGES = [[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0]];

function crossings(corner, level) {
  const found = [];
  EDGES.forEach(([x0, y0, x1, y1], i) => {
    const [a, b] = [corner[i] - level, corner[(i + 1) % 4] - level];
    if (a < 0 !== b < 0) found.push([x0 + (a / (a - b)) * (x1 - x0), y0 + (a / (a - b)) * (y1 - y0)]);
  });
  return found;
}

function arrows(g, panel, layer, { data, shape }) {
  pen(g, panel, layer, layer.style.width);
  g.lineWidth = layer.style.width * (panel.present ? 1.6 : 1);
  g.setLineDash([]);
  g.beginPath();
  for (let i = 0; i < shape[0]; i += 1) {
    const [x, y, dx, dy] = data.subarray(i * 4, i * 4 + 4);
    const x0 = panel.x.pixel(x);
    const y0 = panel.y.pixel(y);
    const u = panel.x.pixel(x + layer.style.scale * dx) - x0;
    const v = panel.y.pixel(y + layer.style.scale * dy) - y0;
    const size = Math.hypot(u, v);
    if (!(size > 0.7)) continue;
    const head = Math.min(panel.present ? 8 : 5, size * 0.5);
    const [cx, cy] = [(u / size) * head, (v / size) * head];
    g.moveTo(x0, y0);
    g.lineTo(x0 + u, y0 + v);
    g.moveTo(x0 + u - cx - cy * 0.6, y0 + v - cy + cx * 0.6);
    g.lineTo(x0 + u, y0 + v);
    g.lineTo(x0 + u - cx + cy * 0.6, y0 + v - cy - cx * 0.6);
  }
  g.stroke();
}

function path(g, panel, layer, { data, shape }) {
  const count = shape.length === 3 ? shape[0] : 1;
  const m = shape[shape.length - 2];
  pen(g, panel, layer, layer.style.width);
  g.globalAlpha = layer.style.opacity;
  g.beginPath();
  for (let k = 0; k < count; k += 1) line(g, panel, data.subarray(k * m * 2, (k + 1) * m * 2), m, 2);
  g.stroke();
  if (!layer.style.head) return;
  g.setLineDash([]);
  for (let k = 0; k < count; k += 1) {
    const end = (k * m + m - 1) * 2;
    marked(g, layer.marker, layer.colour, panel.x.pixel(data[end]), panel.y.pixel(data[end + 1]), (panel.present ? 7 : 5) * (panel.right - panel.left < 240 ? 0.7 : 1));
  }
}

function line(g, panel, data, m, stride) {
  let down = false;
  for (let i = 0; i < m; i += 1) {
    const x = panel.x.pixel(data[i * stride]);
    const y = panel.y.pixel(data[i * stride + 1]);
    const fine = Number.isFinite(x) && Number.isFinite(y);
    if (fine) g[down ? "lineTo" : "moveTo"](x, Math.min(Math.max(y, -9999), 9999));
    down = fine;
  }
}

/** The curve up to the cursor, with its band, and a dot there: the same at one frame however much is recorded. */
function curve(g, panel, layer, array, cursor) {
  const reel = panel.reels[layer.track];
  const some = reel.frames.slice(0, Math.ceil(cursor) + 1);
  const points = some.map((frame) => frame?.[layer.slot]?.data).filter(Boolean);
  if (!points.length) return;
  if (points[0].length === 4) band(g, panel, layer, points);
  pen(g, panel, layer, layer.style.width);
  g.beginPath();
  line(g, panel, points.flatMap((p) => [p[0], p[1]]), points.length, 2);
  g.stroke();
  g.setLineDash([]);
  const here = array.data;
  const [x, y] = [panel.x.pixel(here[0]), panel.y.pixel(here[1])];
  if (Number.isFinite(y)) marked(g, "dot", layer.colour, x, y, panel.present ? 6 : 4);
}

function band(g, panel, layer, points) {
  g.globalAlpha = 0.18;
  g.fillStyle = layer.colour;
  g.beginPath();
  const known = points.filter((p) => Number.isFinite(p[2]) && Number.isFinite(p[3]));
  const edge = [...known.map((p) => [p[0], p[3]]), ...known.map((p) => [p[0], p[2]]).reverse()];
  line(g, panel, edge.flat(), edge.length, 2);
  g.fill();
  g.globalAlpha = 1;
}

/** Pictures in a grid, each pixel a crisp square; captions under them. */
function images(g, panel, layer, { data, shape }) {
  const [k, h, w] = shape;
  if (!k || !h || !w) return;
  const grid = gallery(panel, layer, k, h, w);
  g.imageSmoothingEnabled = grid.size * panel.sharp < 3; // below that, whole squares would be uneven
  const sheet = greyed(data, w, h * k, data instanceof Uint8Array ? 1 : 255); // one below the other
  const ink = panel.theme.dark;
  for (let i = 0; i < k; i += 1) {
    const { x, y } = grid.at(i);
    g.drawImage(sheet, 0, i * h, w, h, x, y, grid.size * w, grid.size * h);
    if (ink) {
      g.strokeStyle = "rgba(160,170,185,.35)";
      g.lineWidth = 1;
      g.strokeRect(x, y, grid.size * w, grid.size * h);
    }
  }
  captions(g, panel, layer, grid, w, h);
}

/** Where each picture of a grid lies, in CSS pixels; `size` is the edge of one pixel. */
export function gallery(panel, layer, k, h, w) {
  const columns = Math.min(layer.style.columns, k);
  const rows = Math.ceil(k / columns);
  const room = layer.style.captions.length ? panel.font * 1.8 : 0;
  const gap = 4;
  const wide = (panel.right - panel.left - gap * (columns - 1)) / columns;
  const high = (panel.bottom - panel.top - gap * (rows - 1)) / rows - room;
  const fit = Math.min(wide / w, high / h);
  const size = fit * panel.sharp < 3 ? Math.max(0.5, fit) : Math.floor(fit * panel.sharp) / panel.sharp; // whole pixels
  const [dx, dy] = [size * w + gap, size * h + gap + room];
  const left = panel.left + (panel.right - panel.left - columns * dx + gap) / 2;
  const top = panel.top + (panel.bottom - panel.top - rows * dy + gap) / 2;
  const snap = (v) => Math.round(v * panel.sharp) / panel.sharp;
  return { size, columns, at: (i) => ({ x: snap(left + (i % columns) * dx), y: snap(top + Math.floor(i / columns) * dy) }) };
}

function captions(g, panel, layer, grid, w, h) {
  g.fillStyle = panel.theme.ink;
  g.font = `${panel.font + 2}px ${panel.theme.font}`;
  g.textAlign = "center";
  g.textBaseline = "top";
  layer.style.captions.forEach((text, i) => {
    const { x, y } = grid.at(i);
    g.fillText(text, x + (grid.size * w) / 2, y + grid.size * h + 3);
  });
}

function marks(g, panel, layer, { data, shape }) {
  const r = (panel.present ? 9 : 6) * (panel.right - panel.left < 240 ? 0.7 : 1);
  for (let i = 0; i < shape[0]; i += 1) {
    const x = panel.x.pixel(data[i * 2]);
    const y = panel.y.pixel(data[i * 2 + 1]);
    if (layer.style.line) ruled(g, panel, layer, x, y);
    else {
      marked(g, "dot", alpha(panel.theme.background, 0.9), x, y, r + 2);
      marked(g, layer.marker, layer.colour, x, y, r);
    }
    const text = layer.style.labels[i];
    if (text) note(g, panel, text, x, y - r - 3);
  }
}

function ruled(g, panel, layer, x, y) {
  pen(g, panel, layer, 1.5);
  g.beginPath();
  if (layer.style.line === "x") {
    g.moveTo(x, panel.top);
    g.lineTo(x, panel.bottom);
  } else {
    g.moveTo(panel.left, y);
    g.lineTo(panel.right, y);
  }
  g.stroke();
}

function note(g, panel, text, x, y) {
  g.font = `600 ${panel.font}px ${panel.theme.font}`;
  g.textAlign = "center";
  g.textBaseline = "bottom";
  g.setLineDash([]);
  g.lineWidth = 4;
  g.strokeStyle = alpha(panel.theme.background, 0.85);
  g.strokeText(text, x, y);
  g.fillStyle = panel.theme.ink;
  g.fillText(text, x, y);
}

export const LAYERS = { adapted: adaptation, cloud, field, contours, arrows, path, curve, images, atlas, metric, marks, relief, trail };
