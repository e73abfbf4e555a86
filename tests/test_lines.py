"""A caisse at work: bordereaux come in, are shown line by line, decided on, published, explained, and answered."""

import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from conftest import Ecluse, Shelf

from flows import deliveries, demo_bordereaux, publication
from flows.hub import TEST_CLOCK, init_hub, open_hub, parse_instant

CPAM = demo_bordereaux.FOLDER
MARCH = "msp-tilleuls-2026-03.xlsx"


@pytest.fixture
def caisse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Path:
    """The home of a hub that has received and published the bordereaux of the demonstration."""
    monkeypatch.setenv(TEST_CLOCK, "2026-06-01T18:00")

    def make(place: Path) -> None:
        demo_bordereaux.write(place)
        init_hub(place / "hub", test=True, recipients=[CPAM])
        hub = open_hub(place / "hub", "agent")
        demo_bordereaux.attest(hub)
        for one in deliveries.find([place / CPAM], settings=hub.settings)[0]:
            deliveries.ingest(hub, one, parse_instant("2026-05-12"))
        assert [report.status for report in publication.publish(hub)] == ["published"]

    return Path(shutil.copytree(shelf("caisse", make) / "hub", tmp_path / "caisse"))


def shown(ecluse: Ecluse, home: Path) -> dict[str, Any]:
    """The bordereau of March as ``ecluse bordereau`` gives it, named by its delivery as ``ecluse status`` does."""
    found = ecluse("status", "--json", home=home).json["bordereaux"]
    [delivery] = [one["delivery_id"] for one in found if MARCH in str(one)]
    answer: dict[str, Any] = ecluse("bordereau", delivery[:8], "--json", home=home).json
    return answer


def of_result(answer: dict[str, Any], result: str) -> list[str]:
    return [one["line_id"] for one in answer["details"] if one["result"] == result]


def test_a_bordereau_is_shown_with_what_waits_for_somebody_first(caisse: Path, ecluse: Ecluse) -> None:
    answer = shown(ecluse, caisse)
    assert (answer["lines"], answer["claimed_cents"], answer["payable_firm_cents"]) == (51, 120000, 107000)
    results = [one["result"] for one in answer["details"]]
    assert results == sorted(results, key=["Question à poser", "Rejeté", "À payer en partie", "À payer"].index)
    told = ecluse("bordereau", answer["bordereau_id"], "--limit", 2, home=caisse)
    assert (told.code, "1 070,00 €" in told.out.replace("\u202f", " "), "et 49 lignes de plus" in told.out) == (0, True, True)
    assert ecluse("bordereau", answer["file"], "--limit", 2, home=caisse).out == told.out
    assert ecluse("bordereau", "zz", home=caisse).code == 2


def test_a_line_says_where_it_was_read_and_why(caisse: Path, ecluse: Ecluse) -> None:
    [line] = [one for one in shown(ecluse, caisse)["details"] if one["label"] == "Prot. gorge/cyst."]
    told = ecluse("line", line["line_id"][:6], home=caisse).out
    assert ecluse("line", f"{line['file']}:{line['row']}", home=caisse).out == told
    assert ecluse("line", f"{line['file']}:9999", home=caisse).code == 2
    assert "désigne plusieurs protocoles : CYSTITE, ODYNO" in told
    assert f"cellule A{line['row']} (protocole)" in told
    assert "snp.P02" in told
    day = "/".join(reversed(line["day"].split("-")))
    assert f"« Prot. gorge/cyst. » · Inclusion · {day} · RPPS {line['rpps']}" in told


def test_a_decision_holds_until_it_is_revoked_and_the_second_who_decides_is_told(caisse: Path, ecluse: Ecluse) -> None:
    line = of_result(shown(ecluse, caisse), "Question à poser")[0]
    refused = ecluse("decide", line, "pay", home=caisse)
    assert (refused.code, "un motif est nécessaire" in refused.err) == (2, True)
    assert ecluse("decide", line, "rejeter", "--reason", "sans preuve", "--role", "prestations", home=caisse).code == 0
    late = ecluse("decide", line, "hold", "--reason", "à revoir", "--seen", 0, home=caisse)
    assert (late.code, "une autre décision est en place" in late.out) == (1, True)
    assert ecluse("line", line, "--json", home=caisse).json["result"] == "Rejeté"
    assert ecluse("decide", line, "--revoke", "--reason", "erreur", home=caisse).code == 0
    assert ecluse("line", line, "--json", home=caisse).json["result"] == "Question à poser"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "donnez LIGNE, DÉCISION et --reason"),
        (("zzzz", "pay", "--reason", "x"), "aucune ligne"),
        (("{paid}", "adjust", "--reason", "x", "--amount", "12,345"), "au centime"),
        (("{paid}", "adjust", "--reason", "x", "--amount", "beaucoup"), "montant illisible"),
        (("{paid}", "adjust", "--reason", "x", "--amount", "99"), "montant demandé (25,00 €)"),
        (("--workbook", "absent.xlsx"), "absent.xlsx"),
        (("{paid}", "--workbook", "absent.xlsx"), "ne les donnez pas aussi à part"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_french(caisse: Path, ecluse: Ecluse, arguments: tuple[str, ...], told: str) -> None:
    paid = of_result(shown(ecluse, caisse), "À payer")[0]
    said = ecluse("decide", *(one.format(paid=paid) for one in arguments), home=caisse)
    assert (said.code, told in said.err) == (2, True), said.err


def test_a_figure_is_explained_down_to_the_rows_of_the_sheet(caisse: Path, ecluse: Ecluse) -> None:
    answer = shown(ecluse, caisse)
    whole = ecluse("explain", f"{CPAM}/bordereaux", "bordereau", f"bordereau_id={answer['bordereau_id']}", home=caisse).out
    assert f"{MARCH}  sha256" in whole
    assert "51 lignes du fichier : 9-59" in whole
    structure = f"structure_key={answer['structure_key']}"
    found = ecluse("explain", f"{CPAM}/bordereaux", "structure", structure, "--json", home=caisse).json["deliveries"]
    assert sum(one["measures"]["lignes"]["lines"] for one in found) == 72


def test_why_a_payable_amount_changed_between_two_publications_is_the_decision_that_changed_it(
    caisse: Path, ecluse: Ecluse
) -> None:
    answer = shown(ecluse, caisse)
    paid = of_result(answer, "À payer")[:2]
    for line, told in zip(paid, ("doublon", "non conforme"), strict=True):
        assert ecluse("decide", line, "reject", "--reason", told, home=caisse).code == 0
    assert ecluse("why", f"{CPAM}/bordereaux", home=caisse).code == 2, "there is but one publication"
    assert ecluse("publish", home=caisse).code == 0
    row = f"bordereau_id={answer['bordereau_id']}"
    found = ecluse("why", f"{CPAM}/bordereaux", row, "--table", "bordereau", "--json", home=caisse).json
    figures = {one["figure"]: one for one in found["figures"]}
    assert figures["payable_firm_cents"]["before"] == answer["payable_firm_cents"]
    assert figures["payable_firm_cents"]["change"] == -figures["rejected_cents"]["change"]
    causes = [[cause["text"] for cause in part["causes"]] for part in figures["payable_firm_cents"]["parts"]]
    assert [text[0].split(" de ")[0] for text in causes] == [f"décision sur la ligne {line}" for line in paid]
    said = ecluse("why", f"{CPAM}/bordereaux", row, "--table", "bordereau", home=caisse).out
    assert "[1] décision sur la ligne" in said
    assert "−25,00 €  [1]" in said


def test_a_filled_workbook_comes_back_and_each_row_is_told_what_became_of_it(
    caisse: Path, ecluse: Ecluse, tmp_path: Path
) -> None:
    answer = shown(ecluse, caisse)
    asked, paid = of_result(answer, "Question à poser"), of_result(answer, "À payer")
    assert ecluse("decide", paid[1], "hold", "--reason", "contrôle", home=caisse).code == 0  # after the workbook was made
    filled = {
        asked[0]: ("Rejeter", None, "RPPS inconnu"),
        asked[1]: ("Payer", 25, "cystite, confirmé"),
        asked[2]: ("Payer", 25, None),
        asked[3]: ("Peut-être", None, "?"),
        paid[1]: ("Rejeter", None, "doublon"),
    }
    blank = ecluse("decide", "--workbook", caisse / "products" / CPAM / "bordereaux" / "0001" / "line.xlsx", home=caisse)
    assert (blank.code, "Payer, Ajuster, Rejeter, Demander, Attendre" in " ".join(blank.out.split())) == (0, True)
    path = tmp_path / "rempli.xlsx"
    fill(caisse / "products" / CPAM / "bordereaux" / "0001" / "line.xlsx", path, filled)
    told = ecluse("decide", "--workbook", path, "--role", "prestations", "--json", home=caisse)
    assert told.code == 1
    assert told.json["counts"] == {"taken": 2, "already": 0, "changed": 1, "refused": 2}
    again = ecluse("decide", "--workbook", path, "--role", "prestations", "--json", home=caisse).json
    assert again["counts"] == {"taken": 0, "already": 2, "changed": 1, "refused": 2}
    now = {one["line_id"]: one["result"] for one in shown(ecluse, caisse)["details"]}
    assert [now[line] for line in (asked[0], asked[1], asked[2], paid[1])] == [
        "Rejeté", "À payer", "Question à poser", "En attente",
    ]  # fmt: skip


def fill(source: Path, target: Path, filled: dict[str, tuple[str, int | None, str | None]]) -> None:
    """Write decisions, amounts and reasons beside these lines."""
    book = openpyxl.load_workbook(source)
    sheet = book["Données"]
    heads = [cell.value for cell in sheet[1]]
    places = [heads.index(name) + 1 for name in ("Décision", "Montant", "Motif")]
    key = heads.index("Identifiant de la ligne") + 1
    for row in range(2, sheet.max_row + 1):
        for place, value in zip(places, filled.get(str(sheet.cell(row, key).value), ()), strict=False):
            sheet.cell(row, place).value = value
    book.save(target)


def test_a_workbook_that_another_hub_published_decides_nothing(caisse: Path, ecluse: Ecluse, tmp_path: Path) -> None:
    other = tmp_path / "other"
    init_hub(other, test=True, recipients=[CPAM])
    hub = open_hub(other, "agent")
    demo_bordereaux.attest(hub)
    demo_bordereaux.write(tmp_path / "files")
    for one in deliveries.find([tmp_path / "files" / CPAM / MARCH], "311")[0]:
        deliveries.ingest(hub, one, parse_instant("2026-05-13"))
    publication.publish(hub)
    said = ecluse("decide", "--workbook", caisse / "products" / CPAM / "bordereaux" / "0001" / "line.xlsx", home=other)
    assert (said.code, "pas de publication 1" in said.err) == (2, True), said.err
