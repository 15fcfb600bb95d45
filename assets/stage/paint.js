// Colours: the theme's, the roles', and the ramps of fields.

export const CATEGORIES = [
  "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#6A51A3", "#637939", "#7F7F7F",
];
const HEAT = ["#00204D", "#31446B", "#666970", "#958F78", "#CBBA69", "#FFEA46"];
const DIVERGING = ["#0072B2", "#7FB8D8", "#F5F5F5", "#EBA477", "#D55E00"];

export function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

export function alpha(hex, a) {
  return `rgba(${rgb(hex).join(",")},${a})`;
}

/** Light or dark, by the page's own background. */
export function theme(element) {
  const style = getComputedStyle(element);
  const background = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
  const [r, g, b] = rgb(toHex(background));
  const dark = 0.299 * r + 0.587 * g + 0.114 * b < 128;
  const ink = toHex(style.getPropertyValue("--st-text-color").trim() || (dark ? "#ffffff" : "#111111"));
  return { dark, ink, background: toHex(background), font: style.getPropertyValue("--st-font").trim() || "sans-serif" };
}

function toHex(colour) {
  if (/^#[0-9a-f]{6}/i.test(colour)) return colour.slice(0, 7);
  const found = colour.match(/\d+(\.\d+)?/g);
  if (!found) return "#ffffff";
  return `#${found.slice(0, 3).map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
}

/** 256 RGBA entries for a field: a tint of the role's colour, or a ramp of several. */
export function ramp(kind, shade) {
  const table = new Uint8ClampedArray(256 * 4);
  const stops = { heat: HEAT, diverging: DIVERGING }[kind];
  const base = rgb(shade);
  for (let i = 0; i < 256; i += 1) {
    const colour = stops ? mix(stops.map(rgb), i / 255) : base;
    const opacity = stops ? 235 : Math.round(225 * (i / 255) ** 0.85);
    table.set([...colour, opacity], i * 4);
  }
  return table;
}

function mix(stops, t) {
  const at = t * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((v, k) => v + (at - i) * (stops[i + 1][k] - v));
}

const sprites = new Map();

/** A point drawn once and stamped many times: a disc, a ring, a square or a cross of `size` device pixels. */
export function sprite(marker, colour, size) {
  const key = `${marker}${colour}${size}`;
  if (!sprites.has(key)) sprites.set(key, stamp(marker, colour, size));
  return sprites.get(key);
}

function stamp(marker, colour, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = Math.ceil(size) + 2;
  const g = canvas.getContext("2d");
  marked(g, marker, colour, canvas.width / 2, canvas.width / 2, size / 2);
  return canvas;
}

/** Draw one marker with centre x, y and radius r. */
export function marked(g, marker, colour, x, y, r) {
  g.fillStyle = g.strokeStyle = colour;
  g.lineWidth = Math.max(1, r * 0.45);
  g.beginPath();
  if (marker === "cross") {
    g.moveTo(x - r, y - r);
    g.lineTo(x + r, y + r);
    g.moveTo(x + r, y - r);
    g.lineTo(x - r, y + r);
    g.stroke();
  } else if (marker === "square") {
    g.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7);
    g.fill();
  } else if (marker === "ring") {
    g.arc(x, y, r * 0.8, 0, 7);
    g.stroke();
  } else {
    g.arc(x, y, r, 0, 7);
    g.fill();
  }
}

const DASHES = { solid: [], dash: [7, 5], dot: [2, 4] };

/** Take up the pen of a layer. */
export function pen(g, panel, layer, width) {
  g.strokeStyle = layer.colour;
  g.lineWidth = Math.max(width, panel.present ? 3 : 0);
  g.setLineDash(DASHES[layer.track ? "dot" : layer.style.dash || layer.dash] || []);
  g.lineJoin = g.lineCap = "round";
}

export function canvasOf(picture) {
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** A picture of greys, its values times `scale` from 0 to 255. */
export function greyed(data, w, h, scale) {
  const picture = new ImageData(w, h);
  const pixels = new Uint32Array(picture.data.buffer); // red, green, blue, opacity from the lowest byte up
  for (let p = 0; p < pixels.length; p += 1) {
    const v = Math.min(255, Math.max(0, data[p] * scale + 0.5)) | 0;
    pixels[p] = 0xff000000 | (v << 16) | (v << 8) | v;
  }
  return canvasOf(picture);
}
