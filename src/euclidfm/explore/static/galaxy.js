// The panel of one galaxy.

import { json, pictureOf, post } from "./api.js";
import { element, pzPlot, sedPlot } from "./plots.js";

const stretch = { stretch: 1, softening: 3 };       // kept from galaxy to galaxy
let space = "joint";

export async function showGalaxy(panel, run, id, { open, onNeighbours, onRated }) {
  const galaxy = await json(`/api/galaxy/${id}`);
  const parts = [element("h2", {}, `Galaxy ${galaxy.id}`),
    element("p", { class: "muted" }, `ra ${galaxy.ra.toFixed(5)}, dec ${galaxy.dec.toFixed(5)}`), rating(galaxy.id, onRated)];
  if (galaxy.pictures.length) parts.push(pictures(galaxy), sliders(panel, galaxy.id));
  else parts.push(element("p", { class: "muted" }, "No images of this galaxy."));
  const mapped = Object.keys(run.surprise).filter((m) => run.surprise[m].some((b) => galaxy.pictures.includes(b)));
  if (mapped.length) parts.push(surprisalMaps(mapped, galaxy.id));
  const plots = element("div", { class: "plots" });
  if (galaxy.sed.length) plots.append(element("div", {}, element("h2", {}, "SED"), sedPlot(galaxy.sed)));
  if (galaxy.pz) plots.append(element("div", {}, element("h2", {}, "p(z)"), pzPlot(galaxy.pz, galaxy.values.z_spec)));
  parts.push(plots);
  const near = element("div", { class: "neighbours" });
  if (run.spaces.length) parts.push(neighbourTitle(run, () => neighbours(near, galaxy.id, open, onNeighbours)), near);
  parts.push(values(galaxy));
  panel.replaceChildren(...parts);
  panel.scrollTop = 0;
  if (run.spaces.length) await neighbours(near, galaxy.id, open, onNeighbours);
  return galaxy;
}

export function rating(id, onRated, given = null) {
  const box = element("div", { class: "rate", role: "group", "aria-label": "Rating" });
  for (const [verdict, value] of [["interesting", 5], ["boring", 0]]) {
    const button = element("button", { "aria-pressed": String(given === value), "data-verdict": verdict }, verdict);
    button.addEventListener("click", async () => {
      await post(`/api/galaxy/${id}/rating/${verdict}`);
      for (const b of box.children) b.setAttribute("aria-pressed", String(b === button));
      onRated(id, verdict);
    });
    box.append(button);
  }
  return box;
}

function pictures(galaxy) {
  const grid = element("div", { class: "pictures" });
  for (const name of galaxy.pictures)
    grid.append(element("figure", { class: name === "colour" ? "big" : undefined },
      element("img", { src: pictureOf(galaxy.id, name, stretch.stretch, stretch.softening), alt: `${name} cutout`, "data-picture": name }),
      element("figcaption", {}, name === "colour" ? "H, Y, VIS as red, green, blue" : name)));
  return grid;
}

function sliders(panel, id) {
  const box = element("div", { class: "sliders" });
  let wait;
  for (const [key, title] of [["stretch", "brightness"], ["softening", "softening (σ)"]]) {
    const shown = element("output", {}, stretch[key].toPrecision(2));
    const slider = element("input", { type: "range", min: -1.5, max: 1.5, step: 0.05, id: `s-${key}`, value: Math.log10(stretch[key]) });
    slider.addEventListener("input", () => {
      stretch[key] = 10 ** Number(slider.value);
      shown.textContent = stretch[key].toPrecision(2);
      clearTimeout(wait);
      wait = setTimeout(() => panel.querySelectorAll("img[data-picture]").forEach((image) => {
        image.src = pictureOf(id, image.dataset.picture, stretch.stretch.toFixed(3), stretch.softening.toFixed(3));
      }), 80);
    });
    box.append(element("label", { for: `s-${key}` }, title), slider, shown);
  }
  return box;
}

function surprisalMaps(modalities, id) {
  const grid = element("div", { class: "pictures" }), details = element("details", {}, element("summary", {}, "Surprisal maps"), grid);
  details.addEventListener("toggle", () => {
    if (!details.open || grid.children.length) return;
    for (const name of modalities) {
      const image = element("img", { alt: `surprisal map of ${name}`, "data-surprise": name });
      const figure = element("figure", {}, image, element("figcaption", {}, `${name}: red = high surprisal`));
      image.addEventListener("error", () => figure.replaceChildren(element("figcaption", {}, `${name}: no map of this galaxy`)));
      image.src = `/api/galaxy/${id}/surprise/${encodeURIComponent(name)}.png`;
      grid.append(figure);
    }
  });
  return details;
}

function neighbourTitle(run, changed) {
  const choice = element("select", { "aria-label": "Neighbours by" }, ...run.spaces.map((s) =>
    element("option", { value: s }, s === "joint" ? "all modalities" : s)));
  choice.value = space;
  choice.addEventListener("change", () => { space = choice.value; changed(); });
  return element("h2", {}, "Neighbours by ", choice);
}

async function neighbours(box, id, open, onNeighbours) {
  const found = await json(`/api/galaxy/${id}/neighbours?k=12&space=${encodeURIComponent(space)}`);
  box.replaceChildren(...found.map((n) => {
    const button = element("button", { "data-id": n.id, title: `galaxy ${n.id}` }, thumbnail(n.id), n.similarity.toFixed(2));
    button.addEventListener("click", () => open(n.id));
    return button;
  }));
  if (!found.length) box.textContent = "This galaxy has no embedding in this space.";
  onNeighbours(found.map((n) => n.row));
}

export const thumbnail = (id) => element("img", { alt: "", loading: "lazy", src: `/api/galaxy/${id}/thumbnail.png` });

function values(galaxy) {
  const rows = Object.entries(galaxy.values).map(([k, v]) => element("tr", {}, element("th", { scope: "row" }, k),
    element("td", {}, typeof v === "number" && !Number.isInteger(v) ? String(Number(v.toPrecision(6))) : String(v))));
  return element("details", {}, element("summary", {}, `All ${rows.length} values`), element("table", {}, ...rows));
}
