"""The layout files hold together, agree with their index, and are read as they are written."""

import csv
import re
from pathlib import Path

import pytest

from contracts_schema import layouts

FOLDER = Path(str(layouts.folder()))
COLUMNS = ["field", "atih_label", "start", "length", "type", "zone", "count_field", "nullable", "note"]
TYPES = {"text", "int", "date_ddmmyyyy", "decimal1", "decimal2", "decimal3", "decimal4"}
ALL = sorted(path.stem for path in FOLDER.glob("*.csv") if path.stem != "INDEX")


def rows_of(format_id: str) -> list[dict[str, str]]:
    with (FOLDER / f"{format_id}.csv").open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        assert reader.fieldnames == COLUMNS
        return list(reader)


def by_zone(format_id: str) -> dict[str, list[dict[str, str]]]:
    zones: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(format_id):
        zones.setdefault(row["zone"], []).append(row)
    return zones


def is_delimited(format_id: str) -> bool:
    return set(by_zone(format_id)) == {"delimited"}


def width(rows: list[dict[str, str]]) -> int:
    return sum(int(row["length"]) for row in rows)


FIXED_WIDTH = [format_id for format_id in ALL if not is_delimited(format_id)]


def test_the_index_names_every_layout_file_and_no_other() -> None:
    assert sorted(layouts.index()) == ALL


@pytest.mark.parametrize("format_id", ALL)
def test_fields_have_distinct_plain_names_a_known_type_and_a_label(format_id: str) -> None:
    rows = rows_of(format_id)
    names = [row["field"] for row in rows]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
    assert {row["type"] for row in rows} <= TYPES
    assert {row["nullable"] for row in rows} <= {"yes", "no"}
    assert [row["field"] for row in rows if not row["atih_label"].strip()] == []


@pytest.mark.parametrize("format_id", FIXED_WIDTH)
def test_every_byte_of_a_zone_belongs_to_exactly_one_field(format_id: str) -> None:
    for zone, rows in by_zone(format_id).items():
        owned = [position for row in rows for position in range(int(row["start"]), int(row["start"]) + int(row["length"]))]
        assert owned == list(range(1, width(rows) + 1)), zone
        assert all(int(row["length"]) > 0 for row in rows), zone


@pytest.mark.parametrize("format_id", [format_id for format_id in ALL if is_delimited(format_id)])
def test_columns_of_a_delimited_layout_are_numbered_from_one(format_id: str) -> None:
    rows = rows_of(format_id)
    assert [int(row["start"]) for row in rows] == list(range(1, len(rows) + 1))
    assert layouts.index()[format_id]["variable_formula"].startswith(f"{len(rows)} columns")


@pytest.mark.parametrize("format_id", FIXED_WIDTH)
def test_what_a_note_forbids_to_store_is_passed_over_by_the_reader(format_id: str) -> None:
    forbidden = {row["field"] for row in rows_of(format_id) if "do not store" in row["note"]}
    fields = {field.name: field for field in layouts.layout(format_id).fields}
    assert forbidden == layouts.NOT_STORED & set(fields)
    assert all(fields[name].is_filler for name in forbidden)
    if forbidden:
        assert forbidden == {layouts.layout(format_id).fields[-1].name}, "a line set aside is cut before it"


@pytest.mark.parametrize("format_id", FIXED_WIDTH)
def test_rows_of_a_zone_stand_together_after_the_fixed_part(format_id: str) -> None:
    order = [row["zone"] for row in rows_of(format_id)]
    changes = [zone for before, zone in zip([None, *order], order, strict=False) if zone != before]
    assert changes[0] == "fixed"
    assert len(changes) == len(set(changes))


@pytest.mark.parametrize("format_id", FIXED_WIDTH)
def test_a_repeated_zone_is_counted_by_an_int_that_stands_once_and_before_it(format_id: str) -> None:
    seen_once: dict[str, str] = {}
    for zone, rows in by_zone(format_id).items():
        counts = {row["count_field"] for row in rows}
        assert len(counts) == 1, zone
        count = counts.pop()
        if zone == "fixed":
            assert count == ""
        elif count != "1":
            assert seen_once.get(count) == "int", f"{zone} is counted by {count}"
        if zone == "fixed" or count == "1":
            seen_once |= {row["field"]: row["type"] for row in rows}


@pytest.mark.parametrize("format_id", FIXED_WIDTH)
def test_the_index_formula_gives_the_length_that_the_fields_add_up_to(format_id: str) -> None:
    entry = layouts.index()[format_id]
    formula = re.sub(r"\(.*?\)", "", entry["variable_formula"]).replace(" ", "")
    constant, factors = 0, {}
    for term in formula.split("+"):
        if "*" in term:
            factor, count = term.split("*")
            factors[count] = int(factor)
        elif term:
            constant += int(term)
    zones = by_zone(format_id)
    once = [zone for zone, rows in zones.items() if rows[0]["count_field"] in {"", "1"}]
    assert int(entry["fixed_length"]) == width(zones["fixed"])
    assert constant == sum(width(zones[zone]) for zone in once)
    assert factors == {rows[0]["count_field"]: width(rows) for zone, rows in zones.items() if zone not in once}


@pytest.mark.parametrize("format_id", [name for name in FIXED_WIDTH if layouts.index()[name]["detect_position"]])
def test_the_format_number_stands_where_the_index_says(format_id: str) -> None:
    entry = layouts.index()[format_id]
    place = (entry["detect_position"], entry["detect_length"])
    assert place in [(row["start"], row["length"]) for row in by_zone(format_id)["fixed"]]
    assert len(entry["detect_value"]) in {0, int(entry["detect_length"])}


@pytest.mark.parametrize("format_id", FIXED_WIDTH)
def test_a_layout_is_read_as_its_file_is_written(format_id: str) -> None:
    layout, zones, entry = layouts.layout(format_id), by_zone(format_id), layouts.index()[format_id]
    assert (layout.format_id, layout.version, layout.status) == (format_id, entry["detect_value"], entry["status"])
    assert layout.fixed_length == width(zones["fixed"])
    assert [zone.name for zone in layout.zones] == [name for name in zones if name != "fixed"]
    read = {"fixed": layout.fields} | {zone.name: zone.fields for zone in layout.zones}
    for name, rows in zones.items():
        expected = [
            (row["field"], int(row["start"]) - 1, int(row["length"]), row["type"], row["nullable"] == "yes") for row in rows
        ]
        assert [(f.name, f.offset, f.length, f.type, f.nullable) for f in read[name]] == expected
    assert [(zone.width, zone.count_field) for zone in layout.zones] == [
        (width(zones[zone.name]), zones[zone.name][0]["count_field"]) for zone in layout.zones
    ]


def test_the_six_rsa_formats_are_found_by_the_number_that_their_lines_carry() -> None:
    found = layouts.layouts("MCO", "RSA")
    assert {version: layout.fixed_length for version, layout in found.items()} == {
        "224": 238,
        "225": 238,
        "226": 247,
        "227": 247,
        "228": 262,
        "229": 265,
    }
    with pytest.raises(KeyError):
        found["224"].field("raac")
    assert found["225"].field("raac").offset + 1 == 194
