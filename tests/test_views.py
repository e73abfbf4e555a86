"""Views and products: the oracle's figures, the same bytes whatever the machine, nothing built twice, small counts hidden."""

import hashlib
import json
import os
import shutil
import signal
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import Export, Program, the
from oracle_rsa import Activity, Verdict, activity, formats, judge, os_13

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_damage import DEFECTS, damage
from connectors.synthetic_rsa import records, write_rsa
from contracts_schema import parameters
from contracts_schema.products import products
from flows import building, deliveries, publication
from flows.hub import Hub, init_hub, open_hub
from warehouse import views
from warehouse.log import Event
from warehouse.masking import THRESHOLD

FORMATS = ["224", "225", "226", "227", "228", "229"]
CORE = {"core_pmsi__stay", "core_pmsi__unit_stay", "core_pmsi__diagnosis", "core_pmsi__act"}
MEASURES = {"int_pmsi__stay_measure", "int_pmsi__unit_measure", "int_pmsi__indicator_count"}
PUBLISHED = {f"out_ars__pmsi_{name}" for name in ("activity", "activity_by_ghm", "unit_activity", "indicator")}
PER_HEAD = CORE | MEASURES
GLOBAL = PUBLISHED | {"int_pmsi__transmission"}
TABLES = ["activity", "activity_by_ghm", "indicator", "unit_activity"]


def view(hub: Hub, name: str) -> pl.DataFrame:
    return building.query(hub, f"from {name}")


def verdicts_of(path: Path) -> list[Verdict]:
    return judge(path.read_bytes(), path.name[:9])


def accepted(path: Path) -> list[Verdict]:
    return [verdict for verdict in verdicts_of(path) if verdict.outcome == "accepted"]


def mixed(folder: Path, number: int) -> Path:
    """Lines of all formats in one file, numbered anew, some of them bad."""
    finess = fictional_finess(number=number)
    defects = {17 * place: defect for place, defect in enumerate(sorted(DEFECTS))}
    parts = [
        b"".join(records(Recipe(finess, 2025, 2, 40, seed, version))).split(b"\r\n")[:-1]
        for seed, version in enumerate(FORMATS)
    ]
    lines = [line for part in zip(*parts, strict=False) for line in part]
    numbered = [line[:12] + f"{rank:010d}".encode() + line[22:] for rank, line in enumerate(lines)]
    path = folder / f"{finess}.2025.2.rsa"
    path.write_bytes(b"\n".join(damage(numbered, defects)))
    return path


@dataclass(frozen=True)
class Region:
    hub: Hub
    paths: list[Path]


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    """One establishment per format, and one that mixes them all, ingested and published."""
    folder = tmp_path_factory.mktemp("region")
    paths = [folder / f"{fictional_finess(number=place)}.2025.2.rsa" for place in range(1, len(FORMATS) + 1)]
    for place, (path, version) in enumerate(zip(paths, FORMATS, strict=True), start=1):
        write_rsa(path, Recipe(fictional_finess(number=place), 2025, 2, 60, seed=place, version=version))
    paths.append(mixed(folder, 7))
    init_hub(folder / "hub", test=True, recipients=["ars-99"])
    hub = open_hub(folder / "hub")
    assert {deliveries.ingest(hub, the(path)).status for path in paths} == {"accepted"}
    return Region(hub, paths)


# --- what they say


def test_activity_is_the_oracles_for_every_format(region: Region) -> None:
    expected = {(path.name[:9], *month): found for path in region.paths for month, found in activity(verdicts_of(path)).items()}
    rows = view(region.hub, "out_ars__pmsi_activity").to_dicts()
    found = {
        (row["finess"], row["exit_year"], row["exit_month"]): Activity(row["stays"], row["nights"], row["sessions"])
        for row in rows
    }
    assert len(found) == len(rows) == 14
    assert found == expected
    assert all(row["days"] == row["nights"] + row["stays"] for row in rows)


def test_os_13_is_the_oracles_for_every_format_and_says_so_where_the_format_lacks_it(region: Region) -> None:
    shares = {(path.name[:9], *key): share for path in region.paths for key, share in os_13(verdicts_of(path)).items()}
    expected = {key: (share.numerator, share.denominator) for key, share in shares.items() if share.denominator}
    rows = view(region.hub, "out_ars__pmsi_indicator").filter(pl.col("definition_id") == "OS_13").to_dicts()
    found = {
        (row["finess"], row["exit_year"], row["variant"]): (row["numerator"], row["denominator"])
        for row in rows
        if row["denominator"]
    }
    assert found == expected
    assert len(found) == 12
    lacking = [row for row in rows if not row["denominator"]]
    assert {row["finess"] for row in lacking} == {fictional_finess(number=1)}
    assert {(row["not_comparable_reason"], row["rate_percent"], row["numerator"]) for row in lacking} == {
        ("CHAMP_ABSENT", None, 0)
    }
    for row in rows:
        if row["denominator"]:
            exact = 100 * row["numerator"] / row["denominator"]
            assert abs(float(row["rate_percent"]) - exact) <= 0.005 + 1e-9
            assert (row["not_comparable_reason"] == "DENOMINATEUR_FAIBLE") == (row["denominator"] < 30)


def units_of(stay: Verdict) -> list[dict[str, str]]:
    """The fields of each unit of a stay, cut from its zone a second time."""
    rows = [row for row in formats()[str(stay.format)] if row["zone"] == "rum"]
    width = max(int(row["start"]) - 1 + int(row["length"]) for row in rows)
    zone = stay.zones["rum"]
    units = [zone[start : start + width] for start in range(0, len(zone), width)]
    return [
        {row["field"]: unit[int(row["start"]) - 1 : int(row["start"]) - 1 + int(row["length"])].strip() for row in rows}
        for unit in units
    ]


def test_every_diagnosis_and_act_of_the_zones_is_there_once_under_its_own_unit(region: Region) -> None:
    diagnoses: list[tuple[Any, ...]] = []
    acts: list[tuple[Any, ...]] = []
    units: list[tuple[Any, ...]] = []
    for path in region.paths:
        for stay in accepted(path):
            place = (path.name[:9], stay.line)
            das = [stay.zones["das"][at : at + 6].strip() for at in range(0, len(stay.zones["das"]), 6)]
            ccam = [stay.zones["act"][at : at + 24][3:10] for at in range(0, len(stay.zones["act"]), 24)]
            for kind, field in (("DP", "main_diagnosis"), ("DR", "related_diagnosis")):
                if stay.values[field]:
                    diagnoses.append((*place, kind, stay.values["dp_rum_number"], stay.values[field]))
            for unit in units_of(stay):
                units.append((*place, unit["rum_number"], unit["rum_finess_geo"], unit["rum_dp"] or None))
                for _ in range(int(unit["rum_das_count"] or 0)):
                    diagnoses.append((*place, "DAS", unit["rum_number"], das.pop(0)))
                for _ in range(int(unit["rum_act_count"] or 0)):
                    acts.append((*place, unit["rum_number"], ccam.pop(0)))
            assert das == ccam == []
    found = view(region.hub, "core_pmsi__diagnosis")
    kept = found.select("finess", "line_number", "kind", "rum_number", "code").rows()
    assert Counter((*row[:3], number(row[3]), row[4]) for row in kept) == Counter(
        (*row[:3], number(row[3]), row[4]) for row in diagnoses
    )
    assert Counter(
        view(region.hub, "core_pmsi__act").select("finess", "line_number", "rum_number", "ccam_code").rows()
    ) == Counter(acts)
    columns = ("finess", "line_number", "rum_number", "finess_geo", "main_diagnosis")
    assert Counter(view(region.hub, "core_pmsi__unit_stay").select(columns).rows()) == Counter(units)
    assert len(diagnoses) > 1000 < len(acts)


def number(text: object) -> int | None:
    return int(str(text)) if text is not None else None


def test_stays_are_the_accepted_lines(region: Region) -> None:
    found = (
        view(region.hub, "core_pmsi__stay")
        .sort("finess", "line_number")
        .select("finess", "line_number", "format_version", "main_diagnosis", "age_years")
    )
    expected = [
        (path.name[:9], stay.line, stay.format, stay.values["main_diagnosis"], stay.values["age_years"])
        for path in region.paths
        for stay in accepted(path)
    ]
    assert found.rows() == expected


def test_a_stay_that_left_in_another_year_is_kept_and_counts_for_nothing(hub: Hub, export: Export) -> None:
    path = export(months=1, stays=200)
    ingested = path.read_bytes()
    other_year = ingested.replace(b"012025", b"012024", 20)
    path.write_bytes(other_year)
    assert ingested.count(b"012024") == 0
    assert other_year.count(b"012024") == 20
    report = deliveries.ingest(hub, the(path))
    assert report.rules["pmsi.out_of_period"] > 0
    assert view(hub, "core_pmsi__stay").height == 200
    assert view(hub, "int_pmsi__stay_measure").height == 200 - report.rules["pmsi.out_of_period"]
    assert view(hub, "out_ars__pmsi_activity")["exit_year"].unique().to_list() == [2025]


# --- the same bytes


def built(home: Path) -> dict[str, bytes]:
    folder = home / "views"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BUILD = """
import sys
from pathlib import Path
import duckdb
from flows import building, publication
from flows.hub import open_hub
from warehouse import views

connect, threads = duckdb.connect, int(sys.argv[2])
def with_threads(*arguments, **named):
    engine = connect(*arguments, **named)
    engine.execute(f"set threads = {threads}")
    return engine
duckdb.connect = with_threads
hub = open_hub(Path(sys.argv[1]))
print(building.build(hub).built, [report.status for report in publication.publish(hub)])
"""
MACHINES = [("0", "UTC", 1), ("1", "Europe/Paris", 4), ("random", "Pacific/Noumea", 2)]


def assert_built_the_same_everywhere(home: Path, program: Program, files: int) -> None:
    building.build(open_hub(home))
    publication.publish(open_hub(home))
    expected = built(home)
    assert len(expected) == files
    for seed, zone, threads in MACHINES:
        shutil.rmtree(home / "views")
        process = program(BUILD, str(home), str(threads), PYTHONHASHSEED=seed, TZ=zone)
        assert process.communicate(timeout=600)[0] == f"{files} ['unchanged']\n"
        assert built(home) == expected, f"PYTHONHASHSEED={seed} TZ={zone} threads={threads}"


def test_views_built_again_have_the_same_bytes_whatever_the_seed_the_time_zone_and_the_threads(
    home: Path, hub: Hub, export: Export, program: Program
) -> None:
    for place in (1, 2):
        deliveries.ingest(hub, the(export(place, stays=300)))
    assert_built_the_same_everywhere(home, program, files=2 * len(PER_HEAD) + len(GLOBAL))


@pytest.mark.soak
def test_views_of_many_row_groups_have_the_same_bytes_too(home: Path, hub: Hub, export: Export, program: Program) -> None:
    deliveries.ingest(hub, the(export(1, months=6, stays=60_000)))
    assert view(hub, "core_pmsi__diagnosis").height > 1_000_000
    assert_built_the_same_everywhere(home, program, files=len(PER_HEAD) + len(GLOBAL))


def test_the_order_of_ingestion_changes_no_figure(
    tmp_path: Path, home: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [export(place, months=months) for place, months in ((1, 1), (1, 2), (1, 3), (2, 1))]
    said = []
    for order in (paths, paths[::-1], [paths[1], paths[3], paths[0], paths[2]]):
        other = tmp_path / f"hub_{len(said)}"
        init_hub(other, test=True, recipients=["ars-99"])
        hub = open_hub(other)
        for path in order:
            deliveries.ingest(hub, the(path))
        said.append([view(hub, name) for name in sorted(GLOBAL)])
    assert all(first.equals(again) for found in said[1:] for first, again in zip(said[0], found, strict=True))


# --- nothing built twice


def files_of(home: Path) -> dict[str, tuple[int, int]]:
    return {
        path.parent.name + "/" + path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (home / "views").rglob("*.parquet")
    }


def test_a_view_whose_inputs_are_the_same_is_not_built_again(hub: Hub, home: Path, export: Export) -> None:
    deliveries.ingest(hub, the(export(1)))
    assert building.build(hub).built == len(PER_HEAD) + len(GLOBAL)
    before = files_of(home)
    assert building.build(hub).built == 0
    deliveries.ingest(hub, the(export(1)))  # known
    deliveries.ingest(hub, the(export(2, defects=dict.fromkeys(range(50), "age_a5"))))  # held
    deliveries.ingest(hub, the(export(1, months=1)))  # late
    assert building.build(hub).built == 0
    assert files_of(home) == before


def test_a_new_month_of_one_establishment_builds_its_own_part_and_the_global_views_only(
    hub: Hub, home: Path, export: Export
) -> None:
    for place in (1, 2, 3):
        deliveries.ingest(hub, the(export(place)))
    building.build(hub)
    before = files_of(home)
    deliveries.ingest(hub, the(export(2, months=3)))
    report = building.build(hub)
    assert {name: (view["files"], view["built"]) for name, view in report.views.items()} == dict.fromkeys(
        PER_HEAD, (3, 1)
    ) | dict.fromkeys(GLOBAL, (1, 1))
    after = files_of(home)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + len(PER_HEAD) + len(GLOBAL)
    assert building.build(hub, until=6).built == 0, "what was built for the past is still there"


def test_a_query_builds_only_what_it_reads(hub: Hub, home: Path, export: Export) -> None:
    deliveries.ingest(hub, the(export(1)))
    building.query(hub, "select count(*) from core_pmsi__act")
    assert {name.split("/")[0] for name in files_of(home)} == {"core_pmsi__unit_stay", "core_pmsi__act"}


def test_another_text_of_a_view_or_another_engine_builds_it_again(
    hub: Hub, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries.ingest(hub, the(export(1)))
    first = {name: table["key"] for name, table in building.build(hub).views.items()}
    changed = dict(views.views())
    stay = changed["core_pmsi__stay"]
    changed["core_pmsi__stay"] = views.View(stay.name, stay.sql + "\n-- said otherwise", stay.inputs, stay.per_head)
    monkeypatch.setattr(views, "views", lambda: changed)
    second = {name: table["key"] for name, table in building.build(hub).views.items()}
    moved = {name for name in first if first[name] != second[name]}
    assert moved == {"core_pmsi__stay", *MEASURES, *PUBLISHED}
    monkeypatch.setattr(duckdb, "__version__", "99.0")
    assert all(key != second[name] for name, key in ((n, t["key"]) for n, t in building.build(hub).views.items()))


def test_a_view_in_the_making_never_has_its_final_name(
    hub: Hub, home: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries.ingest(hub, the(export(1)))

    def cut(point: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(views.faults, "reached", cut)
    with pytest.raises(Exception, match="relancez la même commande"):
        building.build(hub)
    assert [path for path in (home / "views").rglob("*") if path.is_file()] == []


def test_what_a_killed_build_left_is_removed_by_the_next_and_what_another_makes_is_not(
    hub: Hub, home: Path, export: Export, program: Program
) -> None:
    deliveries.ingest(hub, the(export(1)))
    build = "import sys; from flows import cli; cli.main()"
    killed = program(build, "--home", str(home), "build", ECLUSE_CRASH_AT="1")
    assert killed.wait() == -signal.SIGKILL
    [left] = [path for path in (home / "views" / "tmp").iterdir() if path.is_file()]
    assert f"~{killed.pid}~" in left.name
    (left.with_suffix(".spill") / "duckdb").mkdir(parents=True)
    ours = left.with_name(left.name.replace(f"~{killed.pid}~", f"~{os.getpid()}~"))
    ours.write_bytes(b"")
    building.build(hub)
    assert list((home / "views" / "tmp").iterdir()) == [ours]


# --- what is published


def published(hub: Hub) -> tuple[Event, Path]:
    publication.publish(hub, "ars-99")
    event = publication.publications(hub)[-1]
    return event, publication.folder_of(hub, event)


def test_a_publication_holds_the_views_rows_and_its_manifest_says_what_they_are(region: Region) -> None:
    event, folder = published(region.hub)
    manifest = json.loads((folder / "datapackage.json").read_text())
    data = {f"{table}.{kind}" for table in TABLES for kind in ("csv", "parquet", "xlsx")}
    documents = {"contract.odcs.yaml", "controles.json", "data-docs.html"}
    assert {path.name for path in folder.iterdir()} == {"datapackage.json"} | documents | data
    assert {resource["path"] for resource in manifest["resources"]} == documents | data
    for resource in (made for made in manifest["resources"] if made["path"] in data):
        content = (folder / resource["path"]).read_bytes()
        table = resource["path"].split(".")[0]
        rows = pl.read_parquet(folder / f"{table}.parquet")
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert resource["bytes"] == len(content)
        assert resource["ecluse"] == {"rows": rows.height, "masked_rows": int(rows["masked"].sum())}
        named = "title" if resource["format"] == "xlsx" else "name"
        assert [field[named] for field in resource["schema"]["fields"]] == rows.columns
        assert event.data["tables"][table]["files"][resource["format"]] == hashlib.sha256(content).hexdigest()
        assert event.data["tables"][table]["rows"] == rows.height
    head = list(region.hub.log.read(types={"DeliveryAccepted"}))[-1]
    assert manifest["ecluse"]["log"] == {"position": head.position, "hash": head.hash, "recorded_at": head.recorded_at}
    keys = {name: table["key"] for name, table in building.build(region.hub).views.items()}
    assert manifest["ecluse"]["build_keys"] == {name: keys[name] for name in views.closure(PUBLISHED)}
    assert event.data["manifest"] == hashlib.sha256((folder / "datapackage.json").read_bytes()).hexdigest()
    source = view(region.hub, "out_ars__pmsi_activity").sort("finess", "exit_year", "exit_month")
    rows = pl.read_parquet(folder / "activity.parquet")
    assert rows["finess"].to_list() == source["finess"].to_list()
    shown = [(mine, theirs) for mine, theirs in zip(rows["nights"], source["nights"], strict=True) if mine is not None]
    assert len(shown) >= 12
    assert all(mine == theirs for mine, theirs in shown)


def test_the_csv_is_the_parquet_in_canonical_text(region: Region) -> None:
    _, folder = published(region.hub)
    for table in TABLES:
        rows = pl.read_parquet(folder / f"{table}.parquet")
        text = (folder / f"{table}.csv").read_bytes()
        assert text == rows.write_csv(line_terminator="\n").encode()
        assert b"\r" not in text
        assert text.count(b"\n") == rows.height + 1
        assert pl.read_csv(folder / f"{table}.csv", schema=rows.schema).equals(rows)
    assert pl.read_parquet_schema(folder / "indicator.parquet")["rate_percent"] == pl.Decimal(18, 2)


def test_the_same_deliveries_give_the_same_publication_to_the_byte_manifest_included(
    tmp_path: Path, home: Path, export: Export
) -> None:
    paths = [export(place) for place in (1, 2)]
    folders = []
    for name in ("one", "another"):
        init_hub(tmp_path / name, test=True, recipients=["ars-99"])
        hub = open_hub(tmp_path / name)
        for path in paths:
            deliveries.ingest(hub, the(path))
        folders.append(published(hub)[1])
    one, another = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == another
    assert len(one) == 3 * len(TABLES) + 4


def test_a_publication_is_never_touched_again(hub: Hub, export: Export) -> None:
    deliveries.ingest(hub, the(export(1)))
    _, first = published(hub)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.iterdir()}
    deliveries.ingest(hub, the(export(1, months=3)))
    _, second = published(hub)
    assert (first.name, second.name) == ("0001", "0002")
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.iterdir()} == before


def test_each_region_gets_its_own_establishments_only(hub: Hub, tmp_path: Path) -> None:
    places = {"990000010": "99", "310000013": "76", "2A0000014": "94"}
    for finess in places:
        path = tmp_path / f"{finess}.2025.1.rsa"
        write_rsa(path, Recipe(finess, 2025, 1, 40, seed=1))
        assert deliveries.ingest(hub, the(path)).status == "accepted"
    init_hub(hub.settings.home, test=True, recipients=["ars-76", "ars-94"])
    reports = publication.publish(open_hub(hub.settings.home))
    assert sorted(report.recipient for report in reports) == ["ars-76", "ars-94", "ars-99"]
    for report in reports:
        rows = pl.read_parquet(Path(report.folder) / "activity.parquet")
        assert [places[finess] for finess in rows["finess"]] == [report.recipient.removeprefix("ars-")]


# --- small counts


def test_no_small_count_is_in_any_published_file(region: Region, hub: Hub, export: Export) -> None:
    threshold = parameters.value(THRESHOLD, date(2026, 3, 31)).value
    assert threshold == 11
    assert {deliveries.ingest(hub, the(export(place, months=3, stays=8 * place))).status for place in (1, 2)} == {"accepted"}
    hidden = Counter[str]()
    for each in (region.hub, hub):
        _, folder = published(each)
        for table in products()["ars", "pmsi-activity"].tables:
            rows = pl.read_parquet(folder / f"{table.name}.parquet")
            source = view(each, table.view).sort(table.keys)
            assert rows.select(table.keys).rows() == source.select(table.keys).rows()
            for count in {"stays", "unit_stays", "sessions", "numerator", "denominator", "conflicts"} & set(rows.columns):
                assert rows[count].drop_nulls().is_between(1, threshold - 1).sum() == 0
                left_out = rows[count].is_null() & source[count].is_not_null()
                assert rows["masked"].filter(left_out).all()
                hidden[table.name] += left_out.sum()
    assert all(hidden[name] > 5 for name in TABLES), f"too little to hide in these files, the test says nothing: {hidden}"
