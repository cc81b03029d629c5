// The page: puts the map, the galaxy and the list of outliers together. The open galaxy stands in the
// address (#id), so the browser's Back walks back.

import { download, floats, json, post } from "./api.js";
import { distinct, even, scaleCategories, scaleNumbers, scalePlain } from "./colours.js";
import { rating, showGalaxy, thumbnail } from "./galaxy.js";
import { PointMap } from "./map.js";
import { element } from "./plots.js";

const $ = (id) => document.getElementById(id);
const SUFFIX = { csv: "csv", fits: "fits", votable: "vot" };
let run, map, view, planes = {}, shown = null;

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

const guarded = (work) => async (...args) => { try { await work(...args); } catch (e) { say(e.message, true); } };

const start = guarded(async () => {
  run = await json("/api/run");
  document.title = `${run.name} · euclidfm explore`;
  $("run-name").textContent = `${run.name} · ${run.galaxies.toLocaleString("en")} galaxies`;
  map = new PointMap($("map"), { onPick: guarded(pick), onSelect: selected, ticks: (m) => view === "sky" && skyTicks(m) });
  controls();
  missing();
  await showView(run.map ? "map" : "sky");
  await colourBy(run.columns.some((c) => c.name === "z_phot") ? "z_phot" : "");
  window.addEventListener("hashchange", guarded(fromAddress));
  await Promise.all([fromAddress(), listOutliers()]);
  document.body.dataset.ready = "yes";
});

function controls() {
  if (run.map) $("view").append(element("option", { value: "map" }, `map (${run.map})`));
  $("view").append(element("option", { value: "sky" }, "sky"));
  $("view").addEventListener("change", guarded(() => showView($("view").value)));
  const groups = new Map();
  for (const c of run.columns) groups.set(c.from, [...(groups.get(c.from) ?? []), c]);
  $("colour").append(element("option", { value: "" }, "(single colour)"));
  for (const [from, columns] of groups)
    $("colour").append(element("optgroup", { label: from }, ...columns.map((c) => element("option", { value: c.name, title: c.about }, c.name))));
  $("colour").addEventListener("change", guarded(() => colourBy($("colour").value)));
  $("lasso").addEventListener("click", () => map.setLasso(!map.lassoing));
  $("map").addEventListener("lasso", (e) => $("lasso").setAttribute("aria-pressed", String(e.detail)));
  $("in-view").addEventListener("click", () => map.selectView());
  $("home").addEventListener("click", () => map.home());
  $("clear").addEventListener("click", () => map.select(null));
  $("search").addEventListener("submit", guarded(search));
  document.querySelectorAll("[data-export]").forEach((b) => b.addEventListener("click", guarded(() => exportAs(b.dataset.export))));
  document.querySelectorAll("[data-samp]").forEach((b) => b.addEventListener("click", guarded(() => send(b.dataset.samp))));
  selected(0);
}

function missing() {
  if (!run.missing.length) return;
  $("missing").hidden = false;
  $("missing").firstElementChild.textContent = `Missing from this run: ${run.missing.map((m) => m.what).join("; ")}`;
  for (const m of run.missing) $("missing").lastElementChild.append(element("dt", {}, m.what), element("dd", {}, element("code", {}, m.command)));
}

async function showView(name) {
  planes[name] ??= await floats(`/api/plane/${name}`);
  view = name;
  $("view").value = name;
  map.setPoints(planes[name].subarray(0, run.galaxies), planes[name].subarray(run.galaxies));
}

async function colourBy(name) {
  $("colour").value = name;
  $("legend").replaceChildren();
  if (!name) return map.setColours(scalePlain(run.galaxies));
  const values = await floats(`/api/column/${encodeURIComponent(name)}`);
  if (run.columns.find((c) => c.name === name).kind === "category") {
    const names = await json(`/api/categories/${encodeURIComponent(name)}`);
    map.setColours(scaleCategories(values));
    $("legend").append(...names.slice(0, 12).map((text, i) => {
      const dot = element("i");
      dot.style.background = distinct(i);
      return element("span", {}, dot, text);
    }), names.length > 12 ? "…" : "");
  } else {
    const scale = scaleNumbers(values), strip = element("canvas", { width: 255, height: 1 });
    map.setColours(scale);
    for (let i = 0; i < 255; i++) {
      const c = strip.getContext("2d");
      c.fillStyle = `rgb(${even(i).join()})`;
      c.fillRect(i, 0, 1, 1);
    }
    $("legend").append(scale.low.toPrecision(3), strip, scale.high.toPrecision(3));
  }
}

async function pick(row) { open((await json(`/api/row/${row}`)).id); }

function open(id) {
  if (location.hash === `#${id}`) guarded(fromAddress)();
  else location.hash = id;
}

async function fromAddress() {
  const id = location.hash.slice(1);
  if (!/^-?\d+$/.test(id)) return;
  shown = id;
  const galaxy = await showGalaxy($("galaxy"), run, id, {
    open, onRated: guarded(rated),
    onNeighbours: (rows) => { if (shown === id) { map.marks = [map.marks[0], ...rows]; map.redraw(); } },
  });
  if (shown !== id) return fromAddress();
  map.marks[0] = galaxy.row;
  map.show(galaxy.row);
  say("");
  here();
}

function here() {
  document.querySelectorAll("#outliers li").forEach((li) => li.classList.toggle("here", li.dataset.id === shown));
}

async function search(event) {
  event.preventDefault();
  const found = await json(`/api/search?q=${encodeURIComponent($("query").value)}`);
  open(found.id);
  if (found.separation !== null) say(`nearest galaxy, ${found.separation} arcsec away`);
}

async function listOutliers() {
  if (!run.outliers) {
    $("outliers").append(element("p", { class: "muted" }, "This run has no outliers."));
    return;
  }
  const list = await json("/api/outliers?top=100");
  $("outliers").querySelector("ol").replaceChildren(...list.map((o) => {
    const button = element("button", { class: "open", "aria-label": `open outlier ${o.rank}` }, thumbnail(o.id));
    button.addEventListener("click", () => open(o.id));
    return element("li", { "data-id": o.id }, button,
      element("span", { class: "what" }, `${o.rank}. score ${o.score?.toFixed(3) ?? "?"}`), rating(o.id, guarded(rated), o.rating));
  }));
  here();
}

async function rated(id, verdict) {
  await listOutliers();
  say(`rated ${verdict}${run.outliers ? "; the list was ranked again" : ""}`);
}

function selected(count) {
  $("count").textContent = count ? `${count.toLocaleString("en")} selected` : "no selection";
  document.querySelectorAll("#selection button").forEach((b) => { b.disabled = !count; });
}

function selectedRows() {
  const rows = [];
  map.selected?.forEach((s, i) => { if (s) rows.push(i); });
  return new Uint32Array(rows);
}

async function exportAs(kind) {
  say("writing …");
  download(await (await post(`/api/export/${kind}`, selectedRows())).blob(), `selection.${SUFFIX[kind]}`);
  say(`selection.${SUFFIX[kind]} downloaded`);
}

async function send(receiver) {
  say("sending …");
  const { sent } = await (await post(`/api/samp/${receiver}`, selectedRows())).json();
  say(`sent to ${sent.join(", ")}`);
}

function skyTicks(m) {
  const c = m.context, { width, height } = m.canvas, r = m.ratio;
  c.font = `${11 * r}px system-ui, sans-serif`; c.fillStyle = "#b3bdca"; c.textAlign = "center";
  const across = nice(width / m.zoom / run.sky.shrink / 5), down = nice(height / m.zoom / 5);
  const left = run.sky.ra - (m.cx - width / 2 / m.zoom) / run.sky.shrink, right = run.sky.ra - (m.cx + width / 2 / m.zoom) / run.sky.shrink;
  for (let ra = Math.ceil(right / across) * across; ra < left; ra += across)
    c.fillText(`${(((ra % 360) + 360) % 360).toFixed(digits(across))}°`, width / 2 + ((run.sky.ra - ra) * run.sky.shrink - m.cx) * m.zoom, height - 6 * r);
  c.textAlign = "left";
  const low = run.sky.dec + m.cy - height / 2 / m.zoom, high = run.sky.dec + m.cy + height / 2 / m.zoom;
  for (let dec = Math.ceil(low / down) * down; dec < high; dec += down)
    c.fillText(`${dec.toFixed(digits(down))}°`, 6 * r, height / 2 - (dec - run.sky.dec - m.cy) * m.zoom + 4 * r);
}

function nice(step) {
  const d = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].find((f) => f * d >= step) * d;
}

const digits = (step) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));

start();
