"""The facts on centres de santé and CPTS: complete, with source and status, and no claimed figure among the parameters."""

from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from typing import Any

import pytest
import yaml

from contracts_schema import ecds, parameters
from contracts_schema.parameters import NoValue
from contracts_schema.parameters.record import FIRM

STATUSES = {"official", "secondary", "analogue", "recalled", "missing", "derived", "proposal", "claimed", "attested"}
FOLDER = files("contracts_schema")


def read(*path: str) -> Any:
    return yaml.safe_load(FOLDER.joinpath(*path).read_text(encoding="utf-8"))


def statuses(written: Any) -> Iterator[str]:
    if isinstance(written, dict):
        yield from (given for name, given in written.items() if name == "status" or name.endswith("_status"))
    if isinstance(written, dict | list):
        for part in written.values() if isinstance(written, dict) else written:
            yield from statuses(part)


@pytest.mark.parametrize("path", ["cds/indicators.yaml", "cds/rosp.yaml", "cds/sections.yaml", "cpts/agreement.yaml"])
def test_every_fact_has_a_status_of_the_vocabulary(path: str) -> None:
    found = set(statuses(read(*path.split("/"))))
    assert found
    assert found <= STATUSES


def test_there_are_thirty_five_indicators_seven_declared_of_the_rosp_and_four_prerequisites() -> None:
    known = ecds.indicators()
    assert sum(one.scheme == "rfs" for one in known.values()) == 35
    declared = [one.population for one in known.values() if one.scheme == "rosp" and one.entry == "declared"]
    assert (declared.count("adult"), declared.count("child")) == (4, 3)
    assert {one.code for one in known.values() if one.kind == "prerequisite"} == set(ecds.PREREQUISITES)


def test_an_official_indicator_of_the_accord_names_its_source() -> None:
    for entry in read("cds", "indicators.yaml")["indicators"]:
        assert entry["source"] or entry["status"] in ("recalled", "missing"), entry["code"]


def test_the_points_of_an_indicator_are_written_for_as_long_as_it_lives_and_for_those_it_is_open_to() -> None:
    cells = parameters.parameter("cds.rfs.points").cells
    for code, one in ecds.indicators().items():
        if one.regime != "points_2015" or one.kind in ("modulation", "measure", "rosp"):
            continue
        own = {cell: entries for cell, entries in cells.items() if ("indicator", code) in cell}
        types = {dict(cell)["centre_type"] for cell in own}
        assert types == set(one.centre_types or ("polyvalent", "medical", "dentaire", "infirmier")), code
        for cell, entries in own.items():
            if dict(cell)["part"] != "fifth_stage":
                assert (entries[0].valid_from, entries[-1].valid_to) == (one.valid_from, one.valid_to), cell


def test_no_point_of_the_accord_is_given_but_the_fifth_stage_and_no_amount_of_2025() -> None:
    given = [
        cell
        for cell, entries in parameters.parameter("cds.rfs.points").cells.items()
        if any(one.value is not None for one in entries)
    ]
    assert {(dict(cell)["indicator"], dict(cell)["part"]) for cell in given} == {("CDS15-A2-FORM", "fifth_stage")}
    assert all(one.value is None for entries in parameters.parameter("cds.rfs.amount").cells.values() for one in entries)


def test_the_deadlines_of_the_campaign_are_official_and_no_other_year_has_any() -> None:
    days = {"opening": date(2026, 1, 5), "rosp": date(2026, 1, 31), "rfs": date(2026, 2, 27)}
    for name, day in days.items():
        found = parameters.value("cds.campaign.day", date(2025, 12, 31), deadline=name)
        assert (found.value, found.status) == (day, "official")
        for year in (2024, 2026):
            with pytest.raises(NoValue):
                parameters.value("cds.campaign.day", date(year, 12, 31), deadline=name)


def test_nothing_of_the_cpts_is_firm_and_no_claimed_figure_is_a_parameter() -> None:
    claimed = set(read("cpts", "agreement.yaml")["claimed_operating_grant"]["values"].values())
    for name, one in parameters.parameters().items():
        if name.startswith("cpts."):
            for entries in one.cells.values():
                assert not {entry.status for entry in entries} & FIRM, name
                assert not {entry.value for entry in entries} & claimed, name


def test_the_split_of_the_first_tier_and_the_operating_grant_sum_to_the_sourced_maximum() -> None:
    day = date(2020, 1, 1)
    parts = [cell for cell in parameters.parameter("cpts.mission_amount").cells if dict(cell)["tier"] == "1"]
    known = [one for cell in parts for one in parameters.parameter("cpts.mission_amount").cells[cell] if one.holds(day)]
    total = sum(one.value for one in known if isinstance(one.value, int))
    grant = parameters.value("cpts.operating_grant", day, tier="1").value
    assert total + grant == parameters.value("cpts.yearly_maximum", day, tier="1").value


def test_every_key_column_of_a_section_is_one_that_the_header_must_have() -> None:
    for section in ecds.sections().values():
        required = {column.name for column in section.columns if column.required}
        assert set(section.key) <= required, section.name
