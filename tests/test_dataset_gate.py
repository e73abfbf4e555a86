"""The row gate of datasets: one bad row never costs the others, keys warn, periods do not overlap, facts come out as read."""

import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snp_facts import SPEC
from snp_facts import facts_of as facts_of_scenario
from snp_files import exported

from checks.dataset_facts import establishment_links, facts_of
from checks.dataset_values import typed
from checks.datasets import Gate, judge_file
from checks.snp.facts import SCHEMAS
from connectors import synthetic_references as synthetic
from connectors.datasets import read, recognise
from connectors.synthetic import fictional_finess
from connectors.synthetic_bordereaux import Cell, Plan, Value, write_xlsx
from contracts_schema.datasets import Column, datasets, schema
from contracts_schema.rules import catalogue

SIRET = "99900001100018"
OTHER = "99900002900010"


def judged(content: bytes | str, folder: Path, block: int | None = None) -> tuple[pl.DataFrame, pl.DataFrame, Gate]:
    """All accepted rows, all quarantined rows, and the gate, of a file judged in blocks of so many rows."""
    path = folder / "fichier"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = recognise(path)
    dataset = datasets()[found.dataset]
    gate = Gate(dataset, dataset.layout(found.layout))
    frames = [part for frame in read(path, found) for part in (frame.iter_slices(block) if block else [frame])]
    parts = [gate.judge(frame) for frame in frames]
    return pl.concat(a for a, _ in parts), pl.concat(q for _, q in parts), gate


def refused(quarantined: pl.DataFrame) -> list[tuple[int, str, list[str]]]:
    return list(quarantined.select("line_number", "rule", "fields").iter_rows())


STRUCTURES = "SIRET;SIREN;FINESS;Nom;Type;Ouverture;Fermeture\n"


# --- identifiers


def test_a_wrong_key_warns_and_lets_in_and_a_wrong_form_refuses(tmp_path: Path) -> None:
    finess = fictional_finess()
    wrong = finess[:-1] + str((int(finess[-1]) + 1) % 10)
    rows = (
        f"{SIRET[:-1]}9;;{wrong};A;MSP;;\n{OTHER};;99000;B;MSP;;\n9990000110001;;;C;MSP;;\n99900003700013;;{finess};D;CDS;;\n"
    )
    accepted, quarantined, gate = judged(STRUCTURES + rows, tmp_path)
    assert accepted["name"].to_list() == ["A", "D"]
    assert accepted["finess"].to_list() == [wrong, finess]
    assert refused(quarantined) == [(3, "dataset.invalid_value", ["finess"]), (4, "dataset.invalid_value", ["siret"])]
    assert gate.tally.warnings == {"dataset.wrong_key": {"siret": 1, "finess": 1}}
    assert gate.tally.warned == {"dataset.wrong_key": 1}


def test_numbers_are_compared_without_spaces_and_corsica_has_letters(tmp_path: Path) -> None:
    accepted, quarantined, gate = judged(STRUCTURES + "999 000 011 00018;999000011;2a0000154;A;MSP;;\n", tmp_path)
    assert accepted.select("siret", "siren", "finess").row(0) == (SIRET, "999000011", "2A0000154")
    assert (quarantined.height, gate.tally.warnings) == (0, {})


def test_a_finess_without_its_key_is_completed_and_said(tmp_path: Path) -> None:
    whole = [fictional_finess("99", number) for number in range(1, 40)]
    rows = "".join(f"{synthetic.siret(n)};;{number[:8]};A;MSP;;\n" for n, number in enumerate(whole))
    accepted, quarantined, gate = judged(STRUCTURES + rows, tmp_path)
    assert set(accepted["finess"]) <= set(whole)
    assert gate.tally.warned == {"dataset.key_completed": accepted.height}
    assert accepted.height > 30
    assert {tuple(fields) for _, _, fields in refused(quarantined)} <= {("finess",)}, (
        "those that a first zero completes as well"
    )


def test_a_siren_that_is_not_the_start_of_the_siret_is_said(tmp_path: Path) -> None:
    accepted, _, gate = judged(STRUCTURES + f"{SIRET};{OTHER[:9]};;A;MSP;;\n", tmp_path)
    assert (accepted.height, gate.tally.warnings) == (1, {"dataset.siren_mismatch": {"siren": 1}})


def test_declared_identifiers_are_free_text_and_never_cost_a_dossier(tmp_path: Path) -> None:
    rows = synthetic.dossier("101", "2022-07-20T10:00+02:00", SIRET, ["PH1"])
    rows[0] |= {"FINESS": "néant", "SIRET": "en cours"}
    rows[1] |= {"RPPS": "99900000012"}
    accepted, quarantined, gate = judged(synthetic.declarations(rows), tmp_path)
    assert (accepted.height, quarantined.height) == (2, 0)
    assert accepted["finess"].to_list()[0] == "NÉANT"
    assert gate.tally.warnings == {
        "dataset.malformed_identifier": {"siret": 1, "finess": 1},
        "dataset.wrong_key": {"rpps": 1},
    }


def test_the_national_form_of_a_rpps_loses_its_8(tmp_path: Path) -> None:
    accepted, _, _ = judged("RPPS;Profession\n899900000011;Sage-femme\n", tmp_path)
    assert accepted.select("rpps", "profession").row(0) == ("99900000011", "SAGE_FEMME")


# --- rows


def test_a_nir_in_any_free_field_quarantines_the_line_without_its_text(tmp_path: Path) -> None:
    body = "2550899168025"
    nir = f"{body}{97 - int(body) % 97:02d}"
    spaced = f"2 55 08 99 168 025 {nir[-2:]}"
    rows = f"{SIRET};;;{nir};MSP;;\n{OTHER};;;{spaced};MSP;;\n{nir};trop court\n"
    _, quarantined, _ = judged(STRUCTURES + rows, tmp_path)
    assert quarantined["rule"].to_list() == ["dataset.nir", "dataset.nir", "dataset.malformed_line"]
    assert quarantined["raw"].to_list() == [None, None, None]
    assert nir not in quarantined.write_json()


def test_a_quarantined_line_is_kept_as_it_is_written_but_of_personal_files_only_known_cells(tmp_path: Path) -> None:
    _, quarantined, _ = judged(STRUCTURES + f"{SIRET};;;A;Autre;;\n", tmp_path)
    assert quarantined["raw"].to_list() == [f"{SIRET};;;A;Autre;;"]
    lines = b"".join(synthetic.annuaire(3)).replace(synthetic.rpps(1001).encode(), b"1")
    accepted, quarantined, _ = judged(lines, tmp_path)
    assert (accepted.height, quarantined.height) == (2, 1)
    stored = quarantined.write_json() + accepted.write_json()
    assert [planted for planted in synthetic.PERSON if planted in stored] == []


def test_a_key_stands_once_and_the_second_row_says_whether_it_is_the_same(tmp_path: Path) -> None:
    rows = f"{SIRET};;;A;MSP;;\n{OTHER};;;B;MSP;;\n{SIRET};;;A;MSP;;\n{SIRET};;;Z;MSP;;\n"
    for block in (None, 1, 3):
        accepted, quarantined, _ = judged(STRUCTURES + rows, tmp_path, block)
        assert accepted["name"].to_list() == ["A", "B"]
        assert refused(quarantined) == [
            (4, "dataset.duplicate_key", ["siret:identical"]),
            (5, "dataset.duplicate_key", ["siret:different"]),
        ]


ADHESIONS = "SIRET;Fondement;Début;Fin exclue\n"


@pytest.mark.parametrize("block", [None, 1, 2])
def test_periods_of_one_structure_do_not_overlap_and_touch_freely(block: int | None, tmp_path: Path) -> None:
    rows = [
        f"{SIRET};ACI;2020-01-01;2021-01-01",
        f"{SIRET};ACI;01/01/2021;",
        f"{SIRET};projet validé;2020-06-01;",
        f"{SIRET};ACI;2022-01-01;2023-01-01",
        f"{OTHER};ACI;;2020-01-01",
        f"{OTHER};ACI;2019-12-31;2020-06-01",
        f"{OTHER};ACI;2020-06-01;2020-06-01",
        f"{OTHER};ACI;2020-07-01;2020-08-01",
    ]
    accepted, quarantined, _ = judged(ADHESIONS + "\n".join(rows) + "\n", tmp_path, block)
    assert accepted["line_number"].to_list() == [2, 3, 4, 6, 9]
    assert refused(quarantined) == [
        (5, "dataset.interval_overlap", ["valid_from"]),
        (7, "dataset.interval_overlap", ["valid_from"]),
        (8, "dataset.interval_reversed", ["valid_to"]),
    ]


def test_of_periods_that_overlap_the_one_set_aside_costs_no_other(tmp_path: Path) -> None:
    rows = f"{SIRET};ACI;2020-01-01;2021-01-01\n{SIRET};ACI;2020-06-01;\n{SIRET};ACI;2021-01-01;2022-01-01\n"
    accepted, quarantined, _ = judged(ADHESIONS + rows, tmp_path)
    assert (accepted["line_number"].to_list(), quarantined["line_number"].to_list()) == ([2, 4], [3])


def test_each_kind_of_row_of_a_declaration_needs_its_own_columns(tmp_path: Path) -> None:
    rows: list[dict[str, str]] = [
        {"Type de ligne": "dossier", "Dossier": "1"},
        {"Type de ligne": "membre", "Dossier": "1"},
        {"Type de ligne": "évènement", "Dossier": "1"},
        {"Type de ligne": "protocole", "Dossier": "1"},
        {"Type de ligne": "synchronisation"},
        {"Type de ligne": "autre", "Dossier": "1"},
    ]
    accepted, quarantined, _ = judged(synthetic.declarations(rows), tmp_path)
    assert accepted.is_empty()
    assert quarantined["fields"].to_list() == [
        ["deposited_at", "form", "state"],
        ["role", "rpps"],
        ["event", "event_at"],
        ["effective_on", "family"],
        ["completed_on"],
        ["kind"],
    ]


def test_a_deposit_without_its_offset_or_with_an_unknown_protocol_is_refused_not_guessed(tmp_path: Path) -> None:
    rows = synthetic.dossier("1", "2022-07-20T10:00", SIRET, []) + synthetic.dossier(
        "2", "2022-07-20T10:00Z", SIRET, [], ["Suture"]
    )
    _, quarantined, gate = judged(synthetic.declarations(rows), tmp_path)
    assert quarantined["fields"].to_list() == [["deposited_at"], ["protocols"]]
    assert judge_file(gate.dataset, gate.tally, None).outcome == "rejected"


def test_free_text_of_a_reason_is_left_out_and_said(tmp_path: Path) -> None:
    event = {"Type de ligne": "évènement", "Dossier": "1", "Évènement": "refus", "Évènement le": "2022-09-01T11:00+02:00"}
    accepted, _, gate = judged(synthetic.declarations([event | {"Motif": "Mme Zzyzx est partie"}]), tmp_path)
    assert accepted["reason"].to_list() == [None]
    assert gate.tally.warnings == {"dataset.unknown_label": {"reason": 1}}


# --- values


def column(kind: str, **facts: Any) -> Column:
    return Column("x", kind, "X", "public", ("x",), **facts)


@pytest.mark.parametrize(("kind", "texts", "values"), [
    ("cents", ["25", "25,5", "1 234,56 €", "-0,05", "-12", "25,005", "1.234,5", "vingt", None],
     [2500, 2550, 123456, -5, -1200, None, None, None, None]),
    ("day", ["2024-02-29", "29/02/2024", "20240229", "2024-02-29T00:00:00", "2023-02-29", "2/1/2024", "2024-02-29T10:00", None],
     [date(2024, 2, 29)] * 4 + [None] * 4),
    ("integer", ["12", "-3", "007", "1,5", "1e3", None], [12, -3, 7, None, None, None]),
    ("boolean", ["Oui", "NON", "vrai", "0", "x", "peut-être", None], [True, False, True, False, True, None, None]),
    ("instant", ["2022-07-20T22:30Z", "2022-07-21T00:30:00+02:00", "2022-07-21 00:30:00.250+0200", "2022-07-20T22:30",
                 "2022-07-32T10:00Z", None],
     [datetime(2022, 7, 20, 22, 30, tzinfo=UTC)] * 3 + [None] * 3),
])  # fmt: skip
def test_text_is_typed_strictly(kind: str, texts: list[str | None], values: list[object]) -> None:
    assert typed(pl.Series("x", texts, dtype=pl.String), column(kind)).to_list() == values


def test_a_list_of_protocols_is_cut_at_commas_and_bars_unless_a_label_is_whole() -> None:
    codes = {"cystite": "CYSTITE", "odyno": "ODYNO", "mal de gorge angine": "ODYNO"}
    texts = pl.Series("x", ["Cystite, Odyno", "odyno|odyno", "Mal de gorge, angine", "Suture, Cystite", None], dtype=pl.String)
    assert typed(texts, column("list", codes=codes)).to_list() == [
        ["CYSTITE", "ODYNO"],
        ["ODYNO"],
        ["ODYNO"],
        ["CYSTITE"],
        None,
    ]


def test_errors_and_formulas_without_value_of_a_spreadsheet_are_no_values(tmp_path: Path) -> None:
    names: list[Value] = ["A", Cell("e", "#N/A"), Cell("f", "A1&B1")]
    rows = [["SIRET", "Nom", "Type"], *([synthetic.siret(n), name, "MSP"] for n, name in enumerate(names))]
    accepted, quarantined, _ = judged(write_xlsx([Plan(rows)]), tmp_path)
    assert accepted["name"].to_list() == ["A"]
    assert refused(quarantined) == [(row, "dataset.invalid_value", ["name"]) for row in (3, 4)]


# --- the whole file


@pytest.mark.parametrize(("rows", "standing", "outcome", "rules"), [
    (f"{SIRET};;;A;MSP;;\n", None, "accepted", ()),
    (f"{SIRET};;;A;MSP;;\n", 1, "accepted", ()),
    (f"{SIRET};;;A;MSP;;\n", 2, "held", ("dataset.shrunken",)),
    ("", None, "rejected", ("dataset.no_row",)),
    (f"{SIRET};;;A;MSP;;\nx;;;B;MSP;;\n", None, "held", ("dataset.quarantine_rate",)),
    (f"{SIRET};;;A;MSP;;\n{OTHER};;", None, "held", ("dataset.truncated", "dataset.quarantine_rate")),
])  # fmt: skip
def test_a_whole_file_is_judged_on_counts(
    rows: str, standing: int | None, outcome: str, rules: tuple[str, ...], tmp_path: Path
) -> None:
    _, _, gate = judged(STRUCTURES + rows, tmp_path)
    judgement = judge_file(gate.dataset, gate.tally, standing)
    assert (judgement.outcome, judgement.rules) == (outcome, rules)


CELLS = st.sampled_from(
    ["", SIRET, OTHER, "9990000110001", "A", '"', '"a;b"', "MSP", "2020-01-01", "2019-01-01", "é", "\x02", "x\ny"]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=9), max_size=12), st.integers(1, 5))
def test_whatever_the_lines_each_is_accepted_or_quarantined_once(rows: list[list[str]], block: int) -> None:
    content = (STRUCTURES + "".join(";".join(row) + "\n" for row in rows)).encode()
    with tempfile.TemporaryDirectory() as folder:
        accepted, quarantined, gate = judged(content + b"fin;", Path(folder), block)
    numbers = sorted(accepted["line_number"].to_list() + quarantined["line_number"].to_list())
    assert len(set(numbers)) == len(numbers) == gate.tally.lines == gate.tally.accepted + sum(gate.tally.quarantined.values())
    assert accepted.schema == schema(gate.dataset)
    assert set(quarantined["rule"]) <= {
        rule.id for rule in catalogue().values() if rule.level == "line" and rule.outcome == "refuse"
    }
    assert accepted["siret"].is_unique().all()


# --- facts


def test_references_of_the_scenarios_are_the_facts_of_the_scenarios(tmp_path: Path) -> None:
    found: dict[str, pl.DataFrame] = {}
    for content in (
        synthetic.structures(),
        synthetic.adhesions(),
        synthetic.attachments(),
        b"".join(synthetic.professionals()),
    ):
        accepted, quarantined, gate = judged(content, tmp_path)
        assert quarantined.is_empty()
        assert gate.tally.warnings == {}
        found |= facts_of(gate.dataset.id, accepted)
    places = {place["structure"]: place for place in SPEC["fixtures"]["structures"]}
    assert dict(found["structure"].select("siret", "kind").iter_rows()) == {p["siret"]: p["kind"] for p in places.values()}
    assert dict(found["attachment"].select("siret", "caisse").iter_rows()) == {p["siret"]: p["caisse"] for p in places.values()}
    people = {person["rpps"]: (person["profession"], person.get("active_to")) for person in SPEC["fixtures"]["professionals"]}
    told = found["professional"].select("rpps", "profession", "active_to").iter_rows()
    assert {rpps: (profession, until) for rpps, profession, until in told} == people
    for scenario in SPEC["scenarios"]:
        expected = facts_of_scenario(scenario, scenario["decisions"][-1])
        known = [row for row in rows_of(expected.adhesion) if row["siret"] in {place["siret"] for place in places.values()}]
        if "structures" not in scenario:
            assert [row for row in known if row not in rows_of(found["adhesion"])] == [], scenario["id"]


def rows_of(frame: pl.DataFrame | None) -> list[dict[str, Any]]:
    return [] if frame is None else list(frame.iter_rows(named=True))


FACTS = ("dossier", "dossier_protocol", "dossier_event", "member", "synchronisation")


@pytest.mark.parametrize("scenario", SPEC["scenarios"], ids=lambda scenario: scenario["id"])
def test_declarations_exported_and_read_are_the_facts_of_the_scenario(scenario: dict[str, Any], tmp_path: Path) -> None:
    expected = facts_of_scenario(scenario, scenario["decisions"][-1])
    frames = {name: getattr(expected, name) for name in FACTS}
    accepted, quarantined, gate = judged(exported(frames), tmp_path)
    assert quarantined.is_empty()
    found = facts_of("declarations", accepted)
    assert {name: dict(frame.schema) for name, frame in found.items()} == {name: dict(SCHEMAS[name]) for name in FACTS}
    for name, frame in frames.items():
        assert sorted(map(repr, rows_of(found[name]))) == sorted({repr(row) for row in rows_of(frame)}), name
    assert gate.tally.warned.keys() <= {"dataset.wrong_key"}


def test_the_day_of_a_deposit_is_that_of_paris_on_both_sides_of_the_clock(tmp_path: Path) -> None:
    instants = ["2022-07-20T22:30Z", "2024-03-30T23:30Z", "2024-10-26T22:30Z", "2022-07-20T21:59:59Z"]
    rows = [row for number, at in enumerate(instants) for row in synthetic.dossier(str(number), at, SIRET, [], ["CYSTITE"])]
    accepted, _, _ = judged(synthetic.declarations(rows), tmp_path)
    days = [date(2022, 7, 21), date(2024, 3, 31), date(2024, 10, 27), date(2022, 7, 20)]
    assert facts_of("declarations", accepted)["dossier"]["deposited_on"].to_list() == days
    assert facts_of("declarations", accepted)["dossier_protocol"]["effective_on"].to_list() == days


def test_the_entity_of_an_establishment_is_known_by_day_from_the_extractions_received() -> None:
    def stock(*rows: tuple[str, str]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=["finess", "finess_ej"], orient="row")

    january, march, may = date(2024, 1, 1), date(2024, 3, 1), date(2024, 5, 1)
    extractions = [
        (january, stock(("E1", "A"), ("E2", "B"))),
        (march, stock(("E1", "C"), ("E2", "B"), ("E3", "B"))),
        (may, stock(("E1", "A"), ("E3", "B"))),
    ]
    assert establishment_links(extractions).rows() == [
        ("E1", "A", None, march),
        ("E1", "C", march, may),
        ("E1", "A", may, None),
        ("E2", "B", None, may),
        ("E3", "B", march, None),
    ]


# --- volumes


@pytest.mark.soak
@pytest.mark.parametrize(("content", "rows"), [
    (lambda: synthetic.finess_et(103_000, date(2026, 1, 5)), 103_000),
    (lambda: synthetic.annuaire(500_000), 500_000),
    (lambda: synthetic.professionals(2_000_000), 2_000_010),
], ids=["finess", "annuaire", "rpps"])  # fmt: skip
def test_large_references_pass_in_bounded_memory(content: Any, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "fichier"
    with path.open("wb") as out:
        out.writelines(content())
    found = recognise(path)
    dataset = datasets()[found.dataset]
    gate = Gate(dataset, dataset.layout(found.layout))
    for frame in read(path, found):
        assert frame.height < 600_000
        gate.judge(frame)
    assert (gate.tally.accepted, gate.tally.quarantined) == (rows, {})
