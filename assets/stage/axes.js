// Two axes over a rectangle: from numbers to pixels and back, ticks, zoom.

const NICE = [1, 2, 2.5, 5, 10];

/** About `count` round numbers between low and high. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = NICE.find((n) => n * power >= raw * 0.999) * power;
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) {
    found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  }
  return found;
}

/** Powers of ten (thinned) between low and high. */
export function decades(low, high, count) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return ticks(low, high, count);
  const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(2, count)));
  const found = [];
  for (let e = first; e <= last; e += every) found.push(10 ** e);
  return found;
}

export function label(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e5 || size < 1e-3) {
    const power = Math.floor(Math.log10(size) + 1e-9);
    const lead = +(v / 10 ** power).toPrecision(3);
    return `${lead === 1 ? "" : `${lead}·`}10${superscript(power)}`;
  }
  return String(Number.isInteger(v) ? v : +v.toPrecision(4)).replace("-", "−"); // a count is told to its last digit
}

function superscript(n) {
  return [...String(n)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
}

/** One axis: `low..high` over `from..to` pixels, with the visitor's zoom on top. */
export class Axis {
  constructor({ low, high, log, label: name }) {
    Object.assign(this, { low, high, log, name, home: [low, high] });
  }

  place(from, to) {
    this.from = from;
    this.to = to;
    const [a, b] = [this.turn(this.low), this.turn(this.high)];
    this.slope = (to - from) / (b - a);
    this.base = from - a * this.slope;
  }

  turn(v) {
    return this.log ? Math.log10(Math.max(v, 1e-30)) : v;
  }

  pixel(v) {
    return this.turn(v) * this.slope + this.base;
  }

  value(p) {
    const v = (p - this.base) / this.slope;
    return this.log ? 10 ** v : v;
  }

  ticks(count) {
    return (this.log ? decades : ticks)(this.low, this.high, count);
  }

  /** Scale about the pixel `at`, then move by `by` pixels. */
  zoom(factor, at, by = 0) {
    const ends = [this.from, this.to].map((p) => this.value(at + (p - at) / factor - by));
    [this.low, this.high] = ends;
  }

  reset() {
    [this.low, this.high] = this.home;
  }
}
