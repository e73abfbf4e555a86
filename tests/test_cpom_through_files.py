"""The CPOM through files: real exports in, contracts judged, compared as the ARS decided, published; what replaces what."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Ecluse

from checks.cpom import product
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_bordereaux import Plan, rows_of, sample_lines, write_xlsx
from connectors.synthetic_ecars import (
    STRAT_TITLE,
    Contract,
    canonical,
    hpr_rows,
    sample_contract,
    strategic_rows,
    table,
    workbook,
)
from connectors.synthetic_rsa import write_rsa
from contracts_schema.cpom_catalogue import canonical_columns
from contracts_schema.products import product_of
from flows import (
    causes,
    computed,
    contracts_shown,
    cpom,
    cpom_decisions,
    cpom_inputs,
    decisions,
    deliveries,
    editions,
    explanation,
    publication,
    replay,
    state,
)
from flows.arrivals import gather
from flows.deliveries import Report
from flows.hub import Hub, WrongUsage, init_hub, open_hub
from flows.published import publications, published_rows
from warehouse.recipients import recipient

ARS = "ars-99"
SITE, LEGAL, OTHER = (fictional_finess(number=number) for number in (1, 7, 8))
NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
JULY = datetime(2025, 7, 24, 12, tzinfo=UTC)
Take = Callable[..., Report]


@pytest.fixture(scope="module")
def transmission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pmsi") / f"{SITE}.2024.12.rsa"
    write_rsa(path, Recipe(finess=SITE, year=2024, months=12, stays_per_month=60, seed=3, version="227"))
    return path


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    init_hub(tmp_path / "cpom", recipients=[ARS], test=True)
    return replace(open_hub(tmp_path / "cpom", "tests"), clock=lambda: NOW)


@pytest.fixture
def take(hub: Hub, tmp_path: Path) -> Take:
    """Ingests a file of this name and content."""

    def ingest(name: str, content: bytes, at: datetime = JULY) -> Report:
        path = tmp_path / name
        path.write_bytes(content)
        found, refused = deliveries.find([path])
        return refused[0] if refused else deliveries.ingest(hub, found[0], at)

    return ingest


def contract(finess_ej: str = LEGAL, **more: Any) -> Contract:
    return replace(sample_contract(4, finess_ej=finess_ej), **more)


def links(*pairs: tuple[str, str]) -> bytes:
    return table("etablissements", [{"finess_et": et, "finess_ej": ej, "date_debut": date(2020, 1, 1)} for et, ej in pairs])


def compared(hub: Hub, until: int | None = None) -> dict[str, Any]:
    rows = cpom.rows(hub, cpom.COMPARED, until)
    return rows.filter((pl.col("id") == "OS_13_1_1") & (pl.col("role") == "INITIALE")).row(0, named=True)


def contracts(hub: Hub, until: int | None = None) -> dict[str, dict[str, Any]]:
    return {row["finess_ej"]: row for row in cpom.rows(hub, "out_ars__cpom_contract", until).iter_rows(named=True)}


def test_files_are_told_by_what_they_hold_never_by_their_name(tmp_path: Path) -> None:
    files = {
        "bordereau-311.xlsx": workbook(contract()),
        "extraction.csv": canonical([contract()]),
        "notes.csv": links((SITE, LEGAL)),
        "synthese-ecars.xlsx": write_xlsx([Plan(rows_of(sample_lines(3), {}))]),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found, refused = gather([tmp_path], caisse="311")
    assert not refused
    assert {one.name: one.source for one in found} == {
        "bordereau-311.xlsx": "ecars", "extraction.csv": "ecars", "notes.csv": "ecars", "synthese-ecars.xlsx": "bordereau",
    }  # fmt: skip


def test_an_indicator_is_judged_only_as_the_ars_decided_and_no_longer_once_it_takes_that_back(
    hub: Hub, take: Take, transmission: Path
) -> None:
    assert take("synthese.xlsx", workbook(contract())).status == "accepted"
    assert compared(hub)["reason"] == "FINESS_NON_RESOLU", "no transmission was read"
    deliveries.ingest(hub, deliveries.find([transmission])[0][0])
    assert compared(hub)["reason"] == "FINESS_NON_RESOLU"
    assert take("liens.csv", links((SITE, LEGAL))).status == "accepted"
    undecided = hub.log.head()[0]
    assert compared(hub)["reason"] == "DEFINITION_NON_CONVENUE"
    assert cpom.rows(hub, cpom.CONTEXT).filter(pl.col("definition_id") == "OS_13")["variant"].to_list() == [
        "v1",
        "v2_overnight",
    ]

    first = cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "réunion", tolerance="0,5", reference="Avis 3")
    told = compared(hub)
    assert (told["status"], told["variant"], told["reference"]) == ("ecart", "v1", "Avis 3")
    assert told["tolerance_hundredths"] == 50
    assert told["decision_position"] == first["position"]
    assert told["denominator"] > told["numerator"] > 0
    cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "plus large", tolerance="100", finess_ej=LEGAL)
    assert compared(hub)["status"] == "ecart_tolere", "the one of the establishment passes first"
    cpom_decisions.withdraw_definition(hub, ARS, "OS_13", "erreur", finess_ej=LEGAL)
    assert compared(hub)["status"] == "ecart"
    cpom_decisions.withdraw_definition(hub, ARS, "OS_13", "plus d'accord")
    assert compared(hub)["reason"] == "DEFINITION_NON_CONVENUE"
    assert compared(hub, first["position"])["status"] == "ecart", "as known then"
    assert compared(hub, undecided)["reason"] == "DEFINITION_NON_CONVENUE"


def test_regional_totals_are_those_of_their_region_and_of_no_other(hub: Hub, take: Take) -> None:
    totals = [{"annee": "2025", "part": part, "montant_cents": cents} for part, cents in (("DGOS", "50"), ("OCCITANIE", "50"))]

    def told() -> list[tuple[str, str]]:
        fired, lacking = (
            cpom.rows(hub, name).filter(rule="cpom.R43").select("region", pl.lit(word)).rows()
            for name, word in (("out_ars__cpom_finding", "fires"), ("out_ars__cpom_not_evaluable", "lacks"))
        )
        return sorted([*fired, *lacking])

    take("99.csv", canonical([contract()]))
    assert take("su.csv", table("su_region", totals).replace(b";region\n", b"\n").replace(b";;\n", b";\n")).status == "accepted"
    assert told() == [("99", "fires")], "of the only région that has contracts"
    take("94.csv", canonical([contract(fictional_finess("2A99"))]))
    assert told() == [("94", "lacks"), ("99", "lacks")]
    take("su-94.csv", table("su_region", [{**one, "region": "94"} for one in totals]))
    assert told() == [("94", "fires"), ("99", "lacks")]
    lost = take("su-00.csv", table("su_region", [{**one, "region": "00"} for one in totals]))
    assert "ligne 2, colonne region : code INSEE d'une région attendu" in str(lost.message)


def test_a_list_about_another_region_says_nothing_of_this_one(hub: Hub, take: Take) -> None:
    corsican = fictional_finess("2A99")
    chosen = {"CT_03_1_1": ["Pharmacie"] * 6, **contract().chosen}
    take("deux.csv", canonical([contract(chosen=chosen), contract(corsican, chosen=chosen)]))
    group = {"ght": "GHT fictif", "date_debut": date(2020, 1, 1)}
    take("ght.csv", table("ght", [{"finess_ej": OTHER, **group}]))
    told = cpom.rows(hub, "out_ars__cpom_finding").filter(rule="cpom.R19").sort("finess_ej")
    assert told.select("region", "severity").rows() == [("94", "Avertissement"), ("99", "Bloquant")]
    take("personne.csv", table("ght", []))
    told = cpom.rows(hub, "out_ars__cpom_finding").filter(rule="cpom.R19")
    assert told["severity"].to_list() == ["Bloquant", "Bloquant"], "a list emptied says that nobody is in a group"


def test_a_decision_says_what_there_is_and_the_same_one_twice_is_one(hub: Hub) -> None:
    for wrong in (("OS_99", "v1"), ("OS_13", "v9"), ("OS_09", "v1")):
        with pytest.raises(WrongUsage, match=r"inconnue|aucune variante"):
            cpom_decisions.decide_definition(hub, ARS, *wrong, "motif")
    with pytest.raises(WrongUsage, match="région"):
        cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "motif", finess_ej="310000019")
    first = cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "motif")
    assert cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "autre motif")["position"] == first["position"]
    with pytest.raises(WrongUsage, match="politique inconnue"):
        cpom_decisions.decide_policy(hub, ARS, "no_such", "oui", "motif")


def test_every_variant_that_can_be_decided_is_one_that_is_recomputed(hub: Hub, take: Take, transmission: Path) -> None:
    take("synthese.xlsx", workbook(contract(SITE)))
    deliveries.ingest(hub, deliveries.find([transmission])[0][0])
    at = computed.moment(hub, "cpom")
    assert at
    known = deliveries.all_heads(hub)
    facts = cpom.judged(hub, known, "99", at, lambda number: number == SITE).facts
    given = cpom_inputs.recomputed(hub, known, facts, at)
    assert given["finess_ej"].unique().to_list() == [SITE], "a legal entity that sends for itself"
    found = given.group_by("definition_id").agg(pl.col("variant").sort())
    told = {name: sorted(variants) for name, variants in cpom_decisions.VARIANTS.items()}
    # the variants of a site need the list of HPR sites
    assert {name: [one for one in told[name] if one in variants] for name, variants in found.rows()} == dict(found.rows())
    assert set(dict(found.rows())) == set(told)


def test_on_a_past_day_deadlines_are_judged_on_that_day_and_at_a_position_on_its_own(hub: Hub, take: Take) -> None:
    take("synthese.xlsx", workbook(contract()))
    later = replace(hub, clock=lambda: datetime(2026, 9, 1, tzinfo=UTC))

    def days_left(as_of: str | None) -> set[int]:
        """By how much the days left differ from what they were on the day of the file, 10 March."""
        before, now = (contracts_shown.obligations_of(one, None, until) for one, until in ((hub, None), state.at(later, as_of)))
        left = [[one["days_left"] for one in told] for told in (before, now)]
        return {was - then for was, then in zip(*left, strict=True) if was is not None and then is not None}

    assert {as_of: days_left(as_of) for as_of in ("2", "2026-03-10", "2026-05-11", "2026-09-01", "2030-01-01")} == {
        "2": {0}, "2026-03-10": {0}, "2026-05-11": {62}, "2026-09-01": days_left(None), "2030-01-01": {175},
    }  # fmt: skip


def test_a_policy_changes_what_the_rules_say(hub: Hub, take: Take) -> None:
    take("synthese.xlsx", workbook(contract(synthesis="Du 27 juillet 2025")))
    assert contracts(hub)[LEGAL]["deadline"] == "Délai non vérifiable"
    cpom_decisions.decide_policy(hub, ARS, "choice_due_on", "2025-07-31", "report accordé")
    assert contracts(hub)[LEGAL]["deadline"] == "Dans les délais"
    cpom_decisions.withdraw_policy(hub, ARS, "choice_due_on", "erreur")
    assert contracts(hub)[LEGAL]["deadline"] == "Délai non vérifiable"


def test_the_contracts_are_counted_once_the_campaign_is_closed_and_no_longer_once_it_is_open_again(
    hub: Hub, take: Take
) -> None:
    take("region.csv", canonical([contract(), contract(OTHER)]))

    def said(until: int | None = None) -> tuple[list[str], list[str]]:
        told = contracts_shown.campaign(hub, until)
        return ([one["message"] for one in told["findings"]],
                [one["rule"] for one in told["not_evaluable"] if one["rule"] == "cpom.R52"])  # fmt: skip

    assert said() == ([], ["cpom.R52"])
    closed = cpom_decisions.close(hub, ARS, "fin de campagne")["position"]
    assert said() == (["2 établissement(s) reçu(s), 280 attendu(s) selon la politique expected_ej."], [])
    assert cpom_decisions.close(hub, ARS, "encore")["already"]
    cpom_decisions.decide_policy(hub, ARS, "expected_ej", "2", "région fictive")
    assert said() == ([], [])
    third = fictional_finess(number=9)
    take("attendus.csv", table("contrats_attendus", [{"finess_ej": LEGAL}, {"finess_ej": third, "raison_sociale": "CH 9"}]))
    assert said() == ([
        f"CH FICTIF 4 ({OTHER}) : contrat reçu (« region.csv »), absent de la liste des contrats attendus.",
        f"CH 9 ({third}) est attendu (table contrats_attendus) : aucune synthèse n'en a été reçue.",
    ], [])  # fmt: skip
    cpom_decisions.reopen(hub, ARS, "un retardataire")
    assert said() == ([], ["cpom.R52"])
    assert said(closed) == (["2 établissement(s) reçu(s), 280 attendu(s) selon la politique expected_ej."], []), "as known then"
    with pytest.raises(WrongUsage, match="aucune décision"):
        cpom_decisions.reopen(hub, ARS, "encore")


def test_a_later_export_replaces_its_contract_alone_and_an_earlier_one_still_proves_the_choice(hub: Hub, take: Take) -> None:
    first = take("region.csv", canonical([contract(), contract(OTHER)]))
    late = contract(name="CH RENOMMÉ", synthesis="Du 15 septembre 2025")
    second = take("synthese.xlsx", workbook(late), datetime(2025, 9, 16, 9, tzinfo=UTC))
    found = contracts(hub)
    assert (found[LEGAL]["file"], found[OTHER]["file"]) == ("synthese.xlsx", "region.csv")
    assert found[LEGAL]["deadline"] == "Dans les délais", "the choice was proved in July"
    assert second.delivery_id
    decisions.withdraw(hub, second.delivery_id, "erreur")
    assert contracts(hub)[LEGAL]["file"] == "region.csv"
    assert first.delivery_id
    decisions.withdraw(hub, first.delivery_id, "erreur")
    with pytest.raises(WrongUsage, match="aucun contrat"):
        contracts(hub)


def test_an_annex_that_the_last_export_lacks_stays_and_is_told(hub: Hub, take: Take) -> None:
    whole = replace(sample_contract(4, hpr=True, finess_ej=LEGAL), recognitions=[["CH", "Centre", None, None, None, None]])
    take("juillet.xlsx", workbook(whole))
    first = take("septembre.xlsx", workbook(contract()), datetime(2025, 9, 16, 9, tzinfo=UTC))
    assert (first.status, first.alerts) == ("accepted", ["ecars.A1"])
    assert str(first.message) == (
        "septembre.xlsx : pas de feuille « ANNEXE HOPITAUX DE PROXIMITE » ; celle d'un export précédent reste en place : "
        f"{LEGAL} (feuille « HPR » de « juillet.xlsx ») (règle ecars.A1)"
    )

    def kept() -> list[tuple[str, str, str, str]]:
        found = cpom.rows(hub, "out_ars__cpom_finding").filter(rule="ecars.A1")
        return found.select("severity", "file", "sheet", "message").sort("severity").rows()

    assert contracts(hub)[LEGAL]["chosen_hpr"] == 6
    assert cpom.rows(hub, "out_ars__cpom_target").filter(pl.col("indicator_id").str.starts_with("HPR")).height == 24
    assert kept() == [
        ("Avertissement", "juillet.xlsx", "HPR",
         "L'annexe HPR n'est pas dans le dernier export reçu (septembre.xlsx) : celle de "
         "« juillet.xlsx », feuille « HPR », reste en place."),
        ("Information", "juillet.xlsx", "Reconnaissances",
         "La feuille des reconnaissances n'est pas dans le dernier export reçu "
         "(septembre.xlsx) : celle de « juillet.xlsx », feuille « Reconnaissances », reste en place."),
    ]  # fmt: skip
    assert first.delivery_id
    decisions.withdraw(hub, first.delivery_id, "erreur")
    assert kept() == []
    assert decisions.restore(hub, first.delivery_id, "à tort").alerts == ["ecars.A1"]
    # said empty, the annex is taken back
    emptied = take("octobre.csv", canonical([contract(hpr={})]), datetime(2025, 10, 1, tzinfo=UTC))
    assert (emptied.alerts, contracts(hub)[LEGAL]["chosen_hpr"]) == ([], 0)
    assert take("novembre.csv", canonical([contract(name="CH")]), datetime(2025, 11, 1, tzinfo=UTC)).alerts == []


def results(code: str, year: int, text: str, day: str = "2026-02-27") -> bytes:
    row = {
        "campagne": "CPOM-2025-2029", "finess_ej": LEGAL, "annexe": "STRAT", "indicateur_code": code, "choisi": "oui",
        "annee": str(year), "role": "REALISE", "valeur_texte": text, "date_synthese": day,
    }  # fmt: skip
    lines = [";".join(canonical_columns()), ";".join(row.get(name, "") for name in canonical_columns())]
    return ("\n".join(lines) + "\n").encode()


def test_results_declared_later_come_beside_the_choice_and_beside_those_of_other_years(hub: Hub, take: Take) -> None:
    take("synthese.xlsx", workbook(contract()))
    before = contracts(hub)[LEGAL]
    sent = {"2025.csv": results("OS_13_1_1", 2025, "41,5 %"), "autre.csv": results("OS_22_1_1", 2025, "3", ""),
            "2026.csv": results("OS_13_1_1", 2026, "43 %"), "corrige.csv": results("OS_13_1_1", 2025, "42 %")}  # fmt: skip
    for day, (name, content) in enumerate(sent.items(), 1):
        assert take(name, content, datetime(2026, 3, day, tzinfo=UTC)).status == "accepted"
    found = cpom.rows(hub, cpom.COMPARED).filter(pl.col("role") == "REALISE")
    assert found.select("id", "year", "declared").rows() == [
        ("OS_13_1_1", 2025, Decimal(42)), ("OS_13_1_1", 2026, Decimal(43)), ("OS_22_1_1", 2025, Decimal(3)),
    ]  # fmt: skip
    assert contracts(hub)[LEGAL] == before, "a result chooses nothing, and says nothing of the day of the choice"
    take("nouvelle.xlsx", workbook(contract(name="CH RENOMMÉ")), datetime(2026, 3, 9, tzinfo=UTC))
    assert contracts(hub)[LEGAL]["file"] == "nouvelle.xlsx"
    lacking = contract(chosen={**contract().chosen, "OS_13_1_1": ["40 %", None, "45 %", "46 %", "47 %", "48 %"]})
    take("incomplete.xlsx", workbook(lacking), datetime(2026, 3, 10, tzinfo=UTC))
    told = cpom.rows(hub, "out_ars__cpom_finding").filter(pl.col("indicator_id") == "OS_13_1_1")
    assert told.select("rule", "year").rows() == [("cpom.R23", 2025)], "a result is no target"


def test_a_file_that_cannot_be_read_is_refused_with_its_place_and_rule(take: Take, hub: Hub) -> None:
    other = canonical([contract()]).replace(b"CPOM-2025-2029", b"CPOM-2019-2024")
    report = take("ancien.csv", other)
    assert (report.status, report.reasons) == ("rejected", ["ecars.FL8"])
    assert "ancien.csv" in str(report.message)
    assert "ligne 2, campagne" in str(report.message)
    bad = take("liens.csv", links((SITE, LEGAL)) + b"12;" + LEGAL.encode() + b";2020-01-01;\n")
    assert (bad.status, bad.reasons) == ("rejected", ["ecars.FL10"])
    lost = take("malforme.xlsx", workbook(contract("9900")))
    assert (lost.status, lost.alerts) == ("accepted", ["cpom.R01"]), "no ARS can be told of it"
    assert str(lost.message).startswith("malforme.xlsx : feuille « Synthèse », cellule A4 : numéro FINESS EJ absent, mal formé")
    plans = [Plan(strategic_rows(contract()), "Synthèse", hidden_rows=frozenset([9])), Plan([["Page de garde"]], "Garde")]
    odd = take("masque.xlsx", write_xlsx(plans))
    assert (odd.status, odd.alerts) == ("accepted", ["ecars.A2", "ecars.A3"])
    assert str(odd.message) == (
        "masque.xlsx : feuille « Synthèse » : 1 ligne masquée ou filtrée, lue (règle ecars.A3) ; "
        "masque.xlsx : feuille « Garde » sans tableau reconnu : non lue (règle ecars.A2)"
    )
    renamed = take("renomme.xlsx", canonical([contract()]))
    assert (renamed.status, renamed.reasons) == ("rejected", ["ecars.FL2"])


def test_the_message_of_a_refusal_names_file_sheet_cell_and_rule(take: Take) -> None:
    rows = strategic_rows(contract())
    other = [[STRAT_TITLE.replace("2025 - 2029", "2019 - 2023")] if row == [STRAT_TITLE] else row for row in rows]
    renamed = [["Items" if cell == "Indicateurs" else cell for cell in row] for row in rows]
    told = {
        name: str(take(f"{name}.xlsx", write_xlsx([Plan(cells, sheet)])).message)
        for name, cells, sheet in (
            ("campagne", other, "Synthèse"),
            ("absente", hpr_rows(sample_contract(1, hpr=True)), "HPR"),
            ("renommee", renamed, "Synthèse"),
        )
    }
    assert told == {
        "campagne": "campagne.xlsx : feuille « Synthèse », cellule A3 : annexe 2019-2023 : classeur d'une autre campagne, "
        "2025-2029 attendu (règle ecars.FL8)",
        "absente": "absente.xlsx : « HPR » : la feuille « ANNEXE ORIENTATION STRATEGIQUE » est absente du classeur "
        "(règle ecars.FL9)",
        "renommee": "renommee.xlsx : feuille « Synthèse », cellule C6 : colonne « Indicateurs » absente ou renommée "
        "(en-tête lu ici : « Items ») (règle ecars.FL6)",
    }


def test_t19_the_same_bytes_are_known_and_the_same_content_in_another_file_changes_no_fact(hub: Hub, take: Take) -> None:
    first = workbook(contract())
    take("synthese.xlsx", first)
    before, position = cpom.rows(hub, "out_ars__cpom_target"), hub.log.head()[0]
    assert take("copie.xlsx", first).status == "already_known"
    assert hub.log.head()[0] == position
    assert take("enregistre.xlsx", _other_bytes(first)).status == "accepted"
    assert cpom.rows(hub, "out_ars__cpom_target").equals(before)
    assert len(contracts(hub)) == 1


def _other_bytes(content: bytes) -> bytes:
    """The same workbook in an archive of other bytes."""
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as read, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as written:
        for name in read.namelist():
            written.writestr(name, read.read(name))
    return target.getvalue()


def test_a_figure_that_the_pmsi_product_hides_is_hidden_here_too(hub: Hub, take: Take, transmission: Path) -> None:
    take("synthese.xlsx", workbook(contract(SITE)))
    deliveries.ingest(hub, deliveries.find([transmission])[0][0])
    cpom_decisions.decide_definition(hub, ARS, "OS_11", "gt75_v1", "réunion")
    told = cpom.rows(hub, cpom.INDICATOR).filter(pl.col("definition") == "OS_11 v2").row(0, named=True)
    inside = cpom.rows(hub, cpom.COMPARED).filter(pl.col("definition_id") == "OS_11").row(0, named=True)
    assert inside["numerator"] is not None
    assert [told[name] for name in ("numerator", "denominator", "recomputed", "gap", "result")] == [None] * 4 + ["Masqué"]
    assert told["conflicts_hidden"], "conflicts are read beside their rate only"


def test_the_products_are_published_once_then_why_they_changed_is_told_and_where_a_figure_comes_from(
    hub: Hub, take: Take, transmission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take("synthese.xlsx", workbook(contract(SITE)))
    granted = {"subvention_id": "S1", "finess_ej": SITE, "fonds": "FMIS", "date_notification": date(2025, 3, 3)}
    take("subventions.csv", table("subventions", [{**granted, "montant_cents": "10000"}]))
    deliveries.ingest(hub, deliveries.find([transmission])[0][0])
    cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "réunion")
    to = editions.recipients(hub, None)
    assert editions.moved(hub, to)
    reports = {report.product: report.status for report in publication.publish(hub)}
    assert not editions.moved(hub, to)
    assert editions.moved(replace(hub, clock=lambda: NOW + timedelta(days=1)), to), "judged for another day"
    made = ("cpom-echeances", "cpom-finances", "cpom-indicateurs", "cpts", "pmsi-activity")  # FMIS is in both
    assert reports == dict.fromkeys(made, "published")
    [event] = publications(hub, ARS, "cpom-indicateurs")
    row = published_rows(hub, event, "indicator").filter(pl.col("definition_variant") == "v1").row(0, named=True)
    assert row["result"] in ("Écart", "Écart toléré", "Concordant")
    assert row["numerator"] == compared(hub)["numerator"]
    assert {report.status for report in publication.publish(hub)} == {"unchanged"}

    # --- then it changes, by a decision, a declaration, and the days: why is told
    wider = cpom_decisions.decide_definition(hub, ARS, "OS_13", "v2_overnight", "nuits seules")["position"]
    series = contract(SITE).chosen["OS_13_1_1"]
    take("suite.xlsx", workbook(replace(contract(SITE), chosen={**contract(SITE).chosen, "OS_13_1_1": ["5 %", *series[1:]]})))
    corrected = hub.log.head()[0]
    later = replace(hub, clock=lambda: datetime(2026, 5, 4, 9, tzinfo=UTC))
    monkeypatch.setitem(product._labels(), "OS_13_1_1", "Libellé corrigé")  # another version, whose keys are others
    shutil.rmtree(hub.views_folder)
    publication.publish(later)
    told = causes.causes(later, f"{ARS}/cpom-indicateurs", keys={"finess_ej": SITE, "indicator_id": "OS_13_1_1"})
    figures = {one["figure"]: one for one in told["figures"] if one["table"] == "indicator"}
    for one in told["figures"]:
        assert one["change"] is None or sum(part["contribution"] for part in one["parts"]) == one["change"]
    by = {name: [[cause["position"] for cause in part["causes"]] for part in one["parts"]] for name, one in figures.items()}
    assert by["numerator"] == by["definition_variant"] == [[wider]]
    assert by["gap"] == [[wider], [corrected]]
    assert by["declared"] == by["declared_text"] == [[corrected]]
    [declared] = figures["declared_text"]["parts"]
    assert (declared["after"], declared["causes"][0]["kind"]) == ("5 %", "declaration")
    assert "suite.xlsx" in declared["causes"][0]["text"]
    [label] = figures["indicator"]["parts"]
    assert (label["after"], [one["kind"] for one in label["causes"]]) == ("Libellé corrigé", ["version"])
    due = causes.causes(later, f"{ARS}/cpom-echeances", table="obligation")["figures"]
    days = [part for one in due if one["figure"] == "days_left" for part in one["parts"]]
    assert days
    assert {(part["causes"][0]["kind"], part["contribution"]) for part in days} == {("days", -55)}
    with pytest.raises(WrongUsage, match="il y a les numéros 1 à 2"):
        causes.causes(later, f"{ARS}/cpom-indicateurs", number=3)
    with pytest.raises(WrongUsage, match="aucune table n'a toutes ces clés"):
        causes.causes(later, f"{ARS}/cpom-indicateurs", keys={"caisse": "311"})

    row = {"finess_ej": SITE, "indicator_id": "OS_13_1_1", "year": "2024", "role": "Initiale"}
    said = explanation.explain(later, f"{ARS}/cpom-indicateurs", "indicator", row)
    cell, recomputed, decided = said["basis"]
    assert (cell["file"], cell["sheet"], cell["raw"]) == ("suite.xlsx", "Synthèse", "5 %")
    assert cell["cell"] in str(said["row"]["cell"])
    assert (recomputed["variant"], decided["position"]) == ("v2_overnight", wider)
    [sent] = [one for one in said["deliveries"] if one["scope"].startswith("pmsi/")]
    assert {name: one["lines"] for name, one in sent["measures"].items()} == {
        name: said["row"][name] for name in ("numerator", "denominator")
    }
    chosen = explanation.explain(later, f"{ARS}/cpom-indicateurs", "contract", {"finess_ej": SITE})["basis"]
    assert len([one for one in chosen if one["text"].startswith("indicateur choisi")]) == len(contract(SITE).chosen)
    assert any(one["kind"] == "rule" for one in chosen)
    for product_of_money in ("cpom-finances", "cpts"):
        [granted_by] = explanation.explain(later, f"{ARS}/{product_of_money}", "subsidy", {"subsidy_id": "S1"})["deliveries"]
        assert (granted_by["scope"], granted_by["measures"]["lignes"]["ranges"]) == ("ecars/suivi/subventions", [[2, 2]])


def test_exports_about_other_contracts_are_one_step_of_a_replay_and_what_is_asked_for_makes_fewer(hub: Hub, take: Take) -> None:
    for name, export in (("a.csv", contract()), ("b.csv", contract(OTHER)), ("c.csv", contract(name="CH RENOMMÉ"))):
        assert take(name, canonical([export])).status == "accepted"
    [*_, event] = hub.log.read()
    ends = [replace(event, data={"log": {"position": at}, "judged_on": "2026-03-10"}) for at in (0, event.position)]
    told = product_of(ARS, "cpom-indicateurs")
    for keys, steps in (({}, [0, 2, 1]), ({"finess_ej": OTHER}, [0, 3]), ({"finess_ej": LEGAL}, [0, 2, 1])):
        points = list(replay._way(hub, replay.Asked(told, recipient(ARS), told.tables, keys), *ends))
        assert [len(point.causes) for point in points] == steps
    assert points[-1].at.position == event.position


def test_what_falls_due_is_told_with_the_smallest_horizon(hub: Hub, take: Take) -> None:
    assert contracts_shown.falling_due(hub) == []
    take("synthese.xlsx", workbook(contract()), datetime(2025, 7, 1, tzinfo=UTC))
    on_the_eve = replace(hub, clock=lambda: datetime(2025, 7, 23, 23, 30, tzinfo=UTC))  # the 24th in Paris
    incomplete = replace(contract(), chosen=dict(list(contract().chosen.items())[:3]), synthesis="Du 1 juillet 2025")
    take("court.xlsx", workbook(incomplete), datetime(2025, 7, 2, tzinfo=UTC))
    [choice] = [one for one in contracts_shown.falling_due(on_the_eve) if one["deadline_id"] == "D02"]
    assert (choice["finess_ej"], choice["days_left"], choice["horizon"]) == (LEGAL, 1, 1)
    take("94.csv", canonical([contract(fictional_finess("2A99"))]))
    at_last = replace(hub, clock=lambda: datetime(2025, 12, 30, 12, tzinfo=UTC))
    ends = [(one["deadline_id"], one["days_left"]) for one in contracts_shown.falling_due(at_last)]
    assert ends == [("D22", 1)], "of the whole campaign once, whatever the régions"


def test_the_commands_show_a_contract_and_record_what_the_ars_decides(
    hub: Hub, take: Take, transmission: Path, ecluse: Ecluse
) -> None:
    home = hub.settings.home
    take("synthese.xlsx", workbook(contract(SITE)))
    deliveries.ingest(hub, deliveries.find([transmission])[0][0])
    said = ecluse("decide-definition", "OS_13", "v1", "--ars", ARS, "--reason", "réunion", "--tolerance", "0,1", home=home)
    assert said.code == 0
    assert "décision prise" in said.out
    shown = ecluse("cpom", SITE, "--indicator", "OS_13_1_1", home=home).out
    for told in ("déclaré", "recalculé", "variante v1", "variante v2_overnight", "écart", "champ renseigné à 100,00 %"):
        assert told in shown
    assert SITE in ecluse("cpom", home=home).out
    assert ecluse("deadlines", "--json", home=home).code == 0
    assert ecluse("decide-definition", "OS_13", "v7", "--ars", ARS, "--reason", "x", home=home).code == 2
    assert "Non vérifiable cpom.R52 : La campagne n'est pas close." in ecluse("cpom", home=home).out
    assert "décision prise" in ecluse("cpom-close", "--ars", ARS, "--reason", "fin", home=home).out
    assert "1 établissement(s) reçu(s)" in ecluse("cpom", home=home).out
    assert "cpom.R36" in ecluse("cpom", SITE, home=home).out
    assert "date inconnue : il manque la réception" in ecluse("deadlines", SITE, home=home).out
    assert ecluse("cpom-close", "--ars", ARS, "--reason", "erreur", "--revoke", home=home).code == 0
    assert ecluse("decide-definition", "OS_13", "--revoke", "--ars", ARS, "--reason", "erreur", home=home).code == 0
    assert "Aucune décision" in ecluse("cpom-policy", "--ars", ARS, home=home).out
