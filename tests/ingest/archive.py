"""Stand-ins of the archive on loopback, made from a sky of `skyfiles`: TAP and SIA services that answer
in the shape of IRSA's, and the merged catalogue in HATS layout.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.io.votable import from_table, writeto
from astropy.io.votable.tree import Info
from astropy.table import Table
from astropy_healpix import HEALPix
from skyfiles import Sky

MER, MORPH = "euclid_q1_mer_catalogue", "euclid_q1_mer_morphology"


def irsa_names(table: Table) -> Table:
    """ESA's names as IRSA's TAP service has them."""
    out = Table(table, copy=True)
    for name in table.colnames:
        new = re.sub(r"[^0-9a-z]", "_", name.lower())
        out.rename_column(name, {"right_ascension": "ra", "declination": "dec"}.get(new, new))
    return out


def merged(sky: Sky, tile: int) -> Table:
    """Photometry and morphology of a tile as the merged catalogue has them."""
    mer, morph = (irsa_names(Table.read(sky.catalogue(k, tile))) for k in ("CAT", "MORPH-CAT"))
    out = Table({"object_id": mer["object_id"], "ra": mer["ra"], "dec": mer["dec"]})
    out["tileid"] = np.full(len(out), tile, np.int64)
    for t, prefix in ((mer, "mer_"), (morph, "morph_")):
        for name in t.colnames:
            if name not in ("object_id", "ra", "dec"):
                out[prefix + name] = t[name]
    out["phz_phz_median"] = np.full(len(out), 0.7)
    out["galaxysed_flux_4900_5000"] = np.ones(len(out))
    return out


def write_hats(root: Path, table: Table, order: int = 6, suffix: str = "/", collection: bool = True) -> Path:
    """The merged catalogue in HATS layout; returns what a user would name."""
    home = root / "euclid_q1_merged_objects-hats" if collection else root
    (home / "dataset").mkdir(parents=True)
    pixel = HEALPix(2**order, order="nested").lonlat_to_healpix(table["ra"] * u.deg, table["dec"] * u.deg)
    for n in np.unique(pixel):
        rows = table[pixel == n]
        arrow = pa.table({c: np.asarray(rows[c]) for c in rows.colnames})
        place = home / f"dataset/Norder={order}/Dir={n // 10000 * 10000}"
        if suffix == "/":
            (place / f"Npix={n}").mkdir(parents=True)
            half = len(rows) // 2
            pq.write_table(arrow.slice(0, half), place / f"Npix={n}" / "part0.snappy.parquet")
            pq.write_table(arrow.slice(half), place / f"Npix={n}" / "part1.snappy.parquet")
            (place / f"Npix={n}" / "_SUCCESS").write_text("")
        else:
            place.mkdir(parents=True, exist_ok=True)
            pq.write_table(arrow, place / f"Npix={n}{suffix}")
    lines = [f"{order},{n}" for n in np.unique(pixel)]
    (home / "partition_info.csv").write_text("\n".join(["Norder,Npix", *lines]) + "\n")
    (home / "hats.properties").write_text(
        f"#HATS catalog\nobs_collection=euclid_q1\nhats_col_ra=ra\nhats_npix_suffix={suffix}\n"
    )
    if collection:
        (root / "collection.properties").write_text(
            "#HATS Collection\nhats_primary_table_url=euclid_q1_merged_objects-hats\n"
        )
    return root


def votable(table: Table, status: str = "OK", message: str = "") -> bytes:
    """A table as a VO service sends it."""
    made = from_table(table)
    made.resources[0].type = "results"
    made.resources[0].infos.append(Info(name="QUERY_STATUS", value=status))
    made.resources[0].infos[-1].content = message or None
    out = io.BytesIO()
    writeto(made, out)
    return out.getvalue()


class _Irsa(BaseHTTPRequestHandler):
    """``/TAP/sync`` and ``/SIA``."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def send(self, body: bytes, code: int = 200, kind: str = "application/x-votable+xml") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(urlparse(self.path).query)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def answer(self, text: str) -> None:
        q = {k.upper(): v for k, v in parse_qs(text).items()}
        path = urlparse(self.path).path
        self.server.log.append((path, q))
        if path in self.server.broken:
            self.send(b"out of order", 503, "text/plain")
        elif path == "/TAP/sync":
            self.limited(*self.select(q["QUERY"][0]), int(q.get("MAXREC", ["2000"])[0]))
        elif path == "/SIA":
            self.limited(self.images(q["POS"][0], q["COLLECTION"][0]), "", int(q.get("MAXREC", ["2000"])[0]))
        else:
            self.send(b"not here", 404, "text/plain")

    def limited(self, table: Table | None, error: str, maxrec: int) -> None:
        if table is None:
            self.send(votable(Table({"x": [0]}), "ERROR", error), 400)
            return
        limit = min(maxrec, self.server.limit)
        over = len(table) > limit
        self.send(votable(table[:limit], "OVERFLOW" if over and not self.server.silent else "OK"))

    def select(self, query: str) -> tuple[Table | None, str]:
        """As much of ADQL as the queries of a small sample need."""
        m = re.fullmatch(r"SELECT (.+?) FROM (\S+) WHERE (.+)", query)
        if m is None:
            return None, f"can't parse {query}"
        columns, name, where = m[1].split(", "), m[2], m[3]
        if name == "TAP_SCHEMA.columns":
            wanted = re.fullmatch(r"table_name = '(\w+)'", where)[1]
            have = self.server.tables.get(wanted)
            return Table({"column_name": [] if have is None else have.colnames}, dtype=["U60"]), ""
        table = self.server.tables[name]
        unknown = [c for c in columns if c not in table.colnames]
        if unknown:
            return None, f"unknown column {unknown[0]}"
        number = r"(-?[\d.]+)"
        circle = rf"CIRCLE\('ICRS', {number}, {number}, {number}\)"
        cone = re.fullmatch(rf"CONTAINS\(POINT\('ICRS', ra, dec\), {circle}\) = 1", where)
        ids = re.fullmatch(r"object_id IN \((.+)\)", where)
        if cone:
            keep = away(table["ra"], table["dec"], float(cone[1]), float(cone[2])) <= float(cone[3])
        elif ids:
            keep = np.isin(table["object_id"], [int(i) for i in ids[1].split(",")])
        else:
            return None, f"can't parse {where}"
        return table[keep][columns], ""

    def images(self, pos: str, collection: str) -> Table:
        shape, ra, dec, radius = pos.split()
        assert shape == "CIRCLE"
        t = self.server.images
        near = away(t["s_ra"], t["s_dec"], float(ra), float(dec)) <= 0.3 + float(radius)
        return t[near & (t["obs_collection"] == collection)]


def away(ra, dec, ra0: float, dec0: float) -> np.ndarray:
    """Distances in degrees."""
    a, d, a0, d0 = (np.radians(np.asarray(v, float)) for v in (ra, dec, ra0, dec0))
    s = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(s)))


def image_list(sky: Sky, url: str, centres: dict[int, tuple[float, float]]) -> Table:
    """What the image service lists of a sky whose files are at `url`."""
    rows = []
    for tile, (ra, dec) in centres.items():
        for path in sorted((sky.path / "MER" / str(tile)).rglob("*.fits")):
            place = path.relative_to(sky.path).as_posix()
            kind = "noise" if "-RMS" in path.name else "flag" if "-FLAG" in path.name else "science"
            cloud = json.dumps({"aws": {"bucket_name": "nasa-irsa-euclid-q1", "key": f"q1/{place}"}})
            rows.append((f"{url}/{place}", ra, dec, "euclid_DpdMerBksMosaic", kind, f"{tile}_x", cloud))
    names = ("access_url", "s_ra", "s_dec", "obs_collection", "dataproduct_subtype", "obs_id", "cloud_access")
    return Table(rows=rows, names=names)


@contextmanager
def irsa(sky: Sky, files_url: str, centres: dict[int, tuple[float, float]]) -> Iterator[ThreadingHTTPServer]:
    """The two services; ``limit`` is the most rows they send, ``silent`` hides that they cut."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Irsa)
    server.log, server.limit, server.silent, server.broken = [], 50_000, False, set()
    parts = {k: [irsa_names(Table.read(sky.catalogue(k, t))) for t in centres] for k in ("CAT", "MORPH-CAT")}
    from astropy.table import vstack

    server.tables = {MER: vstack(parts["CAT"]), MORPH: vstack(parts["MORPH-CAT"])}
    server.images = image_list(sky, files_url, centres)
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
