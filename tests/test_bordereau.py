"""Bordereaux as they really arrive: shapes, profiles, patients, totals, one content whatever the file (F01–F11, FL6–FL11)."""

import json
import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bordereaux import FIRST_ROW, LINE, RECEIVED, lines, nir, number, read_lines, read_rows, refusal

from connectors.bordereau import Bordereau, read_bordereau
from connectors.bordereau_identity import content_digest, line_ids
from connectors.bordereau_patients import names_a_person
from connectors.sheets import Unreadable
from connectors.synthetic_bordereaux import (
    COLUMNS,
    STRUCTURE,
    Plan,
    bordereau,
    rows_of,
    sample_lines,
    spoil,
    write_csv,
    write_ods,
    write_xlsx,
)
from contracts_schema.bordereau_profiles import InvalidProfile, load, profiles

ROWS = rows_of(lines({}, {}, {}))
HEADINGS = FIRST_ROW - 2
"""Place of the headings among the rows."""


def kinds(read: Bordereau) -> dict[str, list[int]]:
    """Rows that are no line, by what they are."""
    rows: dict[str, list[int]] = {}
    for what, row in read.leftovers.filter(~pl.col("what").is_in(["title", "header"])).select("what", "row").rows():
        rows.setdefault(what, []).append(row)
    return rows


def told(read: Bordereau, rule: str) -> list[str]:
    return [finding.message_fr for finding in read.findings if finding.rule == rule]


def every_row(read: Bordereau) -> list[int]:
    return sorted([*read.lines["row"], *read.quarantined["row"], *read.leftovers["row"]])


# --- shape


def test_a_name_in_the_place_of_an_identifier_costs_its_line_and_is_shown_nowhere() -> None:
    written = ["A12", "CYST-2024-001", "Acte n° 7", "DUPONT Marie", "Durand", "Lucie 12", "a3f9bcd0deadbeefcafe"]
    read = read_lines(*({"ref": text} for text in written))
    assert read.lines["ref"].to_list() == ["A12", "CYST-2024-001", "Acte n° 7", "a3f9bcd0deadbeefcafe"]
    assert set(read.quarantined["rule"]) == {"bordereau.misplaced_words"}
    column = json.loads(read.lines["cells"][0])["ref"]["cell"][0]
    assert read.quarantined["cell"].to_list() == [f"{column}{FIRST_ROW + place}" for place in (3, 4, 5)]
    shown = [*read.quarantined["cells"], *(finding.message_fr for finding in read.findings)]
    assert not [name for name in ("DUPONT", "Durand", "Lucie") for text in shown if name in text]


@pytest.mark.parametrize("column", ["protocol", "date", "amount", "rpps", "count", "patient_key"])
def test_a_person_named_where_nobody_is_costs_the_line(column: str) -> None:
    read = read_lines({}, {column: "Mme Lucie DUPONT"}, fmt="csv")
    assert (read.lines.height, read.quarantined["rule"].to_list()) == (1, ["bordereau.misplaced_words"])
    assert "DUPONT" not in "".join([*read.quarantined["cells"], *read.lines["cells"]])


def test_title_rows_blank_rows_and_a_repeated_header_are_no_lines() -> None:
    rows = [
        ["Bordereau de facturation"],
        [],
        *ROWS[: FIRST_ROW - 1],
        ROWS[FIRST_ROW - 1],
        [],
        ROWS[HEADINGS],
        *ROWS[FIRST_ROW:],
    ]
    read = read_rows(rows)
    assert read.lines["line_number"].to_list() == [1, 2, 3]
    assert kinds(read) == {"repeated_header": [FIRST_ROW + 4]}
    assert every_row(read) == [number for number, row in enumerate(rows, 1) if row]


def test_a_header_on_two_rows_with_a_merged_title_is_read() -> None:
    upper = ["Protocole", None, "Date", "Professionnel délégué", None, None, None, "Montant", None, None]
    lower = [None, "Acte", "de l'acte", None, "RPPS", "Nombre", "Tarif", None, "N°", None]
    rows = [*ROWS[:HEADINGS], upper, lower, *ROWS[HEADINGS + 1 :]]
    read = read_bordereau(write_xlsx([Plan(rows, merged=("A8:A9",))]), "envoi.xlsx", RECEIVED)
    assert read.lines.select("family", "act", "day", "amount_cents").row(0) == ("CYSTITE", "INCLUSION", date(2022, 8, 3), 2500)


def test_a_merged_protocol_stands_for_its_rows_and_a_merged_amount_for_one() -> None:
    rows = [*ROWS[: FIRST_ROW - 1], ROWS[FIRST_ROW - 1], *([None, *row[1:7], None, *row[8:]] for row in ROWS[FIRST_ROW:])]
    last = FIRST_ROW + 2
    merged = (f"A{FIRST_ROW}:A{last}", f"H{FIRST_ROW}:H{last}")
    read = read_bordereau(write_xlsx([Plan(rows, merged=merged)]), "envoi.xlsx", RECEIVED)
    assert read.lines["family"].to_list() == ["CYSTITE"] * 3
    assert read.lines["amount_cents"].to_list() == [2500, None, None], "one amount for several lines stays one amount"
    assert read.lines["notes"].to_list() == [[], ["bordereau.merged_cell"], ["bordereau.merged_cell"]]


def test_rows_below_the_signature_are_quarantined_and_said() -> None:
    rows = [
        *ROWS,
        ["Signature", "J. Responsable"],
        ["Cystite", "Inclusion", date(2022, 8, 5), None, None, 1, None, Decimal("25")],
    ]
    read = read_rows(rows)
    assert read.lines.height == 3
    assert read.quarantined.select("sheet", "row", "rule").rows() == [("Bordereau", len(rows), "bordereau.FL11")]
    assert "sous la signature" in told(read, "bordereau.FL11")[0]
    assert json.loads(read.quarantined["cells"].item())["amount"]["raw"] == "25"
    assert every_row(read) == [number for number, row in enumerate(rows, 1) if row]


def test_a_row_that_is_nothing_known_is_quarantined_and_costs_the_others_nothing() -> None:
    rows = [*ROWS[:FIRST_ROW], [None, None, date(2022, 8, 5), None, "99900000011", 1], *ROWS[FIRST_ROW:]]
    read = read_rows(rows)
    assert (read.lines.height, read.quarantined["row"].to_list()) == (3, [FIRST_ROW + 1])
    assert told(read, "bordereau.FL11")[0].startswith(f"Bordereau!A{FIRST_ROW + 1} : ligne {FIRST_ROW + 1} sans protocole")


def test_hidden_rows_are_read_and_said() -> None:
    read = read_bordereau(write_xlsx([Plan(ROWS, hidden_rows=frozenset({FIRST_ROW}))]), "envoi.xlsx", RECEIVED)
    assert read.lines["notes"].to_list() == [["bordereau.hidden_row_read"], [], []]
    assert told(read, "bordereau.hidden_row") == ["Bordereau : 1 ligne masquée ou filtrée, lue et comptée dans la somme"]


def test_several_sheets_are_read_in_order_and_one_without_table_is_said() -> None:
    plans = [Plan(ROWS, "Août"), Plan([["Mode d'emploi"]], "Notice"), Plan(ROWS, "Septembre")]
    for content in (write_xlsx(plans), write_ods(plans)):
        read = read_bordereau(content, "envoi", RECEIVED)
        assert read.lines["sheet"].to_list() == ["Août"] * 3 + ["Septembre"] * 3
        assert told(read, "bordereau.unread") == ["feuille 'Notice' sans tableau reconnu : non lue"]


def test_two_structures_in_one_file_leave_none_and_are_asked_about() -> None:
    other = [[label, "99900002900010" if label == "SIRET" else value] for label, value, *_ in ROWS[: HEADINGS - 1]]
    read = read_bordereau(write_xlsx([Plan(ROWS, "A"), Plan([*other, *ROWS[HEADINGS - 1 :]], "B")]), "envoi.xlsx", RECEIVED)
    assert read.header["siret"] is None
    [finding] = [finding for finding in read.findings if finding.check == "S06"]
    assert finding.message_fr == "A!B2, B!B2 : deux valeurs de « SIRET » dans un même fichier"


# --- FL6: profiles


def test_an_unknown_header_is_refused_with_what_was_found_and_how_to_describe_it() -> None:
    rule, message = refusal(write_xlsx([Plan([["Motif", "Jour", "Somme", "Qui"], ["Cystite", "hier", 25, "IDE"]])]))
    assert rule == "bordereau.FL6", "F03"
    for said in (
        "envoi.xlsx",
        "feuille 'Bordereau' : ligne 1",
        "A1 « Motif »",
        "il manque « Protocole », « Montant », « Date »",
    ):
        assert said in message
    assert "docs/bordereaux.md" in message


def test_a_column_that_stands_twice_is_refused_with_both_cells() -> None:
    rows = [*ROWS[:HEADINGS], [*ROWS[HEADINGS], "Montant"], *([*row, 25] for row in ROWS[HEADINGS + 1 :])]
    rule, message = refusal(write_xlsx([Plan(rows)]))
    assert (rule, "H8 et K8 : deux colonnes pour « Montant »" in message) == ("bordereau.FL6", True)


def test_two_profiles_that_both_read_a_file_are_refused(tmp_path: Path) -> None:
    known = [*profiles(), changed(tmp_path, "profile: snp-proposal", "profile: autre-modele")]
    with pytest.raises(Unreadable, match="plusieurs profils") as caught:
        read_bordereau(write_xlsx([Plan(ROWS)]), "envoi.xlsx", RECEIVED, known)
    assert caught.value.rule == "bordereau.FL6"


def changed(folder: Path, old: str, new: str) -> Any:
    source = Path("contracts_schema/snp/profiles/snp-proposal.yaml").read_text(encoding="utf-8")
    assert old in source
    path = folder / "autre.yaml"
    path.write_text(source.replace(old, new), encoding="utf-8")
    return load(path)


def test_a_template_that_has_ended_is_read_and_said_older(tmp_path: Path) -> None:
    older = changed(tmp_path, "to: null", "to: 2022-09-01")
    read = read_bordereau(write_xlsx([Plan(ROWS)]), "envoi.xlsx", RECEIVED, [older])
    assert (read.header["profile_is_older"], read.header["profile_version"]) == (True, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("grain: auto", "graine: auto", "il manque le champ « grain »"),
        ("grain: auto", "grain: auto\nautre: 1", "champ inconnu « autre »"),
        ("  ref: {names", "  refs: {names", "« refs » inconnu dans columns"),
        ('names: ["RPPS"', 'names: ["Date"', "« date » désigne à la fois"),
        ("orders: [DMY]", "orders: [MDY]", "dates.orders"),
        ("version: 1", "version: un", "nombre entier"),
    ],
)
def test_a_faulty_profile_says_what_to_correct(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InvalidProfile, match=said):
        changed(tmp_path, old, new)


# --- FL7: patients


SPLIT = " ".join(nir()[start:end] for start, end in ((0, 1), (1, 3), (3, 5), (5, 7), (7, 10), (10, 13)))


@pytest.mark.parametrize("text", [nir(), f"vu {nir()[:13]} {nir()[13:]}", SPLIT])
@pytest.mark.parametrize("fmt", ["xlsx", "csv"])
def test_a_nir_anywhere_quarantines_the_file_without_its_value(text: str, fmt: str, capfd: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(lines({"comment": f"Zelda {text}"}))
    rule, message = refusal(write_csv(rows) if fmt == "csv" else write_xlsx([Plan(rows)]))
    assert (rule, f"J{FIRST_ROW} : donnée de patient" in message) == ("bordereau.FL7", True), "F11"
    for shown in (message, "".join(capfd.readouterr())):
        assert "Zelda" not in shown
        assert text not in shown
        assert nir()[:13] not in shown


def test_a_nir_stored_as_a_number_is_seen_too() -> None:
    assert refusal(write_xlsx([Plan(rows_of(lines({"ref": number(nir())})))]))[0] == "bordereau.FL7"


def test_a_heading_that_names_patients_quarantines_the_file() -> None:
    rows = [*ROWS[:HEADINGS], [*ROWS[HEADINGS], "Nom du patient"], *([*row, "X"] for row in ROWS[HEADINGS + 1 :])]
    rule, message = refusal(write_xlsx([Plan(rows)]))
    assert (rule, "en-tête en Bordereau!K8" in message) == ("bordereau.FL7", True)


def test_a_person_named_in_a_comment_quarantines_the_file() -> None:
    assert refusal(write_csv(rows_of(lines({"comment": "Rappeler Mme Untel"}))), "envoi.csv")[0] == "bordereau.FL7"
    named = ["Marie Untel", "UNTEL Marie", "M. Untel", "patiente Untel", "née le 3 avril"]
    plain = ["RAS", "Vu avec le Dr Martin", "urgence", "2e passage", "Rappel fait", "IDE Marie Martin absente"]
    assert [names_a_person(text) for text in named + plain] == [True] * 5 + [False] * 6


def test_patient_columns_stand_apart_and_comments_are_not_kept() -> None:
    read = read_lines({"patient_key": "secret-7f3a1", "age": "34 ans", "sex": "F", "comment": "à revoir"}, {})
    assert read.patients.rows() == [(1, "secret-7f3a1", 34, None, "F")]
    everywhere = f"{read.lines.write_json()}{read.quarantined.write_json()}{read.findings}{read.header}"
    assert "secret-7f3a1" not in everywhere
    assert "34" not in read.lines["cells"].item(0)
    assert "à revoir" not in everywhere


# --- FL8 to FL10: header, totals, certification


def test_facts_are_found_to_the_right_below_or_after_a_colon() -> None:
    facts = [
        ["SIRET", "Structure", "Période du", date(2022, 7, 12), "au", date(2022, 9, 30)],
        ["99900001100018", "CPTS Val Sablier"],
        ["CPAM : C01"],
        ["Type de structure", "Maison de santé"],
    ]
    rows = [*facts, [], *ROWS[HEADINGS:]]
    header = read_rows(rows).header
    assert (header["siret"], header["structure_name"], header["caisse"]) == ("99900001100018", "CPTS Val Sablier", "C01")
    assert (header["period_from"], header["period_to"]) == (date(2022, 7, 12), date(2022, 9, 30))
    assert (header["structure_kind"], header["certified"], header["grain"]) == ("MSP", False, "act")


@pytest.mark.parametrize(
    ("key", "value", "check", "said"),
    [
        ("period", "du 30/09/2022 au 12/07/2022", "B05", "finit avant de commencer"),
        ("period", "cet été", "B05", "période illisible"),
        ("structure_kind", "Clinique", "S05", "type de structure inconnu"),
        ("sender", "Professionnel", "B06", "l'émetteur n'est pas la structure"),
        ("total", "beaucoup", "A03", "total déclaré illisible"),
    ],
)
def test_facts_that_cannot_be_used_are_findings_with_their_cell(key: str, value: str, check: str, said: str) -> None:
    read = read_lines({}, header={name: told for name, told in STRUCTURE.items() if name != key} | {key: value})
    [finding] = read.findings
    assert (finding.check, finding.cell is not None, said in finding.message_fr) == (check, True, True)


def test_totals_rows_are_no_lines_and_are_compared_with_the_sums() -> None:
    total: list[Any] = ["Sous-total", *[None] * 6, Decimal("50")]
    rows = [*ROWS[: FIRST_ROW + 1], total, ROWS[FIRST_ROW + 1], ["Total général", *[None] * 6, Decimal("75")]]
    read = read_rows(rows)
    assert (read.lines.height, read.header["sum_of_totals_rows_cents"], read.findings) == (3, 7500, ()), "F04"
    assert kinds(read) == {"totals": [FIRST_ROW + 2, FIRST_ROW + 4]}
    assert read_rows(rows[:-1]).header["sum_of_totals_rows_cents"] is None, "of two lines of three"
    wrong = read_rows([*rows[:-1], ["Total", *[None] * 6, Decimal("80")]])
    assert wrong.header["sum_of_totals_rows_cents"] == 13000
    [finding] = wrong.findings
    assert finding.message_fr.replace("\u00a0", " ") == (
        f"Bordereau!H{FIRST_ROW + 4} : total de 80,00 € alors que les lignes font 25,00 € (depuis le total précédent)"
    )
    assert (finding.rule, finding.check) == ("bordereau.FL9", "A03")


def test_a_bordereau_without_any_line_is_refused() -> None:
    assert refusal(write_xlsx([Plan(ROWS[: FIRST_ROW - 1])]))[0] == "bordereau.FL9"


def test_a_certification_area_is_filled_empty_or_absent() -> None:
    def certified(rows: list[list[Any]]) -> bool | None:
        found: bool | None = read_rows([*rows, *ROWS[HEADINGS:]], "csv").header["certified"]
        return found

    start: list[list[Any]] = [["SIRET", "99900001100018"]]
    assert certified([*start, ["Signature", "J. Responsable"], []]) is True
    assert certified([*start, ["Signature et cachet :"], []]) is False
    assert certified([*start, []]) is False


# --- F05: hidden sheets


def test_a_hidden_sheet_is_reported_and_not_read() -> None:
    plans = [Plan(ROWS), Plan(rows_of(lines(*[{}] * 12)), "Ancien", hidden=True)]
    for content in (write_xlsx(plans), write_ods(plans)):
        read = read_bordereau(content, "envoi", RECEIVED)
        assert (read.lines.height, read.header["hidden_sheets"]) == (3, ["Ancien"])
        [finding] = read.findings
        assert (finding.rule, finding.check) == ("bordereau.hidden_sheet", "B04")
        assert finding.message_fr == "feuille masquée 'Ancien' (19 lignes remplies) : non lue"


# --- F02: one content, whatever carries it

CONTENT = spoil(sample_lines(40), {3: "unknown_label", 7: "bad_rpps", 9: "negative", 11: "half_count", 13: "wrong_amount"})


def variants() -> dict[str, bytes]:
    shuffled = random.Random(1).sample(CONTENT, len(CONTENT))
    moved = random.Random(2).sample([name for name in COLUMNS if name in CONTENT[0]], len(CONTENT[0]))
    rows = rows_of(CONTENT)
    return {
        "xlsx": write_xlsx([Plan(rows)]),
        "1904": write_xlsx([Plan(rows)], date_1904=True),
        "ods": write_ods([Plan(rows)]),
        "utf-8": write_csv(rows),
        "bom": write_csv(rows, encoding="utf-8-sig"),
        "cp1252": write_csv(rows, encoding="cp1252"),
        "utf-16": write_csv(rows, encoding="utf-16"),
        "lf": write_csv(rows, newline="\n"),
        "comma": write_csv(rows, delimiter=","),
        "iso": write_csv(rows, iso_dates=True),
        "rows": write_csv(rows_of(shuffled)),
        "columns": write_xlsx([Plan(rows_of(CONTENT, columns=moved))]),
    }


def test_one_content_gives_one_digest_and_one_set_of_lines_whatever_the_file() -> None:
    read = {name: read_bordereau(content, "envoi", RECEIVED) for name, content in variants().items()}
    digests = {name: content_digest(found) for name, found in read.items()}
    assert digests == dict.fromkeys(digests, digests["xlsx"])
    ids = {name: sorted(line_ids(found.lines, "99900001100018", "B1")) for name, found in read.items()}
    assert ids == dict.fromkeys(ids, ids["xlsx"])
    assert len(set(ids["xlsx"])) == len(CONTENT)
    assert len({found.header["sha256"] for found in read.values()}) == len(read)


def test_the_same_bytes_have_the_same_digest_for_the_log_to_know_them() -> None:
    first, second = (read_bordereau(bordereau([LINE]), "envoi.xlsx", RECEIVED) for _ in range(2))
    assert first.header["sha256"] == second.header["sha256"], "F01: the log answers from it"


def test_a_line_keeps_its_identity_when_its_amount_or_the_others_change() -> None:
    sent, again = read_lines({}, {}), read_lines({"amount": Decimal("20")}, {}, {})
    ids = [line_ids(read.lines, "99900001100018", "B1").to_list() for read in (sent, again)]
    assert ids[1][:2] == ids[0]
    assert set(line_ids(sent.lines, "99900001100018", "B2")).isdisjoint(ids[0])
