"""Publishing: masked, judged, written, told, put in place. What stops halfway converges; the past is made again to the byte."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from conftest import Ecluse, Export, Months

from contracts_schema.products import Product, RowCheck, products
from flows import editions, publication
from flows.hub import Hub, init_hub, open_hub
from flows.published import folder_of, publications
from warehouse import faults
from warehouse.recipient_tables import standing


def tables_of(hub: Hub) -> dict[str, list[tuple[object, ...]]]:
    """What the recipient's own database holds."""
    with sqlite3.connect(f"file:{hub.settings.warehouse_url}/ars_99.sqlite?mode=ro", uri=True) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def broken_contract() -> dict[tuple[str, str], Product]:
    """The contracts, with a rule that no published activity keeps."""
    product = products()["ars", "pmsi-activity"]
    never = RowCheck("never", "Règle que rien ne respecte", "exit_month > 12")
    tables = tuple(replace(t, checks=(*t.checks, never)) if t.name == "activity" else t for t in product.tables)
    return {("ars", product.id): replace(product, tables=tables)}


def test_a_past_edition_is_made_again_to_the_byte(hub: Hub, ecluse: Ecluse, months: Months, tmp_path: Path) -> None:
    months(2)
    first, second = (folder_of(hub, event) for event in publications(hub))
    position = publications(hub)[0].data["log"]["position"]
    before = hub.log.head()
    said = ecluse("publish", "--as-of", position, "--output", tmp_path / "then", "--json")
    [report] = said.json["publications"]
    assert (said.code, report["status"], report["number"], report["known_as"]) == (0, "recreated", 1, 1)
    assert files_of(Path(report["folder"])) == files_of(first) != files_of(second)
    assert hub.log.head() == before, "making the past again records nothing"
    made = publications(hub)[0].position
    assert "il n'y en a qu'une" in ecluse("why", "ars-99/pmsi-activity", "--as-of", made).err, "the second was not made yet"
    assert tables_of(hub)["publication"][0][1] == 2, "nor does it replace what the recipient has"


def test_the_last_edition_is_made_again_with_the_same_number(hub: Hub, ecluse: Ecluse, months: Months, tmp_path: Path) -> None:
    months(2)
    [report] = ecluse("publish", "--as-of", hub.log.head()[0], "--output", tmp_path / "then", "--json").json["publications"]
    assert (report["number"], report["known_as"]) == (2, 2)


def test_what_was_never_published_says_so(ecluse: Ecluse, export: Export, tmp_path: Path) -> None:
    ecluse("ingest", export(months=1))
    position = ecluse("status", "--json").json["log"]["position"]
    ecluse("ingest", export(months=2))
    ecluse("publish")
    [report] = ecluse("publish", "--as-of", position, "--output", tmp_path / "then", "--json").json["publications"]
    assert (report["number"], report["known_as"]) == (1, None)


def test_wrong_usage_of_the_past(ecluse: Ecluse, export: Export, tmp_path: Path) -> None:
    ecluse("ingest", export())
    assert ecluse("publish", "--as-of", 1).code == 2
    assert ecluse("publish", "--output", tmp_path / "then").code == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    said = ecluse("publish", "--as-of", 2, "--output", tmp_path / "full")
    assert (said.code, "n'est pas vide" in said.err) == (2, True)
    assert "rien à publier" in ecluse("publish", "--as-of", 1, "--output", tmp_path / "then").err


@pytest.mark.usefixtures("published")
def test_the_recipients_tables_hold_what_its_files_hold(hub: Hub) -> None:
    [event] = publications(hub)
    held = tables_of(hub)
    for table in event.data["tables"]:
        rows = pl.read_parquet(folder_of(hub, event) / f"{table}.parquet")
        assert len(held[f"pmsi_activity__{table}"]) == rows.height
        assert {row[0] for row in held[f"pmsi_activity__{table}"]} == set(rows["finess"])
    receipt = event.data["log"]
    assert held["publication"][0][:5] == ("pmsi-activity", 1, receipt["position"], receipt["hash"], event.data["content"])


def test_what_the_table_gate_refuses_is_published_nowhere(
    hub: Hub, ecluse: Ecluse, export: Export, months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    months(1)
    ecluse("ingest", export(months=2))
    before, head = tables_of(hub), hub.log.head()
    monkeypatch.setattr(editions, "products", broken_contract)
    said = ecluse("publish", "--json")
    [report] = said.json["publications"]
    assert (said.code, report["status"], report["number"]) == (1, "refused", 2)
    assert [(breach["table"], breach["label_fr"]) for breach in report["breaches"]] == [
        ("activity", "Règle que rien ne respecte")
    ]
    assert "refusé par la barrière des tables" in ecluse("publish").out
    assert (tables_of(hub), hub.log.head()) == (before, head)
    kept = Path(report["folder"])
    assert set(files_of(kept)) == {"controles.json", "data-docs.html"}, "what was found is kept, not what was refused"
    assert json.loads((kept / "controles.json").read_text())["sound"] is False
    assert [path.name for path in kept.parent.iterdir() if path.name[0].isdigit()] == ["0001"]
    monkeypatch.undo()
    assert [report.status for report in publication.publish(hub)] == ["published"], "once it is mended, it goes out"


def test_a_publisher_that_dies_before_the_swap_is_made_good(
    hub: Hub, ecluse: Ecluse, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(point: str) -> None:
        if point == "product.before_swap":
            raise KeyboardInterrupt

    ecluse("ingest", export(months=1))
    with monkeypatch.context() as patch:
        patch.setattr(faults, "reached", dies)
        with pytest.raises(KeyboardInterrupt):
            publication.publish(hub)
    [recipient] = hub.settings.recipients
    assert len(publications(hub)) == 1
    assert standing(hub.settings.warehouse_url, recipient, "pmsi-activity") is None
    assert [report.status for report in publication.publish(hub)] == ["unchanged"]
    assert standing(hub.settings.warehouse_url, recipient, "pmsi-activity") == 1
    assert len(publications(hub)) == 1


def test_without_the_files_of_an_earlier_publication_nothing_is_published(
    hub: Hub, ecluse: Ecluse, export: Export, months: Months
) -> None:
    months(1)
    shutil.rmtree(folder_of(hub, publications(hub)[0]))
    ecluse("ingest", export(months=2))
    said = ecluse("publish")
    assert (said.code, "restaurez ce dossier" in said.err) == (1, True)


def test_only_recipients_of_the_settings_are_published_to(home: Path, ecluse: Ecluse, export: Export, tmp_path: Path) -> None:
    ecluse("ingest", export())
    assert "destinataire absent des réglages : ars-76 ; connus : ars-99" in ecluse("publish", "--recipient", "ars-76").err
    init_hub(home, test=True, recipients=["ars-76"])
    assert "rien à publier pour ars-76" in ecluse("publish", "--recipient", "ars-76").err
    assert [made["recipient"] for made in ecluse("publish", "--json").json["publications"]] == ["ars-99"]
    init_hub(tmp_path / "other", test=True)
    assert "aucun destinataire dans les réglages" in ecluse("publish", home=tmp_path / "other").err


def test_a_product_above_its_recipients_clearance_is_not_built(home: Path, ecluse: Ecluse, export: Export) -> None:
    ecluse("ingest", export())
    settings = home / "ecluse.toml"
    settings.write_text(settings.read_text().replace("[recipients.ars-99]", '[recipients.ars-99]\nclearance = "public"'))
    said = ecluse("publish")
    assert said.code == 2
    assert "pmsi-activity n'est pas pour ars-99 (public) : activity.stays (aggregate)" in said.err
    assert publications(open_hub(home)) == []


def test_the_files_are_those_that_the_recipient_asked_for(home: Path, ecluse: Ecluse, export: Export) -> None:
    ecluse("ingest", export())
    settings = home / "ecluse.toml"
    settings.write_text(settings.read_text().replace("[recipients.ars-99]", '[recipients.ars-99]\nformats = ["csv"]'))
    [report] = ecluse("publish", "--json").json["publications"]
    kinds = {Path(name).suffix for name in files_of(Path(report["folder"]))} - {".json", ".yaml", ".html"}
    assert kinds == {".csv", ".parquet"}, "Parquet is kept in any case: the next publication is compared with it"
