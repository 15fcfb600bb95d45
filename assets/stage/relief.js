// A surface in space, seen from a side that the visitor turns, and lines on it: by painter's order, no library.

import { alpha, ramp } from "./paint.js";

const CELLS = 56; // drawn along each side at most
const TALL = 0.55; // height of the surface, in lengths of its side
const HOME = { turn: -0.62, tilt: 0.82 }; // radians: around the vertical, and from above

/** Where the eye is, to begin with. */
export const view = () => ({ ...HOME });

/** Turn by a drag of so many pixels. */
export function turned({ turn, tilt }, dx, dy) {
  return { turn: turn + dx * 0.012, tilt: Math.min(1.45, Math.max(0.25, tilt + dy * 0.008)) };
}

/** From the axes' units and a height in 0..1 to pixels, and how far away that is. */
function eye(panel) {
  const { turn, tilt } = panel.eye;
  const [c, s] = [Math.cos(turn), Math.sin(turn)];
  const [up, away] = [Math.cos(tilt), Math.sin(tilt)];
  const [wide, high] = [panel.right - panel.left, panel.bottom - panel.top];
  const unit = Math.min(wide / 1.45, high / (1.45 * away + TALL * up));
  const [mx, my] = [panel.left + wide / 2, panel.top + high / 2 + (TALL * up * unit) / 2];
  const share = (axis, v) => (v - axis.home[0]) / (axis.home[1] - axis.home[0]) - 0.5;
  return (x, y, z) => {
    const [u, v] = [share(panel.x, x), share(panel.y, y)];
    const [across, deep] = [c * u - s * v, s * u + c * v];
    return [mx + unit * across, my - unit * (deep * away + z * TALL * up), deep];
  };
}

export function relief(g, panel, layer, { data, shape }) {
  const [h, w] = shape;
  if (h < 2 || w < 2) return;
  const [rows, columns] = [Math.min(h, CELLS), Math.min(w, CELLS)];
  const see = eye(panel);
  const place = (axis, i, n) => axis.home[0] + (i / (n - 1)) * (axis.home[1] - axis.home[0]);
  const height = (r, c) => data[Math.round((r / (rows - 1)) * (h - 1)) * w + Math.round((c / (columns - 1)) * (w - 1))];
  const corners = [];
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < columns; c += 1) {
      const z = height(r, c);
      corners.push([...see(place(panel.x, c, columns), place(panel.y, r, rows), z), z]);
    }
  }
  paint(g, panel, layer, corners, rows, columns);
}

function paint(g, panel, layer, corners, rows, columns) {
  const cells = [];
  for (let r = 0; r < rows - 1; r += 1) {
    for (let c = 0; c < columns - 1; c += 1) {
      const i = r * columns + c;
      const four = [corners[i], corners[i + 1], corners[i + columns + 1], corners[i + columns]];
      if (four.every((corner) => Number.isFinite(corner[3]))) cells.push(four);
    }
  }
  const far = (four) => four[0][2] + four[2][2];
  const table = ramp("heat", layer.colour);
  g.lineWidth = 1;
  g.setLineDash([]);
  g.lineJoin = "round";
  cells.sort((a, b) => far(b) - far(a)).forEach((four) => {
    const z = (four[0][3] + four[1][3] + four[2][3] + four[3][3]) / 4;
    const lean = Math.min(1, Math.max(-1, 9 * (four[1][3] - four[0][3]) + 4 * (four[3][3] - four[0][3]))); // lit from a side
    const at = Math.round(255 * Math.min(1, Math.max(0, z))) * 4;
    const shade = [0, 1, 2].map((k) => Math.round(table[at + k] + lean * 26));
    g.fillStyle = g.strokeStyle = `rgb(${shade.map((v) => Math.min(255, Math.max(0, v))).join(",")})`;
    g.beginPath();
    four.forEach(([x, y], i) => g[i ? "lineTo" : "moveTo"](x, y));
    g.lineTo(four[0][0], four[0][1]);
    g.fill();
    g.stroke(); // closes the hairline between two cells
  });
}

/** Lines on the surface, each with a dot at its end. */
export function trail(g, panel, layer, { data, shape }) {
  const [k, m] = shape;
  const see = eye(panel);
  g.globalAlpha = layer.style.opacity;
  g.lineJoin = g.lineCap = "round";
  g.setLineDash([]);
  for (let i = 0; i < k; i += 1) {
    const points = Array.from({ length: m }, (_, j) => see(...data.subarray((i * m + j) * 3, (i * m + j) * 3 + 3)));
    const fine = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    if (!fine.length) continue;
    [[alpha(panel.theme.background, 0.85), 2.2], [layer.colour, 0]].forEach(([colour, more]) => {
      g.strokeStyle = g.fillStyle = colour;
      g.lineWidth = (layer.style.width + more) * (panel.present ? 1.5 : 1);
      g.beginPath();
      fine.forEach(([x, y], j) => g[j ? "lineTo" : "moveTo"](x, y));
      g.stroke();
      g.beginPath();
      g.arc(...fine[fine.length - 1].slice(0, 2), (panel.present ? 6 : 4) + more / 2, 0, 7);
      g.fill();
    });
  }
}
