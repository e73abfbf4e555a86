"""Receipts: what a recipient holds proves the log to the hub, and the hub to the recipient; what it answers is recorded."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import Ecluse, Months

from flows.hub import Hub
from flows.published import folder_of, publications


@pytest.fixture
def published(hub: Hub, months: Months) -> Path:
    """The folder of the first of two publications."""
    months(2)
    return folder_of(hub, publications(hub)[0])


def tampered(hub: Hub, *statements: str) -> None:
    """What the owner of the database does behind the log's back: its triggers taken away first."""
    engine = sa.create_engine(hub.settings.database_url)
    with engine.begin() as connection:
        for (name,) in connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def test_a_receipt_is_proved_against_the_log_and_its_files(published: Path, ecluse: Ecluse) -> None:
    said = ecluse("verify", "--receipt", published / "datapackage.json", "--json")
    assert (said.code, said.json["sound"], said.json["problems"]) == (0, True, [])
    assert said.json["publication"]["number"] == 1
    assert said.json["receipt"]["position"] < said.json["log"]["position"]


def test_the_receipt_alone_is_proved_away_from_its_files(published: Path, ecluse: Ecluse, tmp_path: Path) -> None:
    shutil.copy(published / "datapackage.json", tmp_path / "received.json")
    assert ecluse("verify", "--receipt", tmp_path / "received.json").code == 0


def test_an_event_altered_before_the_receipt_is_told(published: Path, hub: Hub, ecluse: Ecluse) -> None:
    tampered(hub, """UPDATE event SET meta = replace(meta, '"actor"', '"author"') WHERE position = 1""")
    said = ecluse("verify", "--receipt", published / "datapackage.json")
    assert said.code == 1
    assert "la position 1 rompt la chaîne" in said.out


def test_a_log_rewritten_whole_is_told_by_the_receipt_alone(published: Path, hub: Hub, ecluse: Ecluse) -> None:
    links = list(hub.log.links())
    rows = [f"UPDATE event SET meta = '{{}}' WHERE position = {link.position}" for link in links]
    tampered(hub, *rows)
    previous = "0" * 64
    for link in hub.log.links():  # every hash made to fit
        previous = hashlib.sha256(f"{previous}\n{link.content}".encode()).hexdigest()
        tampered(hub, f"UPDATE event SET hash = '{previous}' WHERE position = {link.position}")
    problems = ecluse("verify", "--receipt", published / "datapackage.json", "--json").json["problems"]
    assert any("n'est pas l'événement du reçu" in problem for problem in problems)
    assert not any("rompt la chaîne" in problem for problem in problems)


@pytest.mark.parametrize("name", ["activity.csv", "activity.xlsx", "controles.json"])
def test_a_file_altered_beside_its_receipt_is_told(published: Path, ecluse: Ecluse, tmp_path: Path, name: str) -> None:
    copied = Path(shutil.copytree(published, tmp_path / "received"))
    with (copied / name).open("ab") as file:
        file.write(b" ")
    said = ecluse("verify", "--receipt", copied / "datapackage.json", "--json")
    assert (said.code, said.json["problems"]) == (1, [f"{name} n'est pas le fichier publié : il a été modifié"])


def test_an_altered_receipt_is_told(published: Path, ecluse: Ecluse, tmp_path: Path) -> None:
    text = (published / "datapackage.json").read_text().replace('"title"', '"titre"', 1)
    (tmp_path / "received.json").write_text(text)
    said = ecluse("verify", "--receipt", tmp_path / "received.json", "--json")
    assert said.code == 1
    assert "ce reçu n'est pas celui qui a été publié" in said.json["problems"][0]


@pytest.mark.parametrize("text", ["{", "[]", '{"ecluse": {}}'])
def test_what_is_no_receipt_is_wrong_usage(home: Path, ecluse: Ecluse, tmp_path: Path, text: str) -> None:
    (tmp_path / "received.json").write_text(text)
    said = ecluse("verify", "--receipt", tmp_path / "received.json")
    assert said.code == 2
    assert "n'est pas un reçu" in said.err


def test_the_links_between_two_receipts_check_without_the_hub(
    published: Path, hub: Hub, ecluse: Ecluse, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.csv"
    assert ecluse("verify", "--receipt", published / "datapackage.json", "--chain", chain).code == 0
    first, *links = csv.DictReader(chain.open())
    held = {int(first["position"]): first["hash"]}
    previous = first["hash"]
    for link in links:  # what a recipient does, with nothing of ours
        previous = hashlib.sha256(f"{previous}\n{link['content']}".encode()).hexdigest()
        assert previous == link["hash"]
        held[int(link["position"])] = previous
    for event in publications(hub):
        receipt = json.loads((folder_of(hub, event) / "datapackage.json").read_text())["ecluse"]["log"]
        assert held[receipt["position"]] == receipt["hash"]
    assert list(held) == list(range(min(held), hub.log.head()[0] + 1))


def test_an_answer_is_recorded_once_and_can_change(published: Path, hub: Hub, ecluse: Ecluse) -> None:
    asked = ("acknowledge", "ars-99/pmsi-activity", 1, "accepted", "--receipt", published / "datapackage.json", "--json")
    first, again = ecluse(*asked).json, ecluse(*asked).json
    assert (first["already"], again["already"], again["position"]) == (False, True, first["position"])
    refused = ecluse("acknowledge", "ars-99/pmsi-activity", 1, "refused", "--reason", "mois 2 absent", "--json").json
    assert (refused["already"], refused["answer"]) == (False, "refused")
    assert ecluse(*asked).json["already"] is False, "back to the first answer is an answer too"
    assert [event.data["answer"] for event in hub.log.read(types={"ProductAcknowledged"})] == [
        "accepted",
        "refused",
        "accepted",
    ]


def test_status_tells_what_recipients_answered(published: Path, ecluse: Ecluse) -> None:
    ecluse("acknowledge", "ars-99/pmsi-activity", 2, "refused", "--reason", "mois 2 absent")
    [made] = ecluse("status", "--json").json["publications"]
    assert (made["number"], made["answer"]) == (2, "refused")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ars-99/pmsi-activity", 3, "accepted"), "aucune publication n° 3"),
        (("ars-99/nothing", 1, "accepted"), "aucune publication"),
        (("ars-99/pmsi-activity", 1, "refused"), "un refus a besoin d'un motif"),
    ],
)
def test_an_answer_to_nothing_is_wrong_usage(published: Path, ecluse: Ecluse, arguments: tuple[object], told: str) -> None:
    said = ecluse("acknowledge", *arguments)
    assert said.code == 2
    assert told in said.err


def test_the_receipt_of_another_publication_is_no_answer(published: Path, ecluse: Ecluse) -> None:
    said = ecluse("acknowledge", "ars-99/pmsi-activity", 2, "accepted", "--receipt", published / "datapackage.json")
    assert said.code == 2
    assert "n'est pas le reçu de la publication n° 2" in said.err
