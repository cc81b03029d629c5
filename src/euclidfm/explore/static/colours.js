// Colour scales of the map: a perceptually even one for numbers, distinct ones for categories.

const EVEN = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const DISTINCT = ["#56b4e9", "#e69f00", "#2fc49b", "#f0e442", "#e48fc0", "#f2704a", "#5a9bff", "#c3c9d1", "#a7e05f", "#c29bff"];

export const NONE = 255;            // index of "no value"
export const BACK = [11, 14, 18];

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const pack = ([r, g, b]) => (255 << 24 | b << 16 | g << 8 | r) >>> 0;
const towards = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));

function tables(colourOf) {
  const bright = new Uint32Array(256), faint = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const c = i === NONE ? [92, 100, 112] : colourOf(i);
    bright[i] = pack(c);
    faint[i] = pack(towards(c, BACK, 0.78));
  }
  return { bright, faint };
}

export function even(i) {
  const at = 1.5 + (i / 254) * (EVEN.length - 2.5), k = Math.min(Math.floor(at), EVEN.length - 2);
  return towards(rgb(EVEN[k]), rgb(EVEN[k + 1]), at - k);
}

export const distinct = (i) => DISTINCT[i % DISTINCT.length];

// Index (0 to 254, or NONE) of each number, between the 2nd and the 98th percentile.
export function scaleNumbers(values) {
  const sample = [], every = Math.max(1, Math.floor(values.length / 20000));
  for (let i = 0; i < values.length; i += every) if (Number.isFinite(values[i])) sample.push(values[i]);
  sample.sort((a, b) => a - b);
  const low = sample[Math.floor(0.02 * (sample.length - 1))] ?? 0, high = sample[Math.ceil(0.98 * (sample.length - 1))] ?? 1;
  const factor = 254 / (high - low || 1), index = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    index[i] = Number.isFinite(v) ? Math.max(0, Math.min(254, (v - low) * factor)) : NONE;
  }
  return { index, low, high, ...tables(even) };
}

export function scaleCategories(values) {
  const index = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) index[i] = Number.isFinite(values[i]) ? values[i] : NONE;
  return { index, ...tables((i) => rgb(distinct(i))) };
}

export function scalePlain(n) {
  return { index: new Uint8Array(n), ...tables(() => rgb("#7cb7ea")) };
}
