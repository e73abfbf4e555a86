"""Dated parameters: one value on a day or none, by whom it is published and attested, and never the nearest."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import polars as pl
import pytest

from contracts_schema import parameters
from contracts_schema.parameters import Attestation, NoValue, UnknownParameter, policies, snp
from contracts_schema.parameters.record import (
    FIRM,
    STATUSES,
    WITHOUT_REFERENCE,
    BrokenParameter,
    Cell,
    Entry,
    Parameter,
    is_of_kind,
    read_parameter,
    said,
)

DAY = timedelta(days=1)
JANUARIES = [date(year, 1, 1) for year in range(2015, 2028)]
CELLS = [
    pytest.param(one, cell, id=f"{one.id} {said(cell)}".strip())
    for one in parameters.parameters().values()
    for cell in one.cells
]
RHINO = {"version": "RHINO", "act": "INCLUSION"}
CPTS_RHINO = {"structure_kind": "CPTS", "version": "RHINO"}


def entry(**more: Any) -> dict[str, Any]:
    return {
        "valid_from": "2020-01-01", "valid_to": None, "value": 100, "status": "official", "reference": {"title": "Arrêté"},
        "journal_officiel": "2020-01-01", "read_on": "2020-02-01", "reviewed_on": "2025-11-01",
    } | more  # fmt: skip


def written(*values: dict[str, Any], **more: Any) -> Parameter:
    told = {"id": "test.rate", "label_fr": "Taux", "kind": "percent", "applies_to": {}, "values": list(values)} | more
    return read_parameter(told, {}, "essai.yaml")


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts parameters in the place of those that are shipped."""

    def put(*found: Parameter) -> None:
        monkeypatch.setattr(parameters, "parameters", lambda: {one.id: one for one in found})

    return put


def attested(parameter: str, value: int, start: date, end: date | None = None, **dimensions: str) -> Attestation:
    cell = parameters.cell_of(parameters.parameter(parameter), dimensions)
    return Attestation(parameter, cell, value, start, end, "Circulaire", position=7)


# --- what the files say


@pytest.mark.parametrize(("parameter", "cell"), CELLS)
def test_between_its_first_and_last_day_a_parameter_has_exactly_one_value(parameter: Parameter, cell: Cell) -> None:
    entries = parameter.cells[cell]
    first, last = min(one.valid_from for one in entries), max(one.valid_to or date.max for one in entries)
    edges = {one.valid_from for one in entries} | {one.valid_to for one in entries if one.valid_to}
    for day in sorted({*JANUARIES, *(edge + step for edge in edges for step in (-DAY, 0 * DAY, DAY))}):
        holding = [one for one in entries if one.valid_from <= day and (one.valid_to is None or day < one.valid_to)]
        if not first <= day < last:
            with pytest.raises(NoValue):
                parameters.value(parameter.id, day, **dict(cell))
            continue
        assert len(holding) == 1, f"{day}: a gap or an overlap"
        if holding[0].value is None:
            with pytest.raises(NoValue, match="missing"):
                parameters.value(parameter.id, day, **dict(cell))
        else:
            found = parameters.value(parameter.id, day, **dict(cell))
            assert (found.value, found.status) == (holding[0].value, holding[0].status)


def test_the_first_of_january_without_law_are_these_and_no_others() -> None:
    without = {
        f"{one.id} {said(cell)}".strip(): [day.year for day in JANUARIES if not any(value.holds(day) for value in entries)]
        for one in parameters.parameters().values()
        if not one.id.startswith(("cds.", "cpts.", "cpom."))  # test_cds_facts.py: as long as the indicator lives
        for cell, entries in one.cells.items()
    }
    versions = {"2020": ["ODYNO_2020", "CYSTITE_2020"], "2023": ["CYSTITE_2023", "ODYNO_2023"]}
    lasting = ["RHINO", "VARICELLE", "LOMBALGIE", "CHEVILLE"]
    before = list(range(2015, 2021))
    replaced, later, summer = [*before, 2024, 2025, 2026, 2027], list(range(2015, 2024)), list(range(2015, 2023))
    acts = {version: ["CONSULT_1", "CONSULT_2"] for version in ("LOMBALGIE", "CHEVILLE")}
    expected: dict[str, list[int]] = {"publication.small_cell_threshold": []}
    for names, years in ((versions["2020"], replaced), (lasting, before), (versions["2023"], later)):
        expected |= {f"snp.tariff version={v}, act={act}": years for v in names for act in acts.get(v, ["INCLUSION"])}
        expected |= {f"snp.window structure_kind={kind}, version={v}": years for kind in ("MSP", "CDS") for v in names}
    of_cpts = {"2020": [*summer, 2024, 2025, 2026, 2027], "2023": later}
    expected |= {f"snp.window structure_kind=CPTS, version={v}": of_cpts[name] for name, vs in versions.items() for v in vs}
    expected |= {f"snp.window structure_kind=CPTS, version={v}": summer for v in lasting}
    assert without == expected


@pytest.mark.parametrize(("parameter", "cell"), CELLS)
def test_a_value_starts_on_its_first_day_and_not_the_day_before(parameter: Parameter, cell: Cell) -> None:
    for one in parameter.cells[cell]:
        for day in (one.valid_from, one.valid_from + DAY):
            if one.value is None:
                with pytest.raises(NoValue, match="missing"):
                    parameters.value(parameter.id, day, **dict(cell))
                continue
            assert parameters.value(parameter.id, day, **dict(cell)).valid_from == one.valid_from
        try:
            before = parameters.value(parameter.id, one.valid_from - DAY, **dict(cell))
        except NoValue:
            continue
        assert before.valid_to == one.valid_from


@pytest.mark.parametrize(("parameter", "cell"), CELLS)
def test_a_value_is_whole_and_says_its_reference_unless_its_status_needs_none(parameter: Parameter, cell: Cell) -> None:
    for one in parameter.cells[cell]:
        assert one.value is None or is_of_kind(one.value, parameter.kind)
        assert one.status in STATUSES
        assert one.references or one.status in WITHOUT_REFERENCE
        assert all(reference.title for reference in one.references)
        assert "eur" not in parameter.unit.lower()


def test_no_tariff_or_window_of_the_files_is_firm() -> None:
    assert {status for table in (snp.tariffs(), snp.windows(), snp.gaps()) for status in table["status"]} & FIRM == set()


def test_values_reviewed_more_than_twelve_months_ago_are_told() -> None:
    assert parameters.to_review(date(2026, 11, 22)) == [], "a value is past its review"
    told = parameters.to_review(date(2027, 11, 22))
    assert "publication.small_cell_threshold : valeur du 2015-01-01, relue le 2026-11-21, à revoir" in told
    assert parameters.to_review(date(2027, 11, 21)) == [], "twelve months are not more than twelve"
    assert parameters.to_review(date(2028, 2, 29)) == told


# --- a question about a day


def test_a_day_outside_all_values_raises_and_never_gives_the_nearest() -> None:
    for day in (date(2020, 3, 7), date(2023, 3, 14), date(2026, 1, 1)):
        with pytest.raises(NoValue, match="no value"):
            parameters.value("snp.tariff", day, version="CYSTITE_2020", act="INCLUSION")


def test_a_parameter_or_a_cell_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UnknownParameter, match=r"snp\.tarif "):
        parameters.value("snp.tarif", date(2024, 1, 1))
    with pytest.raises(UnknownParameter, match="dimensions attendues : version, act"):
        parameters.value("snp.tariff", date(2024, 1, 1), version="RHINO")
    with pytest.raises(UnknownParameter, match="ne connaît pas version=RHINO, act=CONSULT_2"):
        parameters.value("snp.tariff", date(2024, 1, 1), version="RHINO", act="CONSULT_2")


def test_a_text_counts_from_the_day_of_its_publication_even_for_days_before(shipped: Any) -> None:
    first = entry(valid_to=None, value=10, journal_officiel="2020-01-01")
    shipped(written(first, entry(valid_from="2023-01-01", value=20, journal_officiel="2023-08-24")))
    day = date(2023, 3, 1)
    assert parameters.value("test.rate", day, known_on=date(2023, 8, 23)).value == 10
    assert parameters.value("test.rate", day, known_on=date(2023, 8, 24)).value == 20
    assert parameters.value("test.rate", day).value == 20
    with pytest.raises(NoValue, match="as published by 2019-12-31"):
        parameters.value("test.rate", day, known_on=date(2019, 12, 31))
    assert [(one.valid_from.year, one.value) for one in parameters.timeline("test.rate")] == [(2020, 10), (2023, 20)]


def test_a_text_whose_publication_day_is_not_known_is_published_by_no_day() -> None:
    interim = {"version": "CYSTITE_2023", "act": "INCLUSION"}
    assert parameters.value("snp.tariff", date(2023, 5, 1), **interim).value == 2500
    with pytest.raises(NoValue):
        parameters.value("snp.tariff", date(2023, 5, 1), known_on=date(2026, 1, 1), **interim)
    assert parameters.value("snp.tariff", date(2023, 9, 1), known_on=date(2023, 8, 24), **interim).value == 2500


def test_a_missing_value_is_replaced_only_in_a_simulation_which_is_not_firm(shipped: Any) -> None:
    tried = {"value": 1000, "status": "analogue", "reference": {"title": "ACI MSP"}}
    shipped(written(entry(value=None, status="missing", simulation=tried)))
    with pytest.raises(NoValue, match="missing"):
        parameters.value("test.rate", date(2024, 1, 1))
    found = parameters.value("test.rate", date(2024, 1, 1), simulation=True)
    assert (found.value, found.status, found.simulated, found.reference) == (1000, "analogue", True, "ACI MSP")
    assert not parameters.is_firm(found.status)


def test_a_parameter_of_kind_date_answers_a_day(shipped: Any) -> None:
    shipped(written(entry(value="2024-06-30"), kind="date"))
    assert parameters.value("test.rate", date(2024, 1, 1)).value == date(2024, 6, 30)


# --- statuses


@pytest.mark.parametrize(("strong", "weak"), list(combinations(STATUSES, 2)))
def test_what_is_made_from_two_values_has_the_weaker_status(strong: str, weak: str) -> None:
    assert parameters.weakest([strong, weak]) == parameters.weakest([weak, strong, strong]) == weak


def test_only_official_and_attested_are_firm_together_or_alone() -> None:
    assert [status for status in STATUSES if parameters.is_firm(status)] == ["official", "attested"]
    assert parameters.is_firm(parameters.weakest(["official", "attested"]))
    assert not parameters.is_firm(parameters.weakest(["official", "derived"]))
    for unknown in ([], ["sure"]):
        with pytest.raises(ValueError, match=r"not in tuple|empty"):
            parameters.weakest(unknown)


# --- what an organisation attests


def test_an_attestation_takes_the_place_of_the_files_on_its_days_and_in_its_cell_only() -> None:
    own = [attested("snp.tariff", 2700, date(2024, 4, 3), date(2025, 1, 1), **RHINO)]
    expected = [(date(2024, 4, 2), 2500, "secondary"), (date(2024, 4, 3), 2700, "attested"),
                (date(2024, 12, 31), 2700, "attested"), (date(2025, 1, 1), 2500, "secondary")]  # fmt: skip
    for day, cents, status in expected:
        found = parameters.value("snp.tariff", day, attested=own, **RHINO)
        assert (found.value, found.status) == (cents, status)
    other = parameters.value("snp.tariff", date(2024, 4, 3), attested=own, version="VARICELLE", act="INCLUSION")
    assert other.status == "secondary"


def test_tables_hold_for_each_day_what_the_question_about_that_day_answers() -> None:
    own = [attested("snp.tariff", 2700, date(2024, 4, 3), **RHINO), attested("snp.window", 1, date(2023, 12, 1), **CPTS_RHINO)]
    tables = {"snp.tariff": [(snp.tariffs(own), "cents")], "snp.window": [(snp.windows(own), 1), (snp.gaps(own), 0)]}
    for parameter, parts in tables.items():
        for cell in parameters.parameter(parameter).cells:
            for day in (
                *JANUARIES,
                date(2022, 7, 12),
                date(2022, 11, 1),
                date(2023, 4, 30),
                date(2023, 8, 24),
                date(2024, 4, 3),
            ):
                on = (pl.col("valid_from") <= day) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > day))
                rows = [
                    (row[given] if isinstance(given, str) else given, row["status"])
                    for table, given in parts
                    for row in table.filter(**dict(cell)).filter(on).iter_rows(named=True)
                ]
                try:
                    found = parameters.value(parameter, day, attested=own, **dict(cell))
                except NoValue:
                    assert rows == []
                else:
                    assert rows == [(found.value, found.status)]


def test_an_attested_window_keeps_its_name_and_one_that_the_files_say_closed_takes_its_own() -> None:
    own = [attested("snp.window", 1, date(2023, 5, 1), None, **CPTS_RHINO)]
    table = snp.windows(own).filter(**CPTS_RHINO).sort("valid_from")
    assert table.select("id", "valid_from", "status").rows()[-2:] == [
        ("W3", date(2023, 5, 1), "attested"),
        ("attestation-7", date(2023, 9, 1), "attested"),
    ]
    assert snp.gaps(own).filter(**CPTS_RHINO)["id"].to_list() == ["GAP1"]


def test_a_caisse_may_attest_that_a_protocol_was_closed() -> None:
    own = [attested("snp.window", 0, date(2023, 4, 1), date(2023, 5, 1), **CPTS_RHINO)]
    table = snp.windows(own).filter(**CPTS_RHINO)
    assert table.filter(id="W2")["valid_to"].to_list() == [date(2023, 4, 1)]
    assert snp.gaps(own).filter(status="attested").select("valid_from", "valid_to").row(0) == (
        date(2023, 4, 1),
        date(2023, 5, 1),
    )


def test_a_policy_moves_the_bounds_of_the_windows_and_gaps_that_it_names() -> None:
    moved = {("W2", "from"): date(2022, 12, 11), ("GAP1", "to"): date(2022, 12, 11)}
    assert snp.windows(moved=moved).filter(**CPTS_RHINO, id="W2")["valid_from"].item() == date(2022, 12, 11)
    assert snp.gaps(moved=moved).filter(**CPTS_RHINO, id="GAP1")["valid_to"].item() == date(2022, 12, 11)
    assert snp.windows().filter(**CPTS_RHINO, id="W2")["valid_from"].item() == date(2022, 12, 10)


# --- what a file must not say


BROKEN = {
    "a float": (entry(value=10.5), "nombre entier"),
    "text for a figure": (entry(value="25"), "nombre entier"),
    "yes for a figure": (entry(value=True), "nombre entier"),
    "null that is not missing": (entry(value=None), "null va avec"),
    "missing with a value": (entry(status="missing"), "null va avec"),
    "a status of its own": (entry(status="sure"), "statut sure inconnu"),
    "attested by a file": (entry(status="attested"), "vient d'une décision"),
    "no reference": (entry(reference=None), "dit sa référence"),
    "a reference without title": (entry(reference={"href": "https://example.org"}), "sans titre"),
    "an unknown source": (entry(reference=["JO_2099"]), "JO_2099"),
    "no review date": ({name: given for name, given in entry().items() if name != "reviewed_on"}, "il manque reviewed_on"),
    "an unknown field": (entry(source="JO"), "champ inconnu source"),
    "an end before its start": (entry(valid_to="2019-01-01"), "précède valid_to"),
    "an empty span": (entry(valid_to="2020-01-01"), "précède valid_to"),
    "no start": (entry(valid_from=None), "valid_from est nécessaire"),
    "a day that is none": (entry(valid_from="2020-02-30"), "valid_from n'est pas un jour"),
    "a firm simulation": (entry(simulation={"value": 1, "status": "official", "reference": {"title": "JO"}}), "simulation"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_says_what_it_must_not_is_refused_with_its_name_and_the_place(name: str) -> None:
    value, told = BROKEN[name]
    with pytest.raises(BrokenParameter, match=told) as refused:
        written(entry(valid_to="2019-06-01", valid_from="2019-01-01"), value)
    assert str(refused.value).startswith("essai.yaml, test.rate, valeur 2 : ")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"kind": "euros"}, "kind euros inconnu"),
        ({"kind": "cents", "unit": "EUR"}, "jamais en euros"),
        ({"label_fr": ""}, "il manque label_fr"),
        ({"kind": "date"}, "n'est pas un jour"),
    ],
)
def test_a_parameter_of_no_kind_or_in_euros_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(BrokenParameter, match=told):
        written(entry(value="x" if more.get("kind") == "date" else 1), **more)


@pytest.mark.parametrize("published", [None, "2020-01-01"])
def test_two_values_on_one_day_are_refused_unless_one_is_known_to_be_the_later(published: str | None) -> None:
    with pytest.raises(BrokenParameter, match="deux valeurs le 2023-01-01"):
        written(entry(), entry(valid_from="2023-01-01", journal_officiel=published))
    written(entry(), entry(valid_from="2023-01-01", journal_officiel="2022-12-31"))
    written(entry(valid_to="2023-01-01"), entry(valid_from="2023-01-01", journal_officiel=published))


def test_an_entry_holds_on_its_first_day_and_no_longer_on_the_day_of_its_end() -> None:
    (one,) = written(entry(valid_to="2021-01-01")).cells[()]
    assert [one.holds(day) for day in (date(2019, 12, 31), date(2020, 1, 1), date(2020, 12, 31), date(2021, 1, 1))] == [
        False, True, True, False,
    ]  # fmt: skip
    assert isinstance(one, Entry)
    assert replace(one, valid_to=None).holds(date(2099, 1, 1))


# --- policies


def test_policies_take_what_was_decided_and_else_their_defaults() -> None:
    chosen = policies.policies({"w2_end": "ask"})
    assert chosen["w2_end"] == "ask"
    assert {name: one.default for name, one in policies.catalogue().items() if name != "w2_end"} == {
        name: value for name, value in chosen.items() if name != "w2_end"
    }
    with pytest.raises(policies.WrongPolicy, match="w3_end"):
        policies.policies({"w3_end": "ask"})


@pytest.mark.parametrize("name", policies.catalogue())
def test_what_a_policy_is_set_to_is_written_and_read_alike(name: str) -> None:
    policy = policies.policy_of(name)
    for value in policy.values or (policy.default,):
        assert policies.parse_choice(name, policies.written_choice(value)) == value
    with pytest.raises(policies.WrongPolicy, match=f"{name} ne prend pas « peut-être » : attendu"):
        policies.parse_choice(name, "peut-être")


def test_a_figure_is_switched_off_by_a_word_and_is_never_negative() -> None:
    assert policies.parse_choice("b02_ask_after_months", "aucun") is None
    assert policies.parse_choice("b02_ask_after_months", "27") == 27
    for text in ("-1", "2.5", "٣", ""):
        with pytest.raises(policies.WrongPolicy, match="nombre entier"):
            policies.parse_choice("b02_ask_after_months", text)
