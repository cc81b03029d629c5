// The map: points written straight into the pixels of a canvas, so that a million of them move at once
// on a machine without a graphics card. Everything per point is a typed array.

import { BACK } from "./colours.js";

const BACKGROUND = (255 << 24 | BACK[2] << 16 | BACK[1] << 8 | BACK[0]) >>> 0;

export class PointMap {
  constructor(canvas, { onPick, onSelect, ticks }) {
    Object.assign(this, { canvas, onPick, onSelect, ticks });
    this.context = canvas.getContext("2d", { alpha: false });
    this.x = this.y = new Float32Array(0);
    this.selected = null;             // Uint8Array, 1 = selected
    this.marks = [];                  // rows with a ring; the first is the open galaxy
    this.lassoing = false;
    this.path = [];
    this.lastMs = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  setPoints(x, y) {
    this.x = x; this.y = y;
    this.path = [];
    this.home();
  }

  setColours(scale) { this.scale = scale; this.redraw(); }

  home() {
    const [x0, x1] = extent(this.x), [y0, y1] = extent(this.y);
    const { width, height } = this.canvas;
    this.zoom = 0.92 * Math.min(width / (x1 - x0 || 1), height / (y1 - y0 || 1));
    this.homeZoom = this.zoom;
    this.cx = (x0 + x1) / 2; this.cy = (y0 + y1) / 2;
    this.redraw();
  }

  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2), { clientWidth: w, clientHeight: h } = this.canvas;
    if (!w || !h) return;
    const before = this.canvas.width, first = !this.image;
    this.ratio = ratio;
    this.canvas.width = Math.round(w * ratio); this.canvas.height = Math.round(h * ratio);
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    if (first) this.home();
    else { this.zoom *= this.canvas.width / before; this.homeZoom *= this.canvas.width / before; this.redraw(); }
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  draw() {
    if (!this.image || !this.scale) return;
    const begun = performance.now();
    this.pixels.fill(BACKGROUND);
    const { selected, scale } = this;
    this.points(selected ? scale.faint : scale.bright, selected, 0);
    if (selected) this.points(scale.bright, selected, 1);
    this.context.putImageData(this.image, 0, 0);
    this.overlay();
    this.lastMs = performance.now() - begun;
    this.canvas.dataset.ms = this.lastMs.toFixed(1);
  }

  side() {
    const n = this.x.length, base = n < 6000 ? 4 : n < 60000 ? 3 : n < 300000 ? 2 : 1;
    const nearer = Math.max(0, Math.log2(this.zoom / this.homeZoom));
    return Math.max(1, Math.min(9, Math.round((base + nearer) * this.ratio)));
  }

  points(table, selected, which) {
    const { x, y, zoom, pixels } = this, { width, height } = this.canvas, index = this.scale.index;
    const side = this.side(), half = (side - 1) / 2, cut = side > 3 ? 1 : 0;
    const left = width / 2 - this.cx * zoom - half, top = height / 2 + this.cy * zoom - half;
    const right = width - side, bottom = height - side;
    for (let i = 0, n = x.length; i < n; i++) {
      if (selected && selected[i] !== which) continue;
      const px = left + x[i] * zoom, py = top - y[i] * zoom;
      if (!(px >= 0 && py >= 0 && px < right && py < bottom)) continue;   // NaN fails too
      const colour = table[index[i]];
      let at = (py | 0) * width + (px | 0);
      if (side === 1) { pixels[at] = colour; continue; }
      for (let row = 0; row < side; row++, at += width) {
        const inset = cut && (row === 0 || row === side - 1) ? 1 : 0;     // rounded corners
        for (let k = inset; k < side - inset; k++) pixels[at + k] = colour;
      }
    }
  }

  overlay() {
    const c = this.context, r = this.ratio;
    c.lineWidth = 2 * r;
    this.marks.forEach((row, k) => {
      const [px, py] = this.toScreen(row);
      c.strokeStyle = k ? "#e6edf5" : "#ffb454";
      c.lineWidth = (k ? 1.2 : 2.5) * r;
      c.beginPath(); c.arc(px, py, (k ? 6 : 9) * r, 0, 7); c.stroke();
    });
    if (this.path.length) {
      c.strokeStyle = "#ffb454"; c.fillStyle = "#ffb45422"; c.lineWidth = 1.5 * r;
      c.beginPath(); this.path.forEach(([a, b]) => c.lineTo(a, b)); c.closePath(); c.fill(); c.stroke();
    }
    if (this.canvas.matches(":focus-visible")) {
      const { width: w, height: h } = this.canvas;
      c.strokeStyle = "#ffb454"; c.lineWidth = r;
      c.beginPath(); c.moveTo(w / 2 - 9 * r, h / 2); c.lineTo(w / 2 + 9 * r, h / 2);
      c.moveTo(w / 2, h / 2 - 9 * r); c.lineTo(w / 2, h / 2 + 9 * r); c.stroke();
    }
    this.ticks?.(this);
  }

  toScreen(row) {
    const { width, height } = this.canvas;
    return [width / 2 + (this.x[row] - this.cx) * this.zoom, height / 2 - (this.y[row] - this.cy) * this.zoom];
  }

  nearest(px, py, within = Infinity) {
    const { width, height } = this.canvas, { x, y } = this;
    const wx = this.cx + (px - width / 2) / this.zoom, wy = this.cy - (py - height / 2) / this.zoom;
    let best = -1, least = (within / this.zoom) ** 2;
    for (let i = 0; i < x.length; i++) {
      const d = (x[i] - wx) ** 2 + (y[i] - wy) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  zoomBy(factor, px = this.canvas.width / 2, py = this.canvas.height / 2) {
    const { width, height } = this.canvas, before = this.zoom;
    this.zoom = Math.max(this.homeZoom / 4, Math.min(this.homeZoom * 1e5, this.zoom * factor));
    const shift = 1 / before - 1 / this.zoom;
    this.cx += (px - width / 2) * shift; this.cy -= (py - height / 2) * shift;
    this.redraw();
  }

  show(row) {                          // bring a galaxy into view
    if (row === undefined || !Number.isFinite(this.x[row])) return;
    const [px, py] = this.toScreen(row), { width, height } = this.canvas;
    if (px < 0 || py < 0 || px > width || py > height) { this.cx = this.x[row]; this.cy = this.y[row]; }
    this.redraw();
  }

  select(mask) {
    let count = 0;
    if (mask) for (let i = 0; i < mask.length; i++) count += mask[i];
    this.selected = count ? mask : null;
    this.redraw();
    this.onSelect(count);
  }

  selectView() {
    const { width, height } = this.canvas;
    this.selectInside([[0, 0], [width, 0], [width, height], [0, height]]);
  }

  selectInside(path) {
    const { width, height } = this.canvas, { x, y, zoom } = this;
    const us = path.map(([a]) => this.cx + (a - width / 2) / zoom), vs = path.map(([, b]) => this.cy - (b - height / 2) / zoom);
    const [u0, u1] = extent(us), [v0, v1] = extent(vs), mask = new Uint8Array(x.length), m = us.length;
    for (let i = 0; i < x.length; i++) {
      const a = x[i], b = y[i];
      if (!(a >= u0 && a <= u1 && b >= v0 && b <= v1)) continue;
      let inside = 0;
      for (let j = 0, k = m - 1; j < m; k = j++)
        if ((vs[j] > b) !== (vs[k] > b) && a < (us[k] - us[j]) * (b - vs[j]) / (vs[k] - vs[j]) + us[j]) inside ^= 1;
      mask[i] = inside;
    }
    this.select(mask);
  }

  setLasso(on) {
    this.lassoing = on;
    this.canvas.dispatchEvent(new CustomEvent("lasso", { detail: on }));
  }

  listen() {
    const c = this.canvas, place = (e) => [e.offsetX * this.ratio, e.offsetY * this.ratio];
    let down = null, moved = false;
    c.addEventListener("pointerdown", (e) => {
      c.setPointerCapture(e.pointerId);
      down = place(e); moved = false;
      if (this.lassoing || e.shiftKey) this.path = [down];
    });
    c.addEventListener("pointermove", (e) => {
      if (!down) return;
      const at = place(e);
      moved ||= Math.hypot(at[0] - down[0], at[1] - down[1]) > 4 * this.ratio;
      if (!moved) return;
      if (this.path.length) this.path.push(at);
      else { this.cx -= (at[0] - down[0]) / this.zoom; this.cy += (at[1] - down[1]) / this.zoom; down = at; }
      this.redraw();
    });
    c.addEventListener("pointerup", (e) => {
      if (down && this.path.length > 2) { this.selectInside(this.path); this.setLasso(false); }
      else if (down && !moved) {
        const row = this.nearest(...place(e), 12 * this.ratio);
        if (row >= 0) this.onPick(row);
      }
      down = null; this.path = []; this.redraw();
    });
    c.addEventListener("pointercancel", () => { down = null; this.path = []; this.redraw(); });
    c.addEventListener("wheel", (e) => { e.preventDefault(); this.zoomBy(Math.exp(-e.deltaY * 0.0018), ...place(e)); }, { passive: false });
    c.addEventListener("focus", () => this.redraw());
    c.addEventListener("blur", () => this.redraw());
    c.addEventListener("keydown", (e) => this.key(e));
  }

  key(e) {
    const step = 0.12 * this.canvas.width / this.zoom;
    const acts = {
      ArrowLeft: () => { this.cx -= step; }, ArrowRight: () => { this.cx += step; },
      ArrowUp: () => { this.cy += step; }, ArrowDown: () => { this.cy -= step; },
      "+": () => this.zoomBy(1.4), "=": () => this.zoomBy(1.4), "-": () => this.zoomBy(1 / 1.4), 0: () => this.home(),
      Enter: () => { const row = this.nearest(this.canvas.width / 2, this.canvas.height / 2); if (row >= 0) this.onPick(row); },
      l: () => this.setLasso(!this.lassoing), Escape: () => { this.setLasso(false); this.select(null); },
    };
    if (!acts[e.key] || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    acts[e.key](); this.redraw();
  }
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) { const v = values[i]; if (v < low) low = v; if (v > high) high = v; }
  return low <= high ? [low, high] : [0, 1];
}
