// Two small plots as SVG: fluxes with errors against wavelength, and p(z).

const W = 210, H = 150, LEFT = 34, RIGHT = 12, TOP = 8, BOTTOM = 30;

export function element(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "text", "title"].includes(name);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) if (v !== undefined && v !== null) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function frame(label, xTitle, yTitle) {
  return element("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label },
    element("path", { class: "axis", d: `M${LEFT} ${TOP}V${H - BOTTOM}H${W - RIGHT}` }),
    element("text", { x: (LEFT + W - RIGHT) / 2, y: H - 4, "text-anchor": "middle" }, xTitle),
    element("text", { x: 9, y: (TOP + H - BOTTOM) / 2, "text-anchor": "middle", transform: `rotate(-90 9 ${(TOP + H - BOTTOM) / 2})` }, yTitle));
}

const axis = (from, to, low, high) => (v) => from + (to - from) * (v - low) / (high - low || 1);
const short = (v) => Number(v.toPrecision(2)).toString();

export function sedPlot(sed) {
  const positive = sed.filter((s) => s.flux > 0);
  const svg = frame(`Flux in ${sed.length} bands`, "wavelength (nm)", "flux (µJy)");
  if (!positive.length) return svg;
  const ends = sed.flatMap((s) => [s.flux + (s.error || 0), Math.max(s.flux - (s.error || 0), s.flux * 0.4)]).filter((v) => v > 0);
  const y = axis(H - BOTTOM - 4, TOP + 4, Math.log10(Math.min(...ends) * 0.85), Math.log10(Math.max(...ends) * 1.15));
  const nms = sed.map((s) => s.nm), x = axis(LEFT + 8, W - RIGHT - 8, Math.log10(Math.min(...nms)), Math.log10(Math.max(...nms)));
  const floor = Math.min(...ends) * 0.85;
  for (const nm of [200, 400, 700, 1000, 1800, 3000, 5000].filter((v) => v >= Math.min(...nms) * 0.95 && v <= Math.max(...nms) * 1.05))
    svg.append(element("text", { x: x(Math.log10(nm)), y: H - BOTTOM + 11, "text-anchor": "middle" }, String(nm)));
  ticks(Math.min(...ends), Math.max(...ends)).forEach((v) => svg.append(
    element("text", { x: LEFT - 3, y: y(Math.log10(v)) + 3, "text-anchor": "end" }, short(v))));
  for (const s of sed) {
    const px = x(Math.log10(s.nm)), up = s.flux + (s.error || 0), down = Math.max(s.flux - (s.error || 0), floor);
    if (up <= 0) continue;
    const text = `${s.band}: ${s.flux.toPrecision(3)} ± ${s.error === null ? "?" : s.error.toPrecision(2)} µJy`;
    svg.append(element("line", { class: "mark", x1: px, x2: px, y1: y(Math.log10(up)), y2: y(Math.log10(down)) }));
    if (s.flux > floor) svg.append(element("circle", { class: "mark", cx: px, cy: y(Math.log10(s.flux)), r: 3 }, element("title", {}, text)));
  }
  return svg;
}

function ticks(low, high) {
  const out = [];
  for (let d = Math.floor(Math.log10(low)); d <= Math.ceil(Math.log10(high)); d++)
    for (const m of [1, 2, 5]) { const v = m * 10 ** d; if (v >= low && v <= high) out.push(v); }
  return out.length > 5 ? out.filter((_, i) => i % Math.ceil(out.length / 5) === 0) : out;
}

export function pzPlot(pz, zSpec) {
  const peak = Math.max(...pz.density), tall = pz.density.map((d, i) => (d > peak * 0.002 ? pz.z[i] : null)).filter((z) => z !== null);
  const known = Number.isFinite(zSpec);
  const low = Math.max(0, Math.min(...tall, known ? zSpec : Infinity) - 0.05), high = Math.max(...tall, known ? zSpec : 0) + 0.05;
  const x = axis(LEFT, W - RIGHT, low, high), y = axis(H - BOTTOM, TOP + 4, 0, peak);
  const svg = frame("Probability density of the redshift", "redshift", "p(z)");
  let d = "";
  pz.z.forEach((z, i) => { if (z >= low && z <= high) d += `${d ? "L" : "M"}${x(z).toFixed(1)} ${y(pz.density[i]).toFixed(1)}`; });
  svg.append(element("path", { class: "curve", d }));
  if (known) svg.append(element("line", { class: "truth", x1: x(zSpec), x2: x(zSpec), y1: TOP, y2: H - BOTTOM }, element("title", {}, `spectroscopic redshift ${zSpec}`)));
  for (let k = 0; k <= 4; k++) {
    const z = low + (high - low) * k / 4;
    svg.append(element("text", { x: x(z), y: H - BOTTOM + 11, "text-anchor": "middle" }, z.toFixed(2)));
  }
  svg.append(element("text", { x: LEFT - 3, y: y(peak) + 3, "text-anchor": "end" }, short(peak)));
  return svg;
}
