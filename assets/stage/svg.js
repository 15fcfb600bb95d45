// The part of the canvas's drawing interface that layers use, writing SVG instead of pixels.

export class SvgContext {
  constructor() {
    this.out = [];
    this.stack = [];
    this.state = { matrix: [1, 0, 0, 1, 0, 0], dash: [], clip: "" };
    Object.assign(this, { globalAlpha: 1, lineWidth: 1, fillStyle: "#000", strokeStyle: "#000", font: "12px sans-serif" });
    this.clips = 0;
    this.beginPath();
  }

  save() {
    const { globalAlpha, lineWidth, fillStyle, strokeStyle, font, textAlign, textBaseline } = this;
    const styles = { globalAlpha, lineWidth, fillStyle, strokeStyle, font, textAlign, textBaseline };
    this.stack.push([{ ...this.state }, styles]);
  }

  restore() {
    const [state, styles] = this.stack.pop();
    this.state = state;
    Object.assign(this, styles);
  }

  setTransform() {
    this.state.matrix = [1, 0, 0, 1, 0, 0]; // an SVG has no pixels to be sharp for
  }

  translate(x, y) {
    const [a, b, c, d, e, f] = this.state.matrix;
    this.state.matrix = [a, b, c, d, e + a * x + c * y, f + b * x + d * y];
  }

  rotate(t) {
    const [a, b, c, d, e, f] = this.state.matrix;
    const [s, o] = [Math.sin(t), Math.cos(t)];
    this.state.matrix = [a * o + c * s, b * o + d * s, c * o - a * s, d * o - b * s, e, f];
  }

  setLineDash(dash) {
    this.state.dash = dash;
  }

  beginPath() {
    this.d = "";
  }

  moveTo(x, y) {
    this.d += `M${num(x)} ${num(y)}`;
  }

  lineTo(x, y) {
    this.d += `L${num(x)} ${num(y)}`;
  }

  rect(x, y, w, h) {
    this.d += `M${num(x)} ${num(y)}h${num(w)}v${num(h)}h${num(-w)}z`;
  }

  arc(x, y, r) {
    this.d += `M${num(x - r)} ${num(y)}a${num(r)} ${num(r)} 0 1 0 ${num(2 * r)} 0a${num(r)} ${num(r)} 0 1 0 ${num(-2 * r)} 0z`;
  }

  clip() {
    this.clips += 1;
    this.out.push(`<clipPath id="c${this.clips}"><path d="${this.d}"/></clipPath>`);
    this.state.clip = ` clip-path="url(#c${this.clips})"`;
  }

  fill() {
    this.out.push(`<path d="${this.d}" fill="${this.fillStyle}"${this.common()}/>`);
  }

  stroke() {
    const dash = this.state.dash.length ? ` stroke-dasharray="${this.state.dash.join(" ")}"` : "";
    const pen = `stroke="${this.strokeStyle}" stroke-width="${num(this.lineWidth)}" stroke-linejoin="round" stroke-linecap="round"`;
    this.out.push(`<path d="${this.d}" fill="none" ${pen}${dash}${this.common()}/>`);
  }

  clearRect() {}

  fillRect(x, y, w, h) {
    this.beginPath();
    this.rect(x, y, w, h);
    this.fill();
  }

  strokeRect(x, y, w, h) {
    this.beginPath();
    this.rect(x, y, w, h);
    this.stroke();
  }

  drawImage(image, x, y, w, h) {
    const style = this.imageSmoothingEnabled ? "" : ' style="image-rendering:pixelated"';
    const where = `x="${num(x)}" y="${num(y)}" width="${num(w)}" height="${num(h)}" preserveAspectRatio="none"`;
    this.out.push(`<image href="${image.toDataURL()}" ${where}${style}${this.common()}/>`);
  }

  fillText(text, x, y) {
    this.text(text, x, y, `fill="${this.fillStyle}"`);
  }

  strokeText(text, x, y) {
    this.text(text, x, y, `fill="none" stroke="${this.strokeStyle}" stroke-width="${num(this.lineWidth)}"`);
  }

  text(text, x, y, paint) {
    const anchor = { center: "middle", right: "end" }[this.textAlign] || "start";
    const shift = { top: "0.8em", middle: "0.35em", bottom: "-0.2em" }[this.textBaseline] || "0";
    const font = this.font.replaceAll('"', "'");
    const safe = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    this.out.push(
      `<text x="${num(x)}" y="${num(y)}" dy="${shift}" text-anchor="${anchor}" style="font:${font}" ${paint}${this.common()}>${safe}</text>`,
    );
  }

  common() {
    const [a, b, c, d, e, f] = this.state.matrix;
    const turned = b || c || e || f ? ` transform="matrix(${[a, b, c, d, e, f].map(num).join(" ")})"` : "";
    return `${this.globalAlpha < 1 ? ` opacity="${this.globalAlpha}"` : ""}${turned}${turned ? "" : this.state.clip}`;
  }

  markup() {
    return this.out.join("\n");
  }
}

function num(v) {
  return +v.toFixed(2);
}

/** Panels side by side as one SVG document. */
export function svgOf(panels, cursor, background) {
  let x = 0;
  const parts = panels.map((panel) => {
    const g = new SvgContext();
    panel.vector = true;
    panel.draw(cursor, g);
    panel.vector = false;
    const title = `<text x="${panel.left}" y="18" style="font:600 15px sans-serif" fill="${panel.theme.ink}">${panel.spec.title}</text>`;
    const part = `<g transform="translate(${x} 0)">${title}<svg y="28" width="${panel.width}" height="${panel.height}">${unique(g.markup(), x)}</svg></g>`;
    x += panel.width + 12;
    return part;
  });
  const height = Math.max(...panels.map((p) => p.height)) + 30;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${x}" height="${height}" viewBox="0 0 ${x} ${height}"><rect width="100%" height="100%" fill="${background}"/>${parts.join("")}</svg>`;
}

function unique(markup, x) {
  return markup.replaceAll(/(id="|url\(#)c(\d+)/g, `$1c${Math.round(x)}_$2`);
}
