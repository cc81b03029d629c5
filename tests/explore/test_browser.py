"""The page in a real browser: Debian's Chromium driven by Playwright."""

import csv
import shutil
from pathlib import Path

import pytest

from euclidfm.discover import read_ratings

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page(address):
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="BROWSER TESTS SKIPPED: pip install playwright"
    )
    if not Path(CHROMIUM).exists():
        pytest.skip("BROWSER TESTS SKIPPED: no chromium; install it with `apt-get install chromium`")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 900}, accept_downloads=True)
        page.set_default_timeout(20_000)
        wrong = []
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(address, timeout=90_000)  # the first page of a cold browser on a busy machine
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        yield page
        browser.close()
    # a search that finds nothing is answered with 422, which Chromium notes by itself
    assert [w for w in wrong if "status of 422" not in w] == []


def shown(page):
    return page.locator("#galaxy h2").first.inner_text().removeprefix("Galaxy ")


def point(page, run, row=None):
    """Where on the page a galaxy of the whole map is drawn, by the map's own rule."""
    box = page.locator("#map").bounding_box()
    x, y = run.map.T.astype(float)
    row = int(abs(x - x.mean()).argmin()) if row is None else row
    zoom = 0.92 * min(box["width"] / (x.max() - x.min()), box["height"] / (y.max() - y.min()))
    px = box["x"] + box["width"] / 2 + (x[row] - (x.max() + x.min()) / 2) * zoom
    py = box["y"] + box["height"] / 2 - (y[row] - (y.max() + y.min()) / 2) * zoom
    return float(px), float(py)


def test_click_see_walk_and_go_back(page, run):
    page.mouse.click(*point(page, run))
    page.wait_for_selector(".neighbours button")
    first = shown(page)
    assert int(first) in run.ids
    picture = page.locator("img[data-picture=colour]")
    assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") == 16
    assert page.locator("svg circle").count() == 9  # the SED
    assert page.locator("svg .curve").count() == 1  # p(z)
    before = picture.get_attribute("src")
    page.locator("#s-stretch").fill("0.5")
    page.wait_for_selector(f"img[data-picture=colour]:not([src='{before}'])")
    near = page.locator(".neighbours button").first
    other = near.get_attribute("data-id")
    near.click()
    page.wait_for_selector(f"#galaxy h2:has-text('{other}')")
    page.go_back()
    page.wait_for_selector(f"#galaxy h2:has-text('{first}')")


def test_surprise_map(page, run):
    page.goto(page.url.split("#")[0] + f"#{run.ids[0]}")
    page.click("text=Surprisal maps")
    page.wait_for_selector("img[data-surprise=VIS]")
    assert page.locator("img[data-surprise=VIS]").evaluate("i => i.decode().then(() => i.naturalWidth)") == 16


def test_rate_an_outlier(page, run):
    first = page.locator("#outliers li").first
    object_id = first.get_attribute("data-id")
    first.locator("[data-verdict=boring]").click()
    page.wait_for_selector("#status:has-text('ranked again')")
    assert read_ratings(run.ratings_file) == {int(object_id): 0.0}
    assert page.locator("#outliers li").first.get_attribute("data-id") != object_id


def test_lasso_and_export(page, run, tmp_path):
    box = page.locator("#map").bounding_box()
    page.click("#lasso")
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]
    page.mouse.move(*_at(box, corners[0]))
    page.mouse.down()
    for c in corners[1:]:
        page.mouse.move(*_at(box, c), steps=4)
    page.mouse.up()
    page.wait_for_selector("#count:has-text('240 selected')")
    with page.expect_download() as download:
        page.click("[data-export=csv]")
    download.value.save_as(tmp_path / "selection.csv")
    with (tmp_path / "selection.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:3] == ["object_id", "ra", "dec"] and len(rows) == 240
    assert {int(r[0]) for r in rows} == set(run.ids.tolist())


def _at(box, share):
    return box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]


def test_search_views_and_colours(page, run):
    page.fill("#query", f"{run.ra[11]} {run.dec[11]}")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#galaxy h2:has-text('{run.ids[11]}')")
    page.select_option("#view", "sky")
    page.select_option("#colour", "split")
    page.wait_for_selector("#legend :text('validation')")
    page.fill("#query", "nowhere")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status.bad:has-text('neither an object_id nor a position')")


def test_keyboard_alone(page, run):
    page.locator("#map").focus()
    for key in ("ArrowLeft", "ArrowUp", "+", "+", "-", "0", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".neighbours button")
    page.keyboard.press("l")
    assert page.get_attribute("#lasso", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.get_attribute("#lasso", "aria-pressed") == "false"
    page.locator(".neighbours button").nth(1).focus()
    other = page.locator(".neighbours button").nth(1).get_attribute("data-id")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#galaxy h2:has-text('{other}')")
