"""Who is whose: one resolution of establishments to legal entities, as of the stay year, for the views and the contracts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_ecars import Contract, sample_contract, table, workbook
from connectors.synthetic_rsa import write_rsa
from contracts_schema.datasets import datasets
from flows import building, cpom, cpom_decisions, decisions, deliveries
from flows.deliveries import Report
from flows.hub import Hub, init_hub, open_hub

SITE, FIRST, NEXT = (fictional_finess(number=number) for number in (1, 7, 8))
ARS = "ars-99"
Take = Callable[..., Report]


def stock(on: date, **links: str) -> bytes:
    """A FINESS extraction of that day with these links (ET → EJ), and one that is always there."""
    names = datasets()["finess_et"].layout("etalab-cs1100502").fields
    lines = [f"finess;etalab;93;{on.isoformat()}"]
    for et, ej in ({fictional_finess(number=900): fictional_finess(number=901)} | links).items():
        cells = dict.fromkeys(names, "") | {
            "structureet": "structureet",
            "nofinesset": et,
            "nofinessej": ej,
            "rs": "MAISON INVENTÉE",
        }
        lines.append(";".join(cells.values()))
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("years")
    found = {}
    for year, version in ((2024, "227"), (2025, "229")):
        found[year] = folder / f"{SITE}.{year}.12.rsa"
        write_rsa(found[year], Recipe(finess=SITE, year=year, months=12, stays_per_month=20, seed=year, version=version))
    return found


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    init_hub(tmp_path / "hub", recipients=[ARS], test=True)
    return replace(open_hub(tmp_path / "hub", "tests"), clock=lambda: datetime(2026, 3, 10, 9, tzinfo=UTC))


@pytest.fixture
def take(hub: Hub, tmp_path: Path) -> Take:
    def ingest(name: str, content: bytes | None = None) -> Report:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        [found], _ = deliveries.find([path])
        return deliveries.ingest(hub, found, datetime(2025, 7, 24, 12, tzinfo=UTC))

    return ingest


def entities(hub: Hub, until: int | None = None) -> dict[int, str | None]:
    """The legal entity that the published view gives to the transmission of each year."""
    rows = building.query(hub, "select distinct exit_year, finess_ej from out_ars__pmsi_indicator", until)
    return dict(rows.sort("exit_year").rows())


def compared(hub: Hub, ej: str) -> dict[str, object]:
    mine = (pl.col("id") == "OS_13_1_1") & (pl.col("finess_ej") == ej)
    return cpom.rows(hub, cpom.COMPARED).filter(mine).row(0, named=True)


def contract(ej: str) -> Contract:
    return sample_contract(4, finess_ej=ej)


def test_the_entity_is_that_of_the_stay_year_in_views_and_contracts_and_a_past_position_keeps_its_own(
    hub: Hub, take: Take, years: dict[int, Path]
) -> None:
    for path in years.values():
        deliveries.ingest(hub, deliveries.find([path])[0][0])
    unlinked = hub.log.head()[0]
    assert entities(hub) == {2024: None, 2025: None}
    assert take("et-2024.csv", stock(date(2024, 3, 1), **{SITE: FIRST})).status == "accepted"
    linked = hub.log.head()[0]
    assert entities(hub) == {2024: FIRST, 2025: FIRST}
    before = set(hub.views_folder.rglob("*.parquet"))
    assert take("et-2025.csv", stock(date(2025, 6, 1), **{SITE: NEXT})).status == "accepted"
    assert entities(hub) == {2024: FIRST, 2025: NEXT}, "as of 31 December of the year"
    built = {path.parent.name for path in set(hub.views_folder.rglob("*.parquet")) - before}
    assert {"int_pmsi__transmission", "out_ars__pmsi_indicator"} <= built
    assert built.isdisjoint({"core_pmsi__stay", "int_pmsi__stay_measure", "int_pmsi__indicator_count"}), "no stay is read again"
    assert entities(hub, linked) == {2024: FIRST, 2025: FIRST}
    assert entities(hub, unlinked) == {2024: None, 2025: None}

    cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "réunion")
    take("premier.xlsx", workbook(contract(FIRST)))
    take("suivant.xlsx", workbook(contract(NEXT)))
    assert compared(hub, FIRST)["finess"] == SITE, "the baseline is of 2024"
    assert compared(hub, NEXT)["reason"] == "FINESS_NON_RESOLU"


def test_a_stock_that_says_the_same_of_the_transmissions_builds_nothing_again(
    hub: Hub, take: Take, years: dict[int, Path]
) -> None:
    deliveries.ingest(hub, deliveries.find([years[2024]])[0][0])
    take("et-1.csv", stock(date(2024, 3, 1), **{SITE: FIRST}))
    assert entities(hub) == {2024: FIRST}
    before = set(hub.views_folder.rglob("*.parquet"))
    other = {SITE: FIRST, fictional_finess(number=902): fictional_finess(number=903)}
    second = take("et-2.csv", stock(date(2025, 3, 1), **other))
    assert entities(hub) == {2024: FIRST}
    assert set(hub.views_folder.rglob("*.parquet")) == before
    assert second.delivery_id
    decisions.withdraw(hub, second.delivery_id, "erreur")
    assert entities(hub) == {2024: FIRST}


def test_a_transmission_that_links_give_to_two_entities_is_of_neither_and_their_sums_are_not_compared(
    hub: Hub, take: Take, years: dict[int, Path]
) -> None:
    deliveries.ingest(hub, deliveries.find([years[2024]])[0][0])
    torn = [{"finess_et": SITE, "finess_ej": ej, "date_debut": date(2020, 1, 1)} for ej in (FIRST, NEXT)]
    take("liens.csv", table("etablissements", torn))
    assert entities(hub) == {2024: None}
    cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "réunion")
    take("premier.xlsx", workbook(contract(FIRST)))
    own = Recipe(finess=FIRST, year=2024, months=12, stays_per_month=20, seed=5, version="227")
    write_rsa(hub.settings.home / f"{FIRST}.2024.12.rsa", own)
    deliveries.ingest(hub, deliveries.find([hub.settings.home / f"{FIRST}.2024.12.rsa"])[0][0])
    owners = building.query(hub, "select distinct finess, finess_ej from out_ars__pmsi_indicator").sort("finess").rows()
    assert owners == [(SITE, None), (FIRST, FIRST)]
    found = compared(hub, FIRST)
    assert (found["finess"], found["reason"]) == (FIRST, "FINESS_NON_RESOLU"), "what it sends itself is not all of it"


def test_the_list_of_labelled_sites_of_the_ars_opens_the_variants_by_site(hub: Hub, take: Take, years: dict[int, Path]) -> None:
    deliveries.ingest(hub, deliveries.find([years[2024]])[0][0])
    site = building.query(hub, "select min(finess_geo) as site from core_pmsi__unit_stay")["site"][0]
    asked = "select count(*) as n from out_ars__pmsi_indicator where variant like 'any_rum%'"
    assert building.query(hub, asked)["n"].to_list() == [0]
    take("hpr.xlsx", workbook(replace(sample_contract(1, hpr=True), finess_ej=SITE)))
    cpom_decisions.decide_definition(hub, ARS, "HPR_4_3", "any_rum", "réunion")
    untold = cpom.rows(hub, cpom.COMPARED).filter(pl.col("definition_id") == "HPR_4_3").row(0, named=True)
    assert untold["reason"] == "FINESS_NON_RESOLU"
    assert "site labellisé" in untold["message_fr"]
    links = [{"finess_et": site, "finess_ej": SITE, "date_debut": date(2020, 1, 1)}]
    label = [{"finess_et": site, "activite": "HPR", "date_debut": date(2020, 1, 1)}]
    take("liens.csv", table("etablissements", links))
    take("autorisations.csv", table("autorisations", label))
    assert building.query(hub, asked)["n"][0] > 0
    told = cpom.rows(hub, cpom.COMPARED).filter(pl.col("definition_id") == "HPR_4_3").row(0, named=True)
    assert told["denominator"] is not None
    assert told["variant"] == "any_rum"
