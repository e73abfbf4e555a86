"""Decisions about the law: attested values are firm for one organisation, policies and links are set, all can be taken back."""

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Ecluse

from checks.snp.calendar import calendar
from contracts_schema import parameters
from contracts_schema.parameters import policies, snp
from flows import law, law_shown, law_table
from flows.hub import Hub, WrongUsage
from warehouse.log import Event

CPAM, OTHER = "cpam-991", "cpam-992"
ROLE, TEXT = "service des prestations", "Circulaire fictive du 1er avril 2024"
DAY = date(2024, 4, 3)
RHINO = {"version": "RHINO", "act": "INCLUSION"}
SIRET, FINESS = "99000000000019", "990000010"


def rhino(cents: int = 2500, start: date = date(2020, 3, 8), end: date | None = None, reference: str = TEXT) -> Any:
    return law_table.stated("snp.tariff", str(cents), start, end, ["version=RHINO", "act=INCLUSION"], reference)


def attest(hub: Hub, rows: Any, organisation: str = CPAM) -> dict[str, Any]:
    return law.attest(hub, rows, organisation, ROLE)


def status_of(hub: Hub, organisation: str | None, until: int | None = None) -> str:
    own = law.law_of(hub, organisation, until).parameters
    return parameters.value("snp.tariff", DAY, attested=own, **RHINO).status


def events(hub: Hub) -> list[Event]:
    return list(hub.log.read())


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- attestations


def test_an_attested_value_is_firm_for_its_organisation_only(hub: Hub) -> None:
    answer = attest(hub, rhino())
    assert answer == {"organisation": CPAM, "position": 1, "already": False}
    assert [status_of(hub, name) for name in (CPAM, OTHER, None)] == ["attested", "secondary", "secondary"]
    (event,) = events(hub)
    assert (event.stream, event.type, event.data["kind"], event.data["role"]) == (
        f"law/{CPAM}", "DecisionTaken", "attestation", ROLE,
    )  # fmt: skip


def test_the_same_attestation_again_writes_nothing_and_a_longer_table_adds_only_what_is_new(hub: Hub) -> None:
    first = attest(hub, rhino())
    assert attest(hub, rhino()) == first | {"already": True}
    varicelle = law_table.stated("snp.tariff", "2500", date(2020, 3, 10), None, ["version=VARICELLE", "act=INCLUSION"], TEXT)
    assert attest(hub, [*rhino(), *varicelle]) == {"organisation": CPAM, "position": 2, "already": False}
    assert [row["cell"][0][1] for row in events(hub)[1].data["value"]] == ["VARICELLE"]


def test_a_withdrawn_attestation_is_no_longer_firm_and_stays_in_what_was_known_before(hub: Hub) -> None:
    attest(hub, rhino())
    taken = law.withdraw_attestation(hub, 1, CPAM, "texte abrogé")
    assert taken == {"organisation": CPAM, "position": 2, "already": False}
    assert law.withdraw_attestation(hub, 1, CPAM, "texte abrogé") == taken | {"already": True}
    assert [status_of(hub, CPAM, until) for until in (0, 1, 2, None)] == ["secondary", "attested", "secondary", "secondary"]
    assert attest(hub, rhino())["position"] == 3, "it can be attested again"
    assert status_of(hub, CPAM) == "attested"


def test_two_attestations_never_speak_of_one_day(hub: Hub) -> None:
    attest(hub, rhino(end=date(2024, 1, 1)))
    with pytest.raises(WrongUsage, match=r"le 31/12/2023 est déjà dans l'attestation 1 : retirez-la d'abord"):
        attest(hub, rhino(2700, date(2023, 12, 31)))
    attest(hub, rhino(2700, date(2024, 1, 1)))
    with pytest.raises(WrongUsage, match="une autre ligne donnée"):
        attest(hub, [*rhino(2500), *rhino(2600)], OTHER)
    assert len(events(hub)) == 2


def test_of_two_people_who_decide_at_once_one_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    read = law.law_of

    def overtaken(*given: Any, **more: Any) -> law.Attested:
        monkeypatch.setattr(law, "law_of", read)
        attest(hub, rhino(2700))
        return read(*given, **more, until=0)

    monkeypatch.setattr(law, "law_of", overtaken)
    with pytest.raises(WrongUsage, match="une autre décision est arrivée entre-temps"):
        attest(hub, rhino(2500))
    assert [event.data["value"][0]["value"] for event in events(hub)] == [2700]


WRONG: dict[str, tuple[tuple[Any, ...], str]] = {
    "an unknown parameter": (("snp.tarif", "2500", DAY, None, [], TEXT), "paramètre inconnu : snp.tarif"),
    "a dimension too few": (("snp.tariff", "2500", DAY, None, ["version=RHINO"], TEXT), "dimensions attendues : version, act"),
    "an unknown cell": (("snp.tariff", "2500", DAY, None, ["version=RHINO", "act=CONSULT_2"], TEXT), "ne connaît pas"),
    "a dimension without a sign": (("snp.tariff", "2500", DAY, None, ["RHINO"], TEXT), "NOM=VALEUR"),
    "euros": (("snp.tariff", "25,00", DAY, None, ["version=RHINO", "act=INCLUSION"], TEXT), "en centimes entiers"),
    "a negative amount": (("snp.tariff", "-2500", DAY, None, ["version=RHINO", "act=INCLUSION"], TEXT), "en centimes entiers"),
    "nothing": (("snp.tariff", "", DAY, None, ["version=RHINO", "act=INCLUSION"], TEXT), "en centimes entiers"),
    "half open": (("snp.window", "2", DAY, None, ["structure_kind=MSP", "version=RHINO"], TEXT), "1 ouvert, 0 fermé"),
    "an end before": (("snp.tariff", "2500", DAY, DAY, ["version=RHINO", "act=INCLUSION"], TEXT), "doit suivre le début"),
    "no reference": (
        ("snp.tariff", "2500", DAY, None, ["version=RHINO", "act=INCLUSION"], " "),
        "une référence est nécessaire",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_attested_is_told_in_french(name: str) -> None:
    given, told = WRONG[name]
    with pytest.raises(WrongUsage, match=told):
        law_table.stated(*given)


def test_who_attests_and_for_which_organisation_is_always_said(hub: Hub) -> None:
    for organisation in ("cpam-9", "msa-991", "991"):
        with pytest.raises(WrongUsage, match=f"organisme {organisation} :"):
            attest(hub, rhino(), organisation)
    with pytest.raises(WrongUsage, match="--role"):
        law.attest(hub, rhino(), CPAM, " ")
    with pytest.raises(WrongUsage, match="la table est vide"):
        attest(hub, [])
    with pytest.raises(WrongUsage, match="aucune décision en place"):
        law.withdraw_attestation(hub, 7, CPAM, "erreur")
    attest(hub, rhino())
    with pytest.raises(WrongUsage, match="un motif est nécessaire"):
        law.withdraw_attestation(hub, 1, CPAM, "")
    with pytest.raises(WrongUsage, match="aucune décision en place"):
        law.withdraw_attestation(hub, 1, OTHER, "pas la sienne")


def test_several_values_of_a_dimension_attest_every_combination() -> None:
    rows = law_table.stated(
        "snp.window", "1", DAY, None, ["structure_kind=MSP", "structure_kind=CDS", "version=RHINO", "version=CHEVILLE"], TEXT
    )
    assert len({row.cell for row in rows}) == 4


# --- tables


@pytest.fixture
def whole(hub: Hub, tmp_path: Path) -> Path:
    """Every SNP value, in the table that an agent takes, reads again and attests."""
    values = [one for name in (snp.TARIFF, snp.WINDOW) for one in law_shown.show(hub, name)["values"]]
    law_table.write_table(values, [], tmp_path / "law.csv")
    return tmp_path / "law.csv"


def test_the_table_that_is_shown_is_attested_in_one_decision_and_all_is_firm(hub: Hub, whole: Path) -> None:
    rows = law_table.read_table(whole, TEXT)
    assert rows == law_table.as_published([snp.TARIFF, snp.WINDOW], TEXT)
    attest(hub, rows)
    own = law.law_of(hub, CPAM).parameters
    assert len(events(hub)) == 1
    for attested, published in (
        (snp.tariffs(own), snp.tariffs()), (snp.windows(own), snp.windows()), (snp.gaps(own), snp.gaps()),
    ):  # fmt: skip
        assert set(attested["status"]) == {"attested"}
        assert set(attested["reference"]) == {TEXT}, "nobody attests what the project read"
        assert attested.drop("status", "reference", "position").equals(published.drop("status", "reference", "position"))


def test_the_engine_judges_by_what_the_caisse_attests_and_by_nothing_of_another(hub: Hub, whole: Path) -> None:
    attest(hub, law_table.read_table(whole, TEXT))
    same = ["kind", "family", "act", "since"]
    mine = calendar(law.law_of(hub, CPAM).law()).sort(same)
    other = calendar(law.law_of(hub, OTHER).law()).sort(same)
    assert mine.drop("tariff_firm", "window_firm").equals(other.drop("tariff_firm", "window_firm"))
    assert set(mine["tariff_firm"].drop_nulls()) == set(mine["window_firm"].drop_nulls()) == {True}
    assert set(other["tariff_firm"].drop_nulls()) == set(other["window_firm"].drop_nulls()) == {False}


def test_a_window_that_a_caisse_opens_takes_the_gap_away_and_one_that_it_closes_is_closed(hub: Hub) -> None:
    cell = ["structure_kind=CPTS", "version=RHINO"]
    attest(hub, law_table.stated("snp.window", "1", date(2023, 9, 1), date(2024, 1, 1), cell, TEXT))
    attest(hub, law_table.stated("snp.window", "0", date(2023, 4, 1), date(2023, 5, 1), cell, TEXT))
    found = calendar(law.law_of(hub, CPAM).law()).filter(kind="CPTS", family="RHINO", act="INCLUSION")

    def on(day: date) -> tuple[Any, ...]:
        return found.filter(found["since"] <= day).select("window", "window_firm", "gap").row(-1)

    assert on(date(2023, 8, 31)) == ("snp.window.W3", False, None)
    assert on(date(2023, 9, 1)) == ("snp.window.attestation-1", True, None)
    assert on(date(2024, 1, 1)) == (None, None, "GAP2")
    assert on(date(2023, 3, 31))[0] == "snp.window.W2"
    assert on(date(2023, 4, 15)) == (None, None, None)


def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    head = "parametre;dimensions;debut;fin;valeur;statut\n"
    row = "snp.tariff;version=RHINO, act=INCLUSION;08/03/2020;01/01/2024;2500;secondary\n;;;;;\n"
    (read,) = law_table.read_table(table(tmp_path, head + row), "Arrêté")
    assert (read.valid_from, read.valid_to, read.value, read.reference) == (date(2020, 3, 8), date(2024, 1, 1), 2500, "Arrêté")
    path = tmp_path / "cp1252.csv"
    path.write_bytes((head.replace("statut", "reference") + row.replace("secondary", "Arrêté")).encode("cp1252"))
    assert [one.reference for one in law_table.read_table(path, None)] == ["Arrêté"]
    commas = 'parametre,dimensions,debut,valeur\nsnp.tariff,"version=RHINO, act=INCLUSION",2020-03-08,2500\n'
    assert law_table.read_table(table(tmp_path, commas), "Arrêté")[0].valid_to is None


def test_a_yaml_table_says_the_same(tmp_path: Path) -> None:
    text = (
        "- {parametre: snp.window, dimensions: {structure_kind: CPTS, version: [RHINO, CHEVILLE]}, debut: 2023-09-01,\n"
        "   fin: null, valeur: 1, reference: Arrêté, journal_officiel: '2023-08-31'}\n"
    )
    rows = law_table.read_table(table(tmp_path, text, "table.yaml"), None)
    assert [(dict(row.cell)["version"], row.value, row.journal_officiel) for row in rows] == [
        ("RHINO", 1, date(2023, 8, 31)), ("CHEVILLE", 1, date(2023, 8, 31)),
    ]  # fmt: skip


BAD_TABLES = {
    "no value column": ("parametre;dimensions;debut\n", "il manque valeur"),
    "an unknown column": ("parametre;dimensions;debut;valeur;montant\n", "colonne inconnue montant"),
    "euros": (
        "parametre;dimensions;debut;valeur\nsnp.tariff;version=RHINO, act=INCLUSION;2020-03-08;25,00\n",
        "ligne 2 : snp.tariff : attendu un montant en centimes",
    ),
    "no start": ("parametre;dimensions;debut;valeur\nsnp.tariff;version=RHINO, act=INCLUSION;;2500\n", "ligne 2 : debut"),
    "a bad day": (
        "parametre;dimensions;debut;valeur\nsnp.tariff;version=RHINO, act=INCLUSION;30/02/2020;1\n",
        "jour illisible",
    ),
    "an unknown parameter": ("parametre;dimensions;debut;valeur\nsnp.tarif;;2020-03-08;1\n", "ligne 2 : paramètre inconnu"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_with_one_bad_row_is_refused_whole_with_its_line(tmp_path: Path, name: str) -> None:
    text, told = BAD_TABLES[name]
    with pytest.raises(WrongUsage, match=told) as refused:
        law_table.read_table(table(tmp_path, text), "Arrêté")
    assert str(refused.value).startswith("table.csv")


@pytest.mark.parametrize("text", ["a: 1\n", "- 12\n", "- {a: [\n", "- {parametre: snp.tariff, debut: 2020-01-01}\n"])
def test_a_yaml_that_is_no_table_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(WrongUsage, match=r"^table\.yaml"):
        law_table.read_table(table(tmp_path, text, "table.yaml"), "Arrêté")


# --- policies


def test_a_policy_of_a_caisse_goes_before_the_one_for_all_and_the_default_comes_last(hub: Hub) -> None:
    law.decide_policy(hub, "w2_end", "ask", "avis du siège")
    law.decide_policy(hub, "w2_end", "reject", "avis de la caisse", "991")
    assert [law.law_of(hub, name).policies for name in (CPAM, OTHER, None)] == [
        {"w2_end": "reject"}, {"w2_end": "ask"}, {"w2_end": "ask"},
    ]  # fmt: skip
    law.withdraw_policy(hub, "w2_end", "retour", CPAM)
    assert law.law_of(hub, CPAM).policies == {"w2_end": "ask"}
    law.withdraw_policy(hub, "w2_end", "retour")
    assert law.law_of(hub, CPAM).policies == {}
    assert [law.law_of(hub, CPAM, until).policies.get("w2_end") for until in range(5)] == [
        None, "ask", "reject", "ask", None,
    ]  # fmt: skip
    assert [event.stream for event in events(hub)] == ["law/hub", f"law/{CPAM}", f"law/{CPAM}", "law/hub"]


def test_a_policy_set_twice_writes_once_and_set_otherwise_writes_again(hub: Hub) -> None:
    said = [law.decide_policy(hub, "b02_ask_after_months", value, "avis") for value in ("27", "27", "aucun", "27")]
    assert [(one["position"], one["already"]) for one in said] == [(1, False), (1, True), (2, False), (3, False)]
    assert law.law_of(hub).policies == {"b02_ask_after_months": 27}
    taken = [law.withdraw_policy(hub, "b02_ask_after_months", "retour") for _ in range(2)]
    assert [(one["position"], one["already"]) for one in taken] == [(4, False), (4, True)]
    assert law.law_of(hub).policies == {}, "an older setting does not come back"


def test_every_kind_of_policy_comes_back_from_the_log_as_it_was_set_and_the_engine_takes_it(hub: Hub) -> None:
    wanted = {
        "w2_start": date(2022, 12, 11),
        "same_day_act_payable": False,
        "a09_daily_threshold": None,
        "d03_retroactive": "yes",
    }
    for name, value in wanted.items():
        law.decide_policy(hub, name, policies.written_choice(value), "avis")
    found = law.law_of(hub, CPAM)
    assert found.policies == wanted
    judged_by = found.law()
    assert {name: judged_by.policy(name) for name in wanted} == wanted
    assert {window.valid_from for window in judged_by.windows if window.item == "snp.window.W2"} == {date(2022, 12, 11)}


def test_a_policy_that_there_is_not_or_a_value_that_it_does_not_take_is_told(hub: Hub) -> None:
    with pytest.raises(WrongUsage, match="politique inconnue : w3_end"):
        law.decide_policy(hub, "w3_end", "ask", "avis")
    with pytest.raises(WrongUsage, match="attendu pay_with_mention, ask, reject"):
        law.decide_policy(hub, "w2_end", "payer", "avis")
    with pytest.raises(WrongUsage, match="un motif est nécessaire"):
        law.decide_policy(hub, "w2_end", "ask", "")
    with pytest.raises(WrongUsage, match="aucune décision en place pour hub"):
        law.withdraw_policy(hub, "w2_end", "retour")
    assert events(hub) == []


# --- links


def test_a_confirmed_link_is_followed_until_it_is_taken_back(hub: Hub) -> None:
    law.link(hub, "structure", FINESS, "990 000 000 00019", "courrier")
    law.link(hub, "structure", "nom:CPTS du Lac", SIRET, "courrier", "991")
    assert law.law_of(hub, CPAM).alias().rows() == [
        ("structure", FINESS, SIRET), ("structure", "nom:CPTS du Lac", SIRET),
    ]  # fmt: skip
    assert law.law_of(hub, OTHER).alias().rows() == [("structure", FINESS, SIRET)]
    assert law.link(hub, "structure", FINESS, SIRET, "courrier") == {"organisation": "hub", "position": 1, "already": True}
    law.withdraw_link(hub, "structure", FINESS, SIRET, "erreur")
    assert law.law_of(hub, OTHER).alias().is_empty()
    assert law.law_of(hub, OTHER, until=2).alias().height == 1
    assert law.link(hub, "structure", FINESS, SIRET, "courrier")["position"] == 4


def test_a_second_link_a_circle_and_what_is_no_key_are_refused(hub: Hub) -> None:
    law.link(hub, "structure", FINESS, SIRET, "courrier")
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: law.link(hub, "structure", FINESS, "990000028", "courrier"), "déjà lié"),
        (lambda: law.link(hub, "structure", SIRET, FINESS, "courrier"), "tournerait en rond"),
        (lambda: law.link(hub, "structure", SIRET, SIRET, "courrier"), "tournerait en rond"),
        (lambda: law.link(hub, "structure", "99000001", SIRET, "courrier"), "clé de structure attendue"),
        (lambda: law.link(hub, "personne", "990000028", SIRET, "courrier"), "lien inconnu : personne"),
        (lambda: law.link(hub, "structure", "990000028", SIRET, " "), "un motif est nécessaire"),
        (lambda: law.withdraw_link(hub, "structure", "990000028", SIRET, "erreur"), "aucune décision en place"),
    ]
    for act, told in refused:
        with pytest.raises(WrongUsage, match=told):
            act()
    assert len(events(hub)) == 1


# --- the command line


def test_the_table_goes_out_and_comes_back_by_the_command_line(ecluse: Ecluse, tmp_path: Path) -> None:
    path = tmp_path / "tarifs.csv"
    assert ecluse("law", "snp.tariff", "--output", path).code == 0
    refused = ecluse("attest", "--file", path, "--organisation", CPAM, "--role", ROLE)
    assert refused.code == 2
    assert "tarifs.csv, ligne 2 : une référence est nécessaire" in refused.err
    options = ["--organisation", CPAM, "--role", ROLE, "--reference", TEXT]
    for state in ("inscrite", "déjà inscrite"):
        said = ecluse("attest", "--file", path, *options)
        assert (said.code, said.out) == (0, f"décision (attestation, {CPAM}) : {state} (position 1)\n")
    shown = ecluse("law", "snp.tariff", "--organisation", CPAM, "--on", "2024-04-03", "--json").json
    assert {value["firm"] for value in shown["values"]} == {True}
    assert {value["reference"] for value in shown["values"]} == {TEXT}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert {(row["reference"], row["statut"]) for row in rows} == {("", "source secondaire")}
    assert all(row["source_lue"] for row in rows)


def test_a_table_goes_out_with_what_is_missing_and_only_what_is_filled_is_attested(ecluse: Ecluse, tmp_path: Path) -> None:
    path = tmp_path / "annexes.csv"
    said = ecluse("law", "cds.rfs.", "--output", path)
    assert "211 à compléter" in said.out
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    empty = [row for row in rows if not row["valeur"]]
    assert {row["statut"] for row in empty} == {"non trouvé"}
    assert all(row["debut"] and row["source_lue"] and row["libelle"] for row in empty if row["parametre"] == "cds.rfs.points")
    assert {row["parametre"].rpartition(".")[0] for row in rows} == {"cds.rfs"}
    next(row for row in empty if row["parametre"] == "cds.rfs.points")["valeur"] = "800"
    filled = [row for row in rows if row["valeur"]]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    before = len(ecluse("law", "cds.rfs.", "--json").json["missing"])
    told = ecluse("attest", "--file", path, "--organisation", CPAM, "--role", ROLE, "--reference", TEXT, "--reason", "annexes")
    assert f"lignes sans valeur, dont rien n'est attesté : {len(rows) - len(filled)}" in told.out
    answer = ecluse("law", "cds.rfs.", "--organisation", CPAM, "--json").json
    assert len(answer["missing"]) == before - 1
    own = [one for one in answer["values"] if one["parameter"] == "cds.rfs.points" and one["value"] == 800]
    assert [(one["status"], one["firm"], one["position"]) for one in own] == [("attested", True, 1)]
    shown = " ".join(ecluse("law", "cds.rfs.point_value", "--organisation", CPAM).out.split())
    assert "décision 1 du" in shown
    assert f"par {ROLE} (compte " in shown
    assert "motif : annexes ; se retire par ecluse attest --withdraw 1" in shown
    ecluse("attest", "--withdraw", 1, "--organisation", CPAM, "--reason", "texte abrogé")
    assert ": texte abrogé" in " ".join(ecluse("law", "cds.rfs.point_value", "--organisation", CPAM).out.split())
    assert ecluse("law", "cds.rien.").code == 2


def test_one_value_is_attested_and_withdrawn_by_the_command_line(ecluse: Ecluse) -> None:
    options = ["--organisation", CPAM, "--role", ROLE, "--reference", TEXT, "--journal-officiel", "2024-03-30"]
    where = ["--dimension", "version=RHINO", "--dimension", "act=INCLUSION"]
    assert ecluse("attest", "snp.tariff", "--value", 2700, "--from", "2024-04-01", *where, *options).code == 0
    on = ["law", "snp.tariff", "--organisation", CPAM, "--on", "2024-04-03"]

    def rhino_now(*more: str) -> list[tuple[int, str]]:
        values = ecluse(*on, "--json", *more).json["values"]
        return [(one["value"], one["status"]) for one in values if one["cell"] == RHINO]

    assert rhino_now() == rhino_now("--known-on", "2024-03-30") == [(2700, "attested")]
    assert rhino_now("--known-on", "2024-03-29") == [(2500, "secondary")]
    shown = ecluse(*on).out
    assert "27,00 €" in shown
    assert "ferme (attesté)" in shown
    assert "sous réserve (source secondaire)" in shown
    assert "manque : snp.tariff version = ODYNO_2020, CYSTITE_2020" in shown
    gone = ecluse("attest", "--withdraw", 1, "--organisation", CPAM, "--reason", "texte abrogé")
    assert gone.out == f"retrait (attestation, {CPAM}) : inscrite (position 2)\n"
    assert rhino_now() == [(2500, "secondary")]
    assert rhino_now("--as-of", "1") == [(2700, "attested")]


def test_policies_and_links_are_decided_by_the_command_line(ecluse: Ecluse) -> None:
    assert ecluse("decide-policy", "w2_end", "ask", "--reason", "avis").out == (
        "décision (politique, tout le hub) : inscrite (position 1)\n"
    )
    assert ecluse("alias", "structure", FINESS, SIRET, "--caisse", "991", "--reason", "courrier").code == 0
    shown = ecluse("law", "--organisation", CPAM, "--json").json
    assert [(one["policy"], one["value"]) for one in shown["policies"] if one["position"]] == [("w2_end", "ask")]
    assert [one["to_key"] for one in shown["aliases"]] == [SIRET]
    assert f"lien : {FINESS} se lit {SIRET}" in ecluse("law", "--organisation", CPAM).out
    assert ecluse("decide-policy", "w2_end", "--withdraw", "--reason", "retour").code == 0
    assert ecluse("alias", "structure", FINESS, SIRET, "--caisse", "991", "--withdraw", "--reason", "erreur").code == 0
    shown = ecluse("law", "--organisation", CPAM, "--json").json
    assert [one["policy"] for one in shown["policies"] if one["position"]] == shown["aliases"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["attest", "--organisation", CPAM], "donnez PARAMÈTRE"),
        (["attest", "snp.tariff", "--file", __file__, "--organisation", CPAM], "--file donne paramètres et valeurs"),
        (["attest", "snp.tariff", "--organisation", "311", "--from", "2024-01-01"], "dimensions attendues"),
        (["law", "snp.tarif"], "paramètre inconnu : snp.tarif"),
        (["law", "--organisation", "311"], "organisme 311"),
        (["decide-policy", "w2_end", "--reason", "avis"], "w2_end ne prend pas"),
        (["decide-policy", "w2_end", "ask"], "un motif est nécessaire"),
    ],
)
def test_a_mistake_is_told_in_french_with_code_2(ecluse: Ecluse, arguments: list[str], told: str) -> None:
    said = ecluse(*arguments)
    assert said.code == 2
    assert told in said.err
