// What the pointer shows of a latent plane: the picture that lies under it, and how fast it changes there.

import { greyed, pen } from "./paint.js";

const ROUND = 48; // corners of an ellipse

/** The picture under the pointer, mixed from the four nearest cells of a grid over the panel. */
export function atlas(g, panel, layer, array) {
  const hover = panel.stage.hover;
  if (!hover || hover.panel !== panel || !array.data.length) return;
  const [, , h, w] = array.shape;
  const edge = Math.min(panel.present ? 200 : 112, (panel.right - panel.left) / 3);
  const size = Math.max(1, Math.round(edge / Math.max(h, w)));
  const [wide, high] = [size * w, size * h];
  const x = hover.px + 18 + wide < panel.right ? hover.px + 18 : hover.px - 18 - wide;
  const y = Math.min(Math.max(hover.py - high - 14, panel.top + 4), panel.bottom - high - 4);
  g.imageSmoothingEnabled = false;
  g.drawImage(pictured(panel, array, hover), x, y, wide, high);
  g.strokeStyle = layer.colour;
  g.lineWidth = 2;
  g.strokeRect(x, y, wide, high);
}

function pictured(panel, array, hover) {
  const [, , h, w] = array.shape;
  return greyed(mixed(panel, array, hover, h * w), w, h, 1);
}

/** The `size` numbers under the pointer, mixed from the four nearest cells of a grid over the panel. */
function mixed(panel, { data, shape }, hover, size) {
  const [rows, columns] = shape;
  const [r, dr] = cell((hover.y - panel.y.home[0]) / (panel.y.home[1] - panel.y.home[0]), rows);
  const [c, dc] = cell((hover.x - panel.x.home[0]) / (panel.x.home[1] - panel.x.home[0]), columns);
  const at = (i, j) => (Math.min(r + i, rows - 1) * columns + Math.min(c + j, columns - 1)) * size;
  const corners = [[at(0, 0), (1 - dr) * (1 - dc)], [at(0, 1), (1 - dr) * dc], [at(1, 0), dr * (1 - dc)], [at(1, 1), dr * dc]];
  const values = new Float32Array(size);
  corners.forEach(([start, share]) => {
    for (let p = 0; p < size; p += 1) values[p] += share * data[start + p];
  });
  return values;
}

/** The cell whose middle lies before the place t in 0..1, and how far on it is to the next one. */
function cell(t, n) {
  const place = Math.min(n - 1, Math.max(0, t * n - 0.5));
  return [Math.floor(place), place - Math.floor(place)];
}

/** The ellipse of all steps d from under the pointer with d'Gd = level squared, G = [[a, b], [b, c]] mixed as above. */
export function metric(g, panel, layer, array) {
  const hover = panel.stage.hover;
  if (!hover || hover.panel !== panel || !array.data.length) return;
  const [a, b, c] = mixed(panel, array, hover, 3);
  const { level, longest } = layer.style;
  const spread = Math.hypot((a - c) / 2, b);
  const half = [(a + c) / 2 + spread, (a + c) / 2 - spread].map((value) => Math.min(longest, level / Math.sqrt(Math.max(value, 1e-12))));
  const turn = Math.atan2(2 * b, a - c) / 2; // of the direction in which the picture changes most
  pen(g, panel, layer, 2.5);
  g.beginPath();
  for (let i = 0; i <= ROUND; i += 1) {
    const t = (2 * Math.PI * i) / ROUND;
    const [u, v] = [half[0] * Math.cos(t), half[1] * Math.sin(t)];
    const x = hover.x + u * Math.cos(turn) - v * Math.sin(turn);
    const y = hover.y + u * Math.sin(turn) + v * Math.cos(turn);
    g.lineTo(panel.x.pixel(x), panel.y.pixel(y));
  }
  g.stroke();
  g.setLineDash([]);
}
