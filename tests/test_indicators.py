"""Activity and indicators: the oracle's figures for every format, each clause of a definition as a case, and no difference
between published figures that would tell a small count.

Rows come from the oracle's own reading, so that these tests say nothing of the reader and the gate, which have theirs.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import oracle_rsa
import polars as pl
import pytest
import yaml
from oracle_rsa import Share, Verdict, formats, judge

from connectors.synthetic import Recipe, fictional_finess, sites
from connectors.synthetic_rsa import records
from contracts_schema import parameters
from contracts_schema.products import products
from warehouse import views
from warehouse.heads import PMSI, Head
from warehouse.masking import THRESHOLD as THRESHOLD_ID
from warehouse.masking import masked
from warehouse.references import FINESS_LINKS, GIVEN, HPR_SITES, given_rows, reference

FORMATS = ["224", "225", "226", "227", "228", "229"]
YEAR = 2025
HERE, ELSEWHERE, AWAY = fictional_finess(number=50), fictional_finess(number=51), fictional_finess(number=52)
PRODUCT = products()["ars", "pmsi-activity"]
TABLES = {table.name: table for table in PRODUCT.tables}
INDICATOR = TABLES["indicator"]
THRESHOLD = 11
ESTABLISHMENTS = 36

Where = dict[str, Any]
Stays = Mapping[str, list[Verdict]]
Row = tuple[str | None, ...]
Reading = Callable[[str], pl.DataFrame]


# --- a warehouse of a few heads


def fixed_fields() -> dict[str, str]:
    """Every fixed field of any format, and its type."""
    rows = [row for layout in formats().values() for row in layout]
    return {row["field"]: row["type"] for row in rows if row["zone"] == "fixed" and not row["field"].startswith("filler")}


ZONES = tuple(dict.fromkeys(row["zone"] for row in formats()["229"] if row["zone"] != "fixed"))
SCHEMA = {
    "line_number": pl.Int64,
    "padded": pl.Boolean,
    **{name: pl.Int32 if kind == "int" else pl.String for name, kind in fixed_fields().items()},
    **{f"{zone}_zone": pl.String for zone in ZONES},
}


def segment(verdicts: Iterable[Verdict]) -> pl.DataFrame:
    """The accepted rows as the row gate keeps them."""
    rows = [
        {"line_number": verdict.line, "padded": verdict.padded, **verdict.values}
        | {f"{zone}_zone": content for zone, content in verdict.zones.items()}
        for verdict in verdicts
        if verdict.outcome == "accepted"
    ]
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA)


@contextmanager
def warehouse(
    folder: Path,
    stays: Mapping[str, Iterable[Verdict]],
    *names: str,
    period: int = 12,
    flow: str = "sejours",
    labelled: Iterable[Row] = (),
    links: Iterable[Row] = (),
) -> Iterator[Reading]:
    """Answers queries over these views (all by default) of these stays, with labelled sites and links of FINESS."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = {}
    for position, (finess, verdicts) in enumerate(sorted(stays.items()), start=1):
        name = f"{finess}"
        segment(verdicts).write_parquet(folder / name)
        scope = f"pmsi/mco/{finess}/{YEAR}"
        heads[scope] = Head(
            scope, f"delivery-{finess}", position, (False, period, "", position), PMSI, period, 0, {"pmsi_rsa": name},
            {"finess": finess, "year": YEAR, "flow": flow},
        )  # fmt: skip
    given = {name: given_rows(name, rows) for name, rows in ((HPR_SITES, labelled), (FINESS_LINKS, links))}
    tables = views.build(folder / "views", heads, lambda name: folder / name, names or None, given=given)
    with views.reading(folder / "views", tables, heads, lambda name: folder / name) as engine:
        yield lambda sql: engine.sql(sql).pl()


def line_of(number: int, version: str = "229", units: Iterable[Where] = ({},), **values: Any) -> Verdict:
    """A stay, as the oracle would read it: over 75, sent home, unscheduled and direct unless said otherwise."""
    usual: Where = {
        "finess": fictional_finess(), "format_version": version, "record_number": f"{number:010d}", "exit_year": YEAR,
        "exit_month": 6, "ghm_cmd": "05", "ghm_type": "M", "ghm_number": "09", "ghm_severity": "2", "age_years": 80,
        "entry_mode": "8", "exit_mode": "8", "los_nights": 3, "unscheduled": "1",
    }  # fmt: skip
    known = {row["field"] for row in formats()[version] if row["zone"] == "fixed"}
    fields = {name: (usual | values).get(name) for name in fixed_fields() if name in known}
    return Verdict(number, 0, "accepted", format=version, values=fields, zones=zones_of(version, units))


def zones_of(version: str, units: Iterable[Where]) -> dict[str, str]:
    rows = [row for row in formats()[version] if row["zone"] == "rum"]
    zone = ""
    for number, unit in enumerate(units, start=1):
        fields = {"rum_number": f"{number:02d}", "rum_finess_geo": ELSEWHERE, "rum_partial_los": "0001"} | unit
        zone += "".join(str(fields.get(row["field"], "")).ljust(int(row["length"])) for row in rows)
    return dict.fromkeys(ZONES, "") | {"rum": zone}


LABELLED: Row = (fictional_finess(), HERE, "2023-05-01", None, "attested", "arrêté fictif")
"""The first establishment has one labelled site."""


# --- the oracle's figures, in every format


def synthetic(version: str, number: int, stays: int = 300) -> list[Verdict]:
    finess = fictional_finess(number=number)
    data = b"".join(records(Recipe(finess, YEAR, 2, stays, seed=number, version=version)))
    return [verdict for verdict in judge(data, finess) if verdict.outcome == "accepted"]


@pytest.fixture(scope="module")
def region() -> dict[str, list[Verdict]]:
    """One establishment per format, and one that mixes them all."""
    found = {fictional_finess(number=number): synthetic(version, number) for number, version in enumerate(FORMATS, start=1)}
    mixed = [replace(stay, line=line) for line, stay in enumerate(itertools.chain.from_iterable(found.values()), start=1)]
    last = fictional_finess(number=7)
    found[last] = of_one(mixed[::3], 7)
    return found


@pytest.fixture(scope="module")
def labelled(region: dict[str, list[Verdict]]) -> dict[str, frozenset[str]]:
    """A labelled site for every second establishment; the units of the last lie on those of the first."""
    first, *_, last = region
    return {finess: frozenset(sites(first if finess == last else finess)[:1]) for finess in list(region)[::2]}


@pytest.fixture(scope="module")
def read(
    region: dict[str, list[Verdict]], labelled: dict[str, frozenset[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reading]:
    listed = [(finess, geo, "2020-01-01", None, "attested", "") for finess, found in labelled.items() for geo in found]
    with warehouse(tmp_path_factory.mktemp("region"), region, labelled=listed) as reading:
        yield reading


def shares_of(stays: list[Verdict], labelled: frozenset[str]) -> dict[str, dict[tuple[Any, str], Share]]:
    return {
        "OS_11": oracle_rsa.os_11(stays),
        "OS_13": oracle_rsa.os_13(stays),
        "HPR_3_2": oracle_rsa.hpr_3_2(stays, labelled),
        "HPR_4_3": oracle_rsa.hpr_4_3(stays, labelled),
    }


def percent(part: int, whole: int) -> Decimal | None:
    return (100 * Decimal(part) / whole).quantize(Decimal("0.01"), ROUND_HALF_UP) if whole else None


def assert_indicators_are_the_oracles(region: Stays, labelled: Mapping[str, frozenset[str]], read: Reading) -> list[Share]:
    """Every variant's figures, completeness and conflicts. A variant without stays may have a row: of zeros."""
    expected = {
        (finess, year, definition, variant): share
        for finess, stays in region.items()
        for definition, shares in shares_of(stays, labelled.get(finess, frozenset())).items()
        for (year, variant), share in shares.items()
        if year == YEAR
    }
    rows = read("from out_ars__pmsi_indicator").to_dicts()
    found = {(row["finess"], row["exit_year"], row["definition_id"], row["variant"]): row for row in rows}
    assert len(found) == len(rows)
    assert set(expected) <= set(found)
    for key, row in found.items():
        share = expected.get(key, Share())
        assert (row["numerator"], row["denominator"]) == (share.numerator, share.denominator), row
        assert row["rate_percent"] == percent(share.numerator, share.denominator), row
        assert row["completeness_percent"] == percent(share.stated, share.population), row
        assert row["conflicts"] == (share.conflicts if row["definition_id"] == "OS_11" else None), row
    return list(expected.values())


def test_every_indicator_is_the_oracles_for_every_format(
    region: dict[str, list[Verdict]], labelled: dict[str, frozenset[str]], read: Reading
) -> None:
    shares = assert_indicators_are_the_oracles(region, labelled, read)
    assert len(shares) == 7 * 9 + 4 * 4 + 7 * 2
    assert sum(share.numerator for share in shares) > 500


CODES: dict[str, tuple[Any, ...]] = {
    "exit_year": (YEAR,) * 9 + (YEAR - 1,), "exit_month": tuple(range(1, 13)),
    "ghm_cmd": ("05",) * 8 + ("14", "15", "28", "90", "0", None), "ghm_type": ("C", "C", "M", "Z", "K", None),
    "ghm_number": ("09", None), "ghm_severity": ("2", "J", None), "stay_type": (None,) * 8 + ("A", "B", "Z"),
    "age_years": (74, 75, 75, 76, 80, 101, 0, None), "session_count": (None, None, None, 0, 1, 4),
    "los_nights": (None, 0, 1, 12), "raac": (None, "0", "1", "1", "2", "Z"),
    "unscheduled": (None, "1", "1", "1", "2", "X", "Z"),
    "ed_passage": (None,) * 5 + ("5", "U", "V", "Z"), "entry_mode": ("8",) * 6 + (None, "6", "7", "0", "N", "O", "Z"),
    "entry_provenance": (None,) * 5 + ("1", "5", "6", "7", "R", "U", "Z"),
    "exit_mode": ("8", "6", "6", "7", "7", "0", "9", None, "Z"), "exit_destination": ("6", "6", "6", None, "1", "2", "7", "Z"),
}  # fmt: skip
"""What each field may hold, blanks and codes that no list knows included; the usual ones oftener."""


def random_stay(dice: random.Random, number: int, finess: str) -> Verdict:
    """A stay of any format and any codes, whose units lie anywhere and are numbered anyhow."""
    units = [
        {"rum_finess_geo": dice.choice([HERE, HERE, ELSEWHERE, AWAY, ""]),
         "rum_number": dice.choice(["", "1", "01", "02", "9", "10"]), "rum_partial_los": dice.choice(["", "0001", "12"])}
        for _ in range(dice.choice([1, 1, 2, 3, 5]))
    ]  # fmt: skip
    codes = {name: dice.choice(values) for name, values in CODES.items()}
    return line_of(number, dice.choice(FORMATS), units, finess=finess, **codes)


@pytest.mark.parametrize(("seed", "size"), [(7, 700), *(pytest.param(s, 8_000, marks=pytest.mark.soak) for s in range(20))])
def test_indicators_and_activity_of_stays_of_any_codes_are_the_oracles(tmp_path: Path, seed: int, size: int) -> None:
    dice = random.Random(seed)
    places = [fictional_finess(number=number) for number in (1, 2, 3)]
    region = {finess: [random_stay(dice, number, finess) for number in range(1, size + 1)] for finess in places}
    labelled = {places[0]: frozenset({HERE}), places[1]: frozenset({ELSEWHERE, AWAY})}
    listed = [(finess, geo, "2020-01-01", None, "attested", "") for finess, sites in labelled.items() for geo in sorted(sites)]
    with warehouse(tmp_path / "w", region, labelled=listed) as read:
        shares = assert_indicators_are_the_oracles(region, labelled, read)
        assert_activity_is_the_oracles(region, read)
    assert min(share.numerator for share in shares) > 0, "a variant of which no stay is in the numerator says little"
    assert sum(share.conflicts for share in shares) > 0


def assert_activity_is_the_oracles(region: Stays, read: Reading) -> tuple[list[Where], list[Where]]:
    """Stays, nights, days and sessions by GHM, and by site of units and month; gives the rows."""
    expected = {
        (finess, *key): (found.stays, found.nights, found.stays + found.nights, found.sessions)
        for finess, stays in region.items()
        for key, found in oracle_rsa.by_ghm(stays).items()
        if key[0] == YEAR
    }
    by_ghm = read("from out_ars__pmsi_activity_by_ghm").to_dicts()
    counts = ("stays", "nights", "days", "sessions")
    assert {
        (row["finess"], row["exit_year"], row["ghm"]): tuple(row[count] or 0 for count in counts) for row in by_ghm
    } == expected
    assert len(by_ghm) == len(expected)
    assert all((row["sessions"] is None) == (row["stays"] is not None) == (row["ghm"][:2] != "28") for row in by_ghm)
    totals = "select finess, sum(stays), sum(nights), sum(days), sum(sessions) from {} group by finess order by finess"
    of_ghm, of_month = (read(totals.format(f"out_ars__pmsi_{name}")).rows() for name in ("activity_by_ghm", "activity"))
    assert of_ghm == of_month
    by_site = read("from out_ars__pmsi_unit_activity").to_dicts()
    assert {
        (row["finess"], row["finess_geo"], row["exit_year"], row["exit_month"]): oracle_rsa.SiteActivity(
            row["stays"], row["unit_stays"], row["nights"]
        )
        for row in by_site
    } == {
        (finess, *key): found
        for finess, stays in region.items()
        for key, found in oracle_rsa.unit_activity(stays).items()
        if key[1] == YEAR
    }
    return by_ghm, by_site


def test_activity_is_the_oracles_for_every_format_and_adds_up_to_the_months(
    region: dict[str, list[Verdict]], read: Reading
) -> None:
    by_ghm, by_site = assert_activity_is_the_oracles(region, read)
    assert len(by_ghm) > 300
    assert sum(row["unit_stays"] for row in by_site) > sum(row["stays"] for row in by_site) > 1000


def test_every_published_figure_is_the_number_of_lines_that_explain_it(read: Reading) -> None:
    rows = read("from out_ars__pmsi_indicator").to_dicts()
    for row in rows:
        for measure, conditions in INDICATOR.measures.items():
            condition = conditions[row["variant"]]
            lines = read(f"select count(*) from {INDICATOR.explained_by} where finess = '{row['finess']}' and ({condition})")
            assert lines.item() == (row[measure] or 0), (row, measure)
    named = {row["variant"] for row in rows}
    assert all(set(conditions) == named for conditions in INDICATOR.measures.values())
    for name, measure in (("activity_by_ghm", "stays"), ("unit_activity", "stays")):
        contract = TABLES[name]
        keys = ", ".join(contract.keys)
        counted = read(f"select {keys}, count(*) from {contract.explained_by} where {contract.measures[measure]} group by all")
        said = read(f"select {keys}, {measure} from {contract.view} where {measure} is not null")
        assert sorted(counted.rows()) == sorted(said.rows())


def test_an_indicator_names_a_definition_and_its_version(read: Reading) -> None:
    text = files("contracts_schema").joinpath("pmsi", "indicators.yaml").read_text(encoding="utf-8")
    definitions = yaml.safe_load(text)
    known = {(entry["id"], definitions["version"]) for entry in definitions["indicators"]}
    used = set(read("select distinct definition_id, definition_version from out_ars__pmsi_indicator").rows())
    assert used <= known
    assert {name for name, _ in used} == {"OS_11", "OS_13", "HPR_3_2", "HPR_4_3"}


def test_figures_are_integers_and_decimals_only(read: Reading) -> None:
    for name, view in views.views().items():
        types = [kind for _, kind, *_ in read(f"describe {view.name}").rows()]
        assert not [kind for kind in types if kind in ("DOUBLE", "FLOAT", "HUGEINT")], name


# --- each clause of a definition, as a case

CLAUSES_OF_OS_11: list[tuple[str, Where, str]] = [
    # the case, what is said of the stay, the variants that count it ("+" in the numerator too), "!" for a coding conflict
    ("80 ans, non programmé, direct", {}, "ge75_v1+ ge75_v2+ ge75_v3+ gt75_v1+ gt75_v2+ gt75_v3+"),
    ("76 ans", {"age_years": 76}, "ge75_v1+ ge75_v2+ ge75_v3+ gt75_v1+ gt75_v2+ gt75_v3+"),
    ("75 ans", {"age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("74 ans", {"age_years": 74}, ""),
    ("âge vide", {"age_years": None}, ""),
    ("une séance", {"session_count": 1}, ""),
    ("nombre de séances à zéro", {"session_count": 0, "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("CMD 14", {"ghm_cmd": "14"}, ""),
    ("CMD 15", {"ghm_cmd": "15"}, ""),
    ("CMD 28", {"ghm_cmd": "28"}, ""),
    ("CMD 90", {"ghm_cmd": "90"}, ""),
    ("CMD vide", {"ghm_cmd": None, "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("prestation réalisée pour un autre (B)", {"stay_type": "B"}, ""),
    ("type de séjour inconnu", {"stay_type": "Z", "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("prestation demandée à un autre (A)", {"stay_type": "A", "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("urgences 5", {"ed_passage": "5", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3 !"),
    ("urgences U", {"ed_passage": "U", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3 !"),
    ("urgences V", {"ed_passage": "V", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3 !"),
    ("urgences, programmation inconnue", {"ed_passage": "V", "unscheduled": None, "age_years": 75}, "ge75_v1 ge75_v3"),
    ("urgences, mais programmé", {"ed_passage": "5", "unscheduled": "2", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3"),
    ("code d'urgences inconnu", {"ed_passage": "Z", "unscheduled": "2", "age_years": 75}, "ge75_v2 ge75_v3"),
    ("provenance 5 d'avant 2023", {"entry_provenance": "5", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3"),
    ("provenance U, programmation inconnue", {"entry_provenance": "U", "unscheduled": None}, "ge75_v1 ge75_v3 gt75_v1 gt75_v3"),
    ("provenance 7", {"entry_provenance": "7", "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("programmé", {"unscheduled": "2", "age_years": 75}, "ge75_v2 ge75_v3"),
    ("les unités se contredisent (X)", {"unscheduled": "X", "age_years": 75}, "ge75_v3"),
    ("programmation vide", {"unscheduled": None, "age_years": 75}, "ge75_v3"),
    ("venu par transfert", {"entry_mode": "7", "entry_provenance": "1", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3 !"),
    ("transfert programmé", {"entry_mode": "7", "unscheduled": "2", "age_years": 75}, "ge75_v2 ge75_v3"),
    ("mode d'entrée vide", {"entry_mode": None, "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3 !"),
    ("format 226 : champ absent", {"version": "226"}, ""),
    ("format 227, provenance vide", {"version": "227", "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("format 227, provenance 5", {"version": "227", "entry_provenance": "5", "age_years": 75}, "ge75_v1 ge75_v2 ge75_v3"),
    ("format 228", {"version": "228", "age_years": 75}, "ge75_v1+ ge75_v2+ ge75_v3+"),
    ("sorti une autre année", {"exit_year": YEAR - 1}, ""),
]

WITH, WITHOUT = "whole_with_medical_social", "whole_without_medical_social"
CLAUSES_OF_HPR_3_2: list[tuple[str, Where, str]] = [
    ("du domicile", {}, f"{WITH}+ {WITHOUT}+"),
    ("d'un hébergement médico-social (7)", {"entry_provenance": "7"}, f"{WITH}+ {WITHOUT}"),
    ("urgences 5", {"ed_passage": "5"}, f"{WITH} {WITHOUT}"),
    ("urgences U", {"ed_passage": "U"}, f"{WITH} {WITHOUT}"),
    ("urgences V", {"ed_passage": "V"}, f"{WITH} {WITHOUT}"),
    ("provenance 5 d'avant 2023", {"entry_provenance": "5"}, f"{WITH} {WITHOUT}"),
    ("provenance U, format 226", {"version": "226", "entry_provenance": "U"}, f"{WITH} {WITHOUT}"),
    ("format 226", {"version": "226"}, f"{WITH}+ {WITHOUT}+"),
    ("format 225", {"version": "225"}, ""),
    ("format 224", {"version": "224"}, ""),
    ("mutation", {"entry_mode": "6", "entry_provenance": "1"}, f"{WITH} {WITHOUT}"),
    ("mode d'entrée vide", {"entry_mode": None}, f"{WITH} {WITHOUT}"),
    ("naissance", {"entry_mode": "N"}, ""),
    ("CMD 15", {"ghm_cmd": "15"}, ""),
    ("CMD 14", {"ghm_cmd": "14"}, f"{WITH}+ {WITHOUT}+"),
    ("CMD 28", {"ghm_cmd": "28"}, ""),
    ("CMD 90", {"ghm_cmd": "90"}, ""),
    ("CMD vide", {"ghm_cmd": None}, f"{WITH}+ {WITHOUT}+"),
    ("prestation réalisée pour un autre (B)", {"stay_type": "B"}, ""),
    ("un enfant", {"age_years": None}, f"{WITH}+ {WITHOUT}+"),
    ("une unité du site", {"units": ({"rum_finess_geo": HERE}, {})},
     f"{WITH}+ {WITHOUT}+ any_rum_with_medical_social+ any_rum_without_medical_social+"),
    ("une unité du site, provenance 7", {"units": ({}, {"rum_finess_geo": HERE}, {}), "entry_provenance": "7"},
     f"{WITH}+ {WITHOUT} any_rum_with_medical_social+ any_rum_without_medical_social"),
]  # fmt: skip

CLAUSES_OF_HPR_4_3: list[tuple[str, Where, str]] = [
    ("domicile", {}, "whole"),
    ("mutation en HAD", {"exit_mode": "6", "exit_destination": "6"}, "whole+"),
    ("transfert en HAD", {"exit_mode": "7", "exit_destination": "6"}, "whole+"),
    ("transfert en hébergement médico-social", {"exit_mode": "7", "exit_destination": "7"}, "whole"),
    ("transfert en SMR", {"exit_mode": "7", "exit_destination": "2"}, "whole"),
    ("destination HAD, mais domicile", {"exit_mode": "8", "exit_destination": "6"}, "whole"),
    ("mutation, destination vide", {"exit_mode": "6"}, "whole"),
    ("décès", {"exit_mode": "9"}, ""),
    ("mode de sortie vide", {"exit_mode": None, "exit_destination": "6"}, "whole"),
    ("format 224", {"version": "224", "exit_mode": "6", "exit_destination": "6"}, "whole+"),
    ("CMD 15", {"ghm_cmd": "15"}, "whole"),
    ("CMD 28", {"ghm_cmd": "28"}, ""),
    ("CMD 90", {"ghm_cmd": "90"}, ""),
    ("prestation réalisée pour un autre (B)", {"stay_type": "B"}, ""),
    ("passé par le site", {"units": ({"rum_finess_geo": HERE}, {}), "exit_mode": "6", "exit_destination": "6"},
     "whole+ any_rum+"),
    ("sorti du site", {"units": ({}, {"rum_finess_geo": HERE})}, "whole any_rum last_rum"),
    ("dernier numéro sur le site, écrit en premier",
     {"units": ({"rum_number": "10", "rum_finess_geo": HERE}, {"rum_number": "9"})}, "whole any_rum last_rum"),
    ("numéros vides : le dernier écrit", {"units": ({"rum_number": ""}, {"rum_number": "", "rum_finess_geo": HERE})},
     "whole any_rum last_rum"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "cases"),
    [("OS_11", CLAUSES_OF_OS_11), ("HPR_3_2", CLAUSES_OF_HPR_3_2), ("HPR_4_3", CLAUSES_OF_HPR_4_3)],
    ids=["OS_11", "HPR_3_2", "HPR_4_3"],
)
def test_each_clause_of_a_definition_decides_its_case(
    definition: str, cases: list[tuple[str, Where, str]], tmp_path: Path
) -> None:
    stays = [line_of(number, **values) for number, (_, values, _) in enumerate(cases, start=1)]
    found: dict[int, set[str]] = {stay.line: set() for stay in stays}
    with warehouse(tmp_path / "w", {fictional_finess(): stays}, labelled=[LABELLED]) as read:
        variants = read(f"select variant from out_ars__pmsi_indicator where definition_id = '{definition}'")["variant"]
        for variant in variants:
            lines = {
                measure: set(read(f"from {INDICATOR.explained_by} where {conditions[variant]}")["line_number"])
                for measure, conditions in INDICATOR.measures.items()
            }
            assert lines["numerator"] <= lines["denominator"]
            for line in lines["denominator"]:
                found[line].add(variant + ("+" if line in lines["numerator"] else ""))
            for line in lines["conflicts"]:
                found[line].add("!")
    assert {cases[line - 1][0]: marks for line, marks in found.items()} == {
        case: set(expected.split()) for case, _, expected in cases
    }


# --- what a rate says beside its value


def stays_of(*groups: tuple[int, Where]) -> list[Verdict]:
    """So many stays of each kind."""
    spread = itertools.chain.from_iterable(itertools.repeat(values, count) for count, values in groups)
    return [line_of(number, **values) for number, values in enumerate(spread, start=1)]


def rows_of(folder: Path, *cases: list[Verdict], **more: Any) -> list[dict[str, Where]]:
    """The indicator rows by variant, for each case as an establishment of its own."""
    stays = {fictional_finess(number=number): of_one(case, number) for number, case in enumerate(cases, start=1)}
    with warehouse(folder / "warehouse", stays, INDICATOR.view, **more) as read:
        rows = read("from out_ars__pmsi_indicator").to_dicts()
    return [{row["variant"]: row for row in rows if row["finess"] == finess} for finess in stays]


def of_one(stays: list[Verdict], number: int) -> list[Verdict]:
    return [replace(stay, values=stay.values | {"finess": fictional_finess(number=number)}) for stay in stays]


OS_11_VARIANTS = [f"{age}_v{door}" for age in ("ge75", "gt75") for door in (1, 2, 3)]


def test_below_80_percent_of_stated_fields_a_rate_is_not_comparable(tmp_path: Path) -> None:
    cases = {20: None, 21: "COMPLETUDE"}
    found = rows_of(tmp_path, *(stays_of((100 - blank, {}), (blank, {"unscheduled": None})) for blank in cases))
    for rows, (blank, reason) in zip(found, cases.items(), strict=True):
        assert {rows[variant]["not_comparable_reason"] for variant in OS_11_VARIANTS} == {reason}
        assert {rows[variant]["completeness_percent"] for variant in OS_11_VARIANTS} == {100 - blank}


def test_below_30_stays_a_rate_is_not_comparable(tmp_path: Path) -> None:
    cases = {29: "DENOMINATEUR_FAIBLE", 30: None}
    found = rows_of(tmp_path, *(stays_of((count, {}), (40, {"age_years": 40})) for count in cases))
    assert [rows["gt75_v3"]["not_comparable_reason"] for rows in found] == list(cases.values())
    assert [rows["whole"]["not_comparable_reason"] for rows in found] == [None, None]
    [both] = rows_of(tmp_path / "both", stays_of((15, {}), (14, {"unscheduled": None})))
    assert both["ge75_v3"]["not_comparable_reason"] == "DENOMINATEUR_FAIBLE", "before completeness, as contracts say it"


def test_a_format_without_the_field_gives_no_rate_and_says_so(tmp_path: Path) -> None:
    absent = {
        "224": {"OS_11", "OS_13", "HPR_3_2"}, "225": {"OS_11", "HPR_3_2"}, "226": {"OS_11"}, "227": set(), "228": set(),
        "229": set(),
    }  # fmt: skip
    by_provenance = {"226": {"HPR_3_2"}, "227": {"OS_11", "HPR_3_2"}}
    stays = (stays_of((40, {"version": version, "ghm_type": "C", "raac": "1"})) for version in FORMATS)
    for version, rows in zip(FORMATS, rows_of(tmp_path, *stays), strict=True):
        assert len(rows) == 11
        for row in rows.values():
            lacking = row["definition_id"] in absent[version]
            assert row["not_comparable_reason"] == ("CHAMP_ABSENT" if lacking else None), row
            assert (row["denominator"], row["rate_percent"] is None) == ((0, True) if lacking else (40, False)), row
            assert row["completeness_percent"] == (0 if lacking else 100), row
            assert row["ed_by_provenance"] == (row["definition_id"] in by_provenance.get(version, set())), row


def test_stays_of_an_older_format_are_left_out_of_the_rate_and_lower_its_completeness(tmp_path: Path) -> None:
    [rows] = rows_of(tmp_path, stays_of((60, {}), (30, {"version": "226"})))
    said = {name: rows["ge75_v3"][name] for name in ("denominator", "completeness_percent", "not_comparable_reason")}
    assert said == {"denominator": 60, "completeness_percent": Decimal("66.67"), "not_comparable_reason": "COMPLETUDE"}


def test_rates_are_rounded_half_up(tmp_path: Path) -> None:
    to_had = {"exit_mode": "6", "exit_destination": "6"}
    rates = {(1, 800): "0.13", (3, 800): "0.38", (1, 3): "33.33", (2, 3): "66.67", (5, 5): "100.00"}
    found = rows_of(tmp_path, *(stays_of((met, to_had), (asked - met, {})) for met, asked in rates))
    assert [rows["whole"]["rate_percent"] for rows in found] == [Decimal(rate) for rate in rates.values()]


def test_coding_conflicts_are_counted_by_age(tmp_path: Path) -> None:
    [rows] = rows_of(tmp_path, stays_of((4, {"ed_passage": "5", "age_years": 75}), (3, {"entry_mode": "7"}), (20, {})))
    assert [rows[f"{age}_v2"]["conflicts"] for age in ("ge75", "gt75")] == [7, 3]
    assert rows["whole"]["conflicts"] is None


def test_a_year_is_provisional_until_its_corrections_came(tmp_path: Path) -> None:
    for period, flow, provisional in ((11, "sejours", True), (12, "sejours", True), (12, "lamda", False), (12, "m999", False)):
        [rows] = rows_of(tmp_path / f"{period}{flow}", stays_of((3, {})), period=period, flow=flow)
        assert {(row["provisional"], row["transmission_period"]) for row in rows.values()} == {(provisional, period)}


# --- references


def test_site_variants_are_of_establishments_with_a_labelled_site_on_31_december(tmp_path: Path) -> None:
    labels = {
        ("2020-01-01", None): True,
        ("2025-12-31", None): True,
        ("2026-01-01", None): False,
        ("2020-01-01", "2025-12-31"): False,
        ("2020-01-01", "2026-01-01"): True,
    }
    listed = [
        (fictional_finess(number=number), HERE, *dates, "attested", "arrêté fictif")
        for number, dates in enumerate(labels, start=1)
    ]
    stays = stays_of((35, {"units": ({"rum_finess_geo": HERE},)}), (5, {}))
    for rows, label in zip(rows_of(tmp_path, *[stays] * len(labels), labelled=listed * 2), labels.values(), strict=True):
        for variant in ("any_rum", "last_rum", "any_rum_with_medical_social", "any_rum_without_medical_social"):
            assert (rows[variant]["denominator"] if label else rows.get(variant)) == (35 if label else None)
        assert rows["whole"]["denominator"] == 40


def test_a_labelled_site_without_stays_has_rows_and_no_rate(tmp_path: Path) -> None:
    [rows] = rows_of(tmp_path, stays_of((35, {})), labelled=[LABELLED])
    said = {name: rows["any_rum"][name] for name in ("numerator", "denominator", "rate_percent", "not_comparable_reason")}
    assert said == {"numerator": 0, "denominator": 0, "rate_percent": None, "not_comparable_reason": "DENOMINATEUR_FAIBLE"}


def test_until_something_is_received_no_site_is_labelled_and_no_establishment_linked(tmp_path: Path) -> None:
    assert {name: reference(name, {}).rows for name in GIVEN} == {HPR_SITES: (), FINESS_LINKS: ()}
    [rows] = rows_of(tmp_path, stays_of((35, {})))
    assert len(rows) == 9
    assert {row["finess_ej"] for row in rows.values()} == {None}


def test_the_legal_entity_is_that_of_31_december_or_unresolved(tmp_path: Path) -> None:
    one, moved, over, to_come, itself, torn, unknown = (fictional_finess(number=number) for number in range(1, 8))
    expected = {one: AWAY, moved: AWAY, over: None, to_come: None, itself: itself, torn: None, unknown: None}
    links = [
        (one, AWAY, "2000-01-01", None),
        (moved, HERE, "2000-01-01", "2025-12-31"),
        (moved, AWAY, "2025-12-31", None),
        (over, HERE, "2000-01-01", "2025-12-31"),
        (to_come, HERE, "2026-01-01", None),
        (HERE, itself, "2000-01-01", None),
        (ELSEWHERE, itself, "2000-01-01", None),
        (torn, HERE, "2000-01-01", None),
        (torn, AWAY, "2000-01-01", None),
    ]
    stays = {finess: of_one(stays_of((3, {})), number) for number, finess in enumerate(expected, start=1)}
    with warehouse(tmp_path / "w", stays, links=links) as read:
        for contract in PRODUCT.tables:
            assert dict(read(f"select distinct finess, finess_ej from {contract.view}").rows()) == expected


def test_a_new_labelled_site_builds_again_what_reads_it_and_nothing_else(tmp_path: Path) -> None:
    stays = {fictional_finess(): stays_of((3, {}))}
    with warehouse(tmp_path / "w", stays):
        before = set((tmp_path / "w" / "views").rglob("*.parquet"))
    with warehouse(tmp_path / "w", stays, labelled=[(fictional_finess(), HERE, "2020-01-01", None, "", "")]):
        built = {path.parent.name for path in set((tmp_path / "w" / "views").rglob("*.parquet")) - before}
    assert "int_pmsi__stay_measure" in built
    assert built.isdisjoint({"core_pmsi__stay", "core_pmsi__unit_stay", "int_pmsi__transmission"})


# --- blanks


def test_a_blank_ghm_or_site_is_counted_under_a_name_that_says_so(tmp_path: Path) -> None:
    blank = {"ghm_cmd": None, "los_nights": None, "stay_type": None, "units": ({"rum_finess_geo": "", "rum_partial_los": ""},)}
    with warehouse(tmp_path / "w", {fictional_finess(): stays_of((2, blank))}) as read:
        by_ghm = read("select ghm, stays, nights, days, sessions from out_ars__pmsi_activity_by_ghm").rows()
        by_site = read("select finess_geo, stays, unit_stays, nights from out_ars__pmsi_unit_activity").rows()
    assert by_ghm == [("INCONNU", 2, 0, 2, None)]
    assert by_site == [("INCONNU", 2, 2, 0)]


def test_a_stay_counts_once_on_each_site_and_its_units_each(tmp_path: Path) -> None:
    units = ({"rum_finess_geo": HERE}, {"rum_finess_geo": ELSEWHERE}, {"rum_finess_geo": HERE})
    kinds = ((1, {"units": units}), (1, {"units": units, "stay_type": "B"}), (1, {"units": units, "ghm_cmd": "28"}))
    with warehouse(tmp_path / "w", {fictional_finess(): stays_of(*kinds)}) as read:
        found = read("select finess_geo, stays, unit_stays, nights from out_ars__pmsi_unit_activity").rows()
    assert found == sorted([(HERE, 1, 2, 2), (ELSEWHERE, 1, 1, 1)])


# --- small counts


def published(read: Reading, name: str) -> pl.DataFrame:
    """A table as published, all views being there."""
    views_read = {contract.view: read(f"from {contract.view}") for contract in TABLES.values()}
    return masked(PRODUCT, views_read, "99", date(2026, 3, 31))[name]


def random_kind(dice: random.Random) -> Where:
    """Any stay that counts somewhere, told by all that sets variants apart."""
    return {
        "version": dice.choices(["226", "227", "229"], [1, 1, 10])[0],
        "age_years": dice.choice([60, 75, 80]),
        "unscheduled": dice.choices([None, "1", "2", "X"], [2, 4, 3, 2])[0],
        "ed_passage": dice.choices([None, "5"], [3, 1])[0],
        "entry_mode": dice.choices(["8", "7", None], [8, 1, 1])[0],
        "entry_provenance": dice.choices([None, "7", "5"], [4, 2, 1])[0],
        "exit_mode": dice.choices(["8", "6", None], [3, 2, 1])[0],
        "exit_destination": dice.choice([None, "6"]),
        "ghm_type": dice.choice(["M", "C"]),
        "raac": dice.choices([None, "0", "1"], [1, 2, 2])[0],
        "los_nights": dice.choice([0, 2]),
        "units": [{"rum_finess_geo": dice.choices([HERE, ELSEWHERE], [2, 1])[0]} for _ in range(dice.randint(1, 2))],
    }


STATED = {
    "OS_11": "is_schedule_stated", "OS_13": "is_raac_stated", "HPR_3_2": "is_entry_stated", "HPR_4_3": "is_exit_stated",
}  # fmt: skip
NARROWED = {"gt75": "is_over_75", "v2_overnight": "is_overnight", "any_rum": "is_hpr_any_rum", "last_rum": "is_hpr_last_rum"}
MEASURES = ("numerator", "denominator", "completeness_percent")


def figures_of(definition: str, variants: Iterable[str]) -> dict[tuple[str, str], str]:
    """By variant and measure, the condition on the stays whose number the figure tells (its population being known)."""
    told = {}
    for variant in variants:
        narrowed = [condition for prefix, condition in NARROWED.items() if variant.startswith(prefix)]
        told[variant, "completeness_percent"] = " and ".join([STATED[definition], *narrowed])
        told |= {(variant, measure): INDICATOR.measures[measure][variant] for measure in ("numerator", "denominator")}
    return told


def differences(known: set[int]) -> set[int]:
    """All sets of groups whose size follows from the sizes known, by taking one out of another that holds it, three times."""
    for _ in range(3):
        known = known | {wide ^ narrow for wide, narrow in itertools.permutations(known, 2) if wide & narrow == narrow}
    return known


def small_counts_told(read: Reading, rows: pl.DataFrame, definition: str) -> list[tuple[str, int]]:
    """Counts under the threshold that follow from the published rows of a definition, with their establishments.

    A group holds the stays that all figures treat alike; a set of groups is the bits of a number. That one set holds another
    is known to all when it is so among the stays of every establishment together.
    """
    told = figures_of(definition, rows["variant"].unique().sort())
    marks = [f"({condition}) as f{place}" for place, condition in enumerate(told.values())]
    names = [f"f{place}" for place in range(len(told))]
    stays = read(f"select finess, {', '.join(marks)} from {INDICATOR.explained_by}")
    groups = stays.select(names).unique().sort(names).with_row_index("number")
    bits = {
        figure: sum(1 << number for number in groups.filter(name)["number"]) for figure, name in zip(told, names, strict=True)
    }
    counted = stays.join(groups, on=names).group_by("finess", "number").len()
    found = []
    for (finess,), published_rows in rows.partition_by("finess", as_dict=True).items():
        sizes = counted.filter(pl.col("finess") == finess).select("number", "len").rows()
        cells = itertools.product(published_rows.to_dicts(), MEASURES)
        shown = {bits[row["variant"], measure] for row, measure in cells if row[measure] is not None}
        counts = (sum(size for number, size in sizes if known >> number & 1) for known in differences(shown))
        found += [(finess, count) for count in counts if 0 < count < THRESHOLD]
    return found


def test_no_difference_between_published_variants_tells_a_small_count(tmp_path: Path) -> None:
    dice = random.Random(11)
    stays = {}
    for number in range(1, ESTABLISHMENTS + 1):
        kinds = [(dice.choice([3, 8, 12, 15, 40]), random_kind(dice)) for _ in range(dice.randint(4, 24))]
        stays[fictional_finess(number=number)] = of_one(stays_of(*kinds), number)
    listed = [(finess, HERE, "2020-01-01", None, "attested", "") for finess in stays]
    with warehouse(tmp_path / "w", stays, labelled=listed) as read:
        rows = published(read, "indicator")
        for (definition,), of_definition in rows.partition_by("definition_id", as_dict=True).items():
            assert small_counts_told(read, of_definition, str(definition)) == [], definition
    shown = dict(rows.group_by("variant").agg(pl.col("rate_percent").count()).rows())
    assert min(shown.values()) > 0, f"a variant never published: the test says nothing of it ({shown})"


def test_a_variant_that_few_stays_set_apart_is_hidden_beside_the_wider_one(tmp_path: Path) -> None:
    few_of_75 = (200, {}), (100, {"unscheduled": "2"}), (5, {"age_years": 75}), (20, {"age_years": 75, "unscheduled": "2"})
    with warehouse(tmp_path / "w", {fictional_finess(): stays_of(*few_of_75)}) as read:
        rows = {row["variant"]: row for row in published(read, "indicator").to_dicts()}
    assert (rows["ge75_v3"]["numerator"], rows["ge75_v3"]["denominator"]) == (205, 325)
    for variant in ("gt75_v1", "gt75_v2", "gt75_v3"):
        assert {rows[variant][figure] for figure in (*MEASURES, "rate_percent")} == {None}, "5 of 75 are told by any of them"
    assert rows["ge75_v2"]["denominator"] == 325, "no stay at all sets v2 apart from v3"


def test_completeness_is_hidden_where_it_would_tell_a_few_stays(tmp_path: Path) -> None:
    cases = {0: True, 1: False, 10: False, 11: True}
    stays = {
        fictional_finess(number=number): of_one(stays_of((100, {}), (blank, {"unscheduled": None})), number)
        for number, blank in enumerate(cases, start=1)
    }
    with warehouse(tmp_path / "w", stays) as read:
        rows = published(read, "indicator").filter(pl.col("variant") == "ge75_v3")
    assert rows["completeness_percent"].is_not_null().to_list() == list(cases.values())


def test_small_counts_by_ghm_and_by_site_are_hidden(region: dict[str, list[Verdict]], read: Reading) -> None:
    assert parameters.value(THRESHOLD_ID, date(2026, 3, 31)).value == THRESHOLD
    by_ghm, by_site = published(read, "activity_by_ghm"), published(read, "unit_activity")
    for rows, counts in ((by_ghm, ["stays", "sessions"]), (by_site, ["stays", "unit_stays"])):
        for count in counts:
            assert rows[count].drop_nulls().is_between(0, THRESHOLD - 1).sum() == 0
    assert by_ghm["masked"].any()
    sessions = by_ghm.filter(pl.col("ghm").str.starts_with("28") & pl.col("sessions").is_not_null())
    assert sessions.height > 0
    assert not sessions["masked"].any(), "what a GHM cannot have is not a masked count"


def test_a_site_that_few_stays_crossed_is_hidden_though_it_has_many_unit_stays(tmp_path: Path) -> None:
    crossed = (10, {"units": ({"rum_finess_geo": HERE},) * 5}), (11, {"units": ({"rum_finess_geo": AWAY},)})
    with warehouse(tmp_path / "w", {fictional_finess(): stays_of(*crossed)}) as read:
        rows = published(read, "unit_activity").select("finess_geo", "stays", "unit_stays", "nights", "masked").rows()
    assert rows == sorted([(HERE, None, None, None, True), (AWAY, None, None, None, True)]), "21 in all would tell it"


def test_masks_read_columns_of_the_views_and_totals(read: Reading) -> None:
    for contract in PRODUCT.tables:
        columns = set(read(f"from {contract.view}").columns)
        columns |= {total.name for total in PRODUCT.totals if set(total.over) <= columns}
        for mask in contract.mask:
            assert set(mask.hides) <= {column.name for column in contract.columns}
            for expression in mask.counts + mask.gaps:
                assert pl.sql_expr(expression).meta.root_names() != []
                assert set(pl.sql_expr(expression).meta.root_names()) <= columns


def test_a_total_order_makes_views_the_same_whatever_the_order_of_lines(tmp_path: Path) -> None:
    stays = synthetic("229", 1, stays=60)
    answers = []
    for name, order in (("a", stays), ("b", stays[::-1])):
        with warehouse(tmp_path / name, {fictional_finess(): order}) as read:
            answers.append([read(f"from {contract.view}").drop("transmission_id") for contract in PRODUCT.tables])
    assert all(first.equals(again) for first, again in zip(*answers, strict=True))
