// How frames arrive: a little-endian length, a JSON header, then the numbers themselves.

const TYPES = { f: Float32Array, b: Uint8Array };

/** bytes -> {header, arrays}: `arrays[i]` is {data, shape} for the i-th entry of header.arrays. */
export function decode(bytes) {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const numbers = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
  const size = numbers.getUint32(0, true);
  const text = new TextDecoder().decode(whole.subarray(4, 4 + size));
  const header = JSON.parse(text);
  let at = 4 + size + ((4 - (size % 4)) % 4);
  const arrays = header.arrays.map(([type, ...shape]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const view = new TYPES[type](whole.buffer, whole.byteOffset + at, count);
    at += Math.ceil(view.byteLength / 4) * 4;
    return { data: view.slice(), shape }; // a copy of its own, so that the message can be let go
  });
  return { header, arrays };
}

/** Whether two arrays hold the same numbers: then one of them is enough. */
function same(a, b) {
  if (!b || a.data.length !== b.data.length) return false;
  for (let i = 0; i < a.data.length; i += 1) if (a.data[i] !== b.data[i]) return false;
  return true;
}

/** The frames of one tape that the browser holds, bounded in bytes: past the bound every second one is let go. */
export class Reel {
  constructor(tape, bound = 192 * 2 ** 20) {
    this.tape = tape;
    this.bound = bound;
    this.frames = []; // frames[i] = [{data, shape}, ...] or undefined where let go
    this.bytes = 0;
    this.done = false;
    this.failure = "";
  }

  /** Take frames that begin at number `start`; what is held already or leaves a gap is not taken. */
  take(start, frames) {
    if (start > this.frames.length) return;
    frames.slice(this.frames.length - start).forEach((frame) => {
      const before = this.frames.at(-1);
      this.frames.push(before ? frame.map((array, slot) => (same(array, before[slot]) ? before[slot] : array)) : frame);
      this.bytes += frame.reduce((sum, a) => sum + a.data.byteLength, 0);
    });
    if (this.bytes > this.bound) this.thin();
  }

  thin() {
    const last = this.frames.length - 1;
    let held = 0;
    this.bytes = 0;
    this.frames = this.frames.map((frame, i) => {
      if (!frame || (held++ % 2 && i !== last)) return undefined;
      this.bytes += frame.reduce((sum, a) => sum + a.data.byteLength, 0);
      return frame;
    });
  }

  get length() {
    return this.frames.length;
  }

  /** The frame held at or before number `i`. */
  at(i) {
    let k = Math.min(Math.max(0, Math.floor(i)), this.frames.length - 1);
    while (k > 0 && !this.frames[k]) k -= 1;
    return this.frames[k];
  }

  /** One array between two frames: linear where the shapes agree, else the earlier one. */
  between(slot, cursor) {
    const i = Math.floor(cursor);
    const a = this.at(i)?.[slot];
    const b = this.at(i + 1)?.[slot];
    const t = cursor - i;
    if (!a || !b || !t || a === b || a.data.length !== b.data.length || a.data instanceof Uint8Array) return a;
    const data = new Float32Array(a.data.length);
    for (let k = 0; k < data.length; k += 1) data[k] = a.data[k] + t * (b.data[k] - a.data[k]);
    return { data, shape: a.shape };
  }
}
