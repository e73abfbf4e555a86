"""Logs as an ecluse wrote them, kept for ever: what was once written must be read by every later one.

``python tests/frozen_hub.py FOLDER`` freezes one of every source: the rows of the log as they are, the segments that its heads
stand on, and what was read from them then. Run it when the shape of an event changes, beside the folders already there.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from flows import building, deliveries, demo_bordereaux, demo_campaigns, demo_cpom, publication
from flows.hub import TEST_CLOCK, Hub, init_hub, open_hub
from warehouse.log import COLUMNS, EVENT

NOW = "2026-11-20T12:00"
RECIPIENTS = ("ars-99", demo_bordereaux.FOLDER)
HOSPITALS = tuple(fictional_finess(number=number) for number in (1, 2, 3))
ROWS, READ = "events.jsonl", "read.json"


def thaw(frozen: Path, home: Path) -> Hub:
    """A hub that holds this log and these segments; its clock is that of the freezing."""
    os.environ[TEST_CLOCK] = NOW
    init_hub(home, test=True, recipients=RECIPIENTS)
    shutil.copytree(frozen / "segments", home / "store" / "segments", dirs_exist_ok=True)
    rows = [json.loads(line) for line in (frozen / ROWS).read_text(encoding="utf-8").splitlines()]
    engine = sa.create_engine(f"sqlite:///{home / 'ecluse.db'}")
    with engine.begin() as connection:
        connection.execute(sa.insert(EVENT), rows)
    engine.dispose()
    return open_hub(home, actor="essai")


def read(hub: Hub) -> dict[str, Any]:
    """What a later version must find in the log: heads, with their rows and segments."""
    heads = deliveries.all_heads(hub)
    stand = {
        scope: [head.delivery_id, head.source, head.rows, head.superseded_by, dict(head.tables)]
        for scope, head in heads.items()
    }
    names = sorted({name for head in heads.values() for name in head.tables})
    return {"heads": stand, "tables": names}


def freeze(folder: Path) -> None:
    """Ingest a little of every source, decide, publish, and keep the log and its segments in ``folder``."""
    with TemporaryDirectory() as place:
        hub = _lived(Path(place))
        folder.mkdir(parents=True)
        with sa.create_engine(hub.settings.database_url).connect() as connection:
            rows = connection.execute(sa.select(EVENT).order_by(EVENT.c.position)).mappings()
            lines = [json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False) for row in rows]
        (folder / ROWS).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for sha256 in {one for head in deliveries.all_heads(hub).values() for one in _segments(head.data)}:
            kept = hub.blobs.segment_path(sha256)
            target = folder / "segments" / kept.parent.name / kept.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, target)
        (folder / READ).write_text(json.dumps(read(hub), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _segments(data: dict[str, Any]) -> Iterable[str]:
    return [one for one in (*data["tables"].values(), *deliveries.quarantines(data)) if one]


def _lived(place: Path) -> Hub:
    os.environ[TEST_CLOCK] = NOW
    init_hub(place / "hub", test=True, recipients=RECIPIENTS)
    hub = open_hub(place / "hub", actor="essai")
    months = place / "months"
    months.mkdir()
    for month in (1, 2):
        recipe = Recipe(finess=HOSPITALS[0], year=2026, months=month, stays_per_month=20, seed=month, version="229")
        write_rsa(months / f"{HOSPITALS[0]}.2026.{month}.rsa", recipe)
    demo_bordereaux.write(place / "bordereaux")
    demo_campaigns.write(place / "centres")
    demo_cpom.write(place / "cpom", HOSPITALS)
    demo_bordereaux.attest(hub)
    _ingest(
        hub, [months, place / "bordereaux", place / "centres"], datetime.combine(demo_bordereaux.RECEIVED_ON, time(12), UTC)
    )
    demo_campaigns.attest(hub)
    demo_campaigns.close(hub)
    _ingest(hub, [place / "cpom"], demo_cpom.RECEIVED_ON)
    demo_cpom.decide(hub)
    building.build(hub)
    publication.publish(hub)
    return hub


def _ingest(hub: Hub, paths: list[Path], received_on: date) -> None:
    found, refused = deliveries.find(paths, settings=hub.settings)
    assert not refused
    for one in found:
        deliveries.ingest(hub, one, datetime.combine(received_on, time(12), UTC))


if __name__ == "__main__":
    freeze(Path(sys.argv[1]))
