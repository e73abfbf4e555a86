"""The story of a caisse: bordereaux published, its workbook filled and sent back, new facts, published again.

What must hold after it: decisions stay, the past is made again to the byte, every cent is in one place in every file, and
nothing about a patient has left the restricted segments.
"""

import csv
import hashlib
import io
import json
import shutil
import sqlite3
import sys
import zipfile
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from answered import fill
from bordereaux import nir
from conftest import Program
from snp_facts import SPEC, day
from snp_files import CAISSE, CPAM, Post, copied, founded, header_cells, known, line_cells

from connectors.synthetic_bordereaux import Plan, rows_of, write_csv, write_xlsx
from contracts_schema.products import RECONCILIATION, products
from flows import cli, computed, lines, publication, reconciling
from flows.hub import TEST_CLOCK
from flows.line_decisions import Wanted
from flows.published import folder_of, publications
from warehouse.heads import FOLDED
from warehouse.log import canonical

MONEY = ["payable_firm_cents", "payable_reserved_cents", "rejected_cents", "pending_cents", "reduction_cents"]
KEY, COMMENT, NAME, NIR = "zzcle0001", "quirillezz absente", "Clothilde ZZYZX", nir()
FORMULA = '=HYPERLINK("http://x.example")'
SCENARIO = next(one for one in SPEC["scenarios"] if one["id"] == "S52")
ACT = {"protocol": "CYSTITE", "act": "INCLUSION", "day": "2024-04-02", "delegate": "PH1", "amount": "25.00"}
CHANGES: dict[str, dict[str, Any]] = {
    "sound": {"patient": KEY, "age": 33},
    "formula": {"protocol": None, "label": FORMULA, "day": "2024-04-03"},
    "unclear": {"protocol": None, "label": "Prot. gorge/cyst.", "day": "2024-04-04"},
    "stranger": {"delegate": "IDE9", "day": "2024-04-05"},
    "dear": {"unit": "30.00", "amount": "30.00", "day": "2024-04-08"},
    "rhino": {"protocol": "RHINO", "delegate": "IDE1"},
    "varicella": {"protocol": "VARICELLE", "delegate": "IDE1"},
    "negative": {"amount": "-25.00", "day": "2024-04-09"},
}
PLACE = {name: number for number, name in enumerate(CHANGES, 1)}
ANSWERS: dict[str, dict[str, Any]] = {
    "formula": {"Décision": "Payer", "Montant": "25,00", "Motif": "protocole confirmé par la structure"},
    "unclear": {"Décision": "Rejeter", "Motif": "aucun protocole ne correspond"},
    "sound": {"Décision": "Ajuster", "Motif": "un seul acte"},
    "rhino": {"Décision": "Payer", "Motif": "vu"},
    "negative": {"Décision": "Payer", "Montant": "vingt", "Motif": "vu"},
    "varicella": {"Décision": "Rejeter", "Motif": f"vu avec {NIR}"},
    "stranger": {"Décision": "Payer", "Montant": 25, "Motif": "vu", "Demandé": 9999},
    "dear": {"Décision": "Rejeter", "Motif": "trop cher"},
}


def rows(refs: str, changes: dict[str, dict[str, Any]], **header: Any) -> list[list[Any]]:
    """Rows of a bordereau of MSP_A, each line with a reference that begins so and a comment."""
    entries = [
        {**ACT, "line": f"B1/{number}", "ref": f"{refs}{number}", **change} for number, change in enumerate(changes.values(), 1)
    ]
    cells = [line_cells({k: v for k, v in entry.items() if v is not None}) | {"comment": COMMENT} for entry in entries]
    return rows_of(cells, header_cells(SCENARIO, SCENARIO["bordereaux"][0], cells) | header, total=True)


@dataclass
class Story:
    """The hub after all of it, what was said on the way, and what was seen at each publication."""

    made: Post
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    positions: list[int] = field(default_factory=list)
    seen: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    views: dict[str, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)

    def publish(self) -> list[str]:
        reports = publication.publish(self.made.hub)
        self.positions.append(self.made.hub.log.head()[0])
        self.seen.append(shown(self.made))
        return [f"{report.product} {report.status} {report.number}" for report in reports]

    def command(self, *arguments: object) -> tuple[int, str]:
        """Run the command line in this process, on the day of the hub's clock."""
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
            patch.setenv(TEST_CLOCK, f"{self.made.clock.on}T10:00")
            patch.setattr(sys, "argv", ["ecluse", "--home", str(self.made.hub.settings.home), *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                cli.main()
        self.said.append(out.getvalue())
        return int(end.value.code or 0), out.getvalue()


def shown(made: Post) -> dict[str, dict[str, Any]]:
    """Each live line of MSP_A as it stands, by name."""
    names = {number: name for name, number in PLACE.items()}
    found = reconciling.rows(made.hub, lines.LINES).filter(pl.col("live"), pl.col("structure_kind") == "MSP")
    return {names[row["line_number"]]: row for row in found.iter_rows(named=True)}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    told = Story(copied(founded(folder / "template"), folder / "hub"))
    made, decision = told.made, SCENARIO["decisions"][0]
    [(name, declared)] = known(SCENARIO, decision).items()
    made.receive("2024-07-02", name, declared)
    made.receive("2024-07-02", "B1.xlsx", write_xlsx([Plan(rows("+r", CHANGES))]), CAISSE)
    place = {"siret": "99900011000018", "structure_kind": "CDS", "structure_name": "Centre de santé Pasteur-Nord"}
    made.receive(
        "2024-07-02",
        "B2.csv",
        write_csv(rows("c", {"one": {"day": "2024-04-22"}, "two": {"day": "2024-04-23"}}, **place)),
        CAISSE,
    )
    person = rows("x", {"one": {}})
    person[-2][-1] = f"{NAME} {NIR}"
    made.receive("2024-07-02", "B9.csv", write_csv(person), CAISSE, accepted=False)
    told.again += told.publish()

    book = folder / "line.xlsx"
    shutil.copyfile(folder_of(made.hub, publications(made.hub, CPAM, "bordereaux")[-1]) / "line.xlsx", book)
    filled = book.with_suffix(".filled.xlsx")
    filled.write_bytes(fill(book, cells(book)))
    made.clock.on = day("2024-07-10")
    lines.decide_line(made.hub, told.seen[0]["dear"]["line_id"], Wanted("", "hold", "barème en cours de relecture"))
    code, out = told.command("decide", "--workbook", filled, "--role", "service des prestations", "--json")
    told.first = json.loads(out) | {"code": code}
    told.again += told.publish()
    told.again += [f"{report.product} {report.status} {report.number}" for report in publication.publish(made.hub)]
    told.command("decide", "--workbook", filled)
    told.second = json.loads(told.command("decide", "--workbook", filled, "--json")[1])

    made.receive("2024-07-20", "refus.csv", refused(declared))
    told.again += told.publish()
    for start in (told.seen[0]["formula"]["line_id"], "zz"):
        told.command("line", start)
    told.command("status")
    for position in told.positions:
        told.views |= hashes(made, position)
    return told


def cells(book: Path) -> dict[tuple[int, str], Any]:
    """What the agent writes, by row and heading of the workbook."""
    sheet = openpyxl.load_workbook(book)["Données"]
    heads = [cell.value for cell in sheet[1]]
    number, kind = heads.index("Rang dans le bordereau"), heads.index("Type de structure")
    found = {row[number].value: row[0].row for row in sheet.iter_rows(min_row=2) if row[kind].value == "MSP"}
    return {(found[PLACE[name]], head): value for name, told in ANSWERS.items() for head, value in told.items()}


def refused(export: bytes) -> bytes:
    """The export of the démarche in which the dossier was refused before the acts."""
    told = list(csv.DictReader(io.StringIO(export.decode()), delimiter=";"))
    event = dict.fromkeys(told[0], "") | {"Type de ligne": "évènement", "Démarche": "1", "Dossier": "202"}
    told.append(event | {"Évènement": "refus", "Évènement le": "2024-03-01T09:00+01:00"})
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(told[0]), delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(told)
    return out.getvalue().encode()


def hashes(made: Post, position: int) -> dict[str, str]:
    """The bytes of every table of the reconciliation as of a position."""
    at = computed.moment(made.hub, RECONCILIATION, position)
    assert at
    found = [path for table in computed.tables(made.hub, RECONCILIATION, at).values() for path in table.paths]
    return {str(path.relative_to(made.hub.views_folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# --- the workbook


def test_each_row_of_the_workbook_is_taken_or_told_why_and_nothing_is_lost(story: Story) -> None:
    assert story.first["counts"] == {"taken": 3, "already": 0, "changed": 1, "refused": 4}
    assert story.first["code"] == 1, "some rows decide nothing"
    told = {answer["where"]: (answer["status"], answer.get("rule")) for answer in story.first["answers"]}
    assert len(told) == len(ANSWERS), "one answer for each row that says something, by its cell"
    assert sorted(told.values(), key=str) == [
        ("changed", None), ("refused", "answer.amount"), ("refused", "answer.amount_missing"),
        ("refused", "answer.identity"), ("refused", None), ("taken", None), ("taken", None), ("taken", None),
    ]  # fmt: skip
    taken = [event for event in story.made.hub.log.read(types={"DecisionTaken"}) if event.data.get("workbook")]
    assert {event.data["cell"] for event in taken} == {where for where, (status, _) in told.items() if status == "taken"}
    with story.made.hub.blobs.open_raw(story.first["sha256"]) as kept:
        assert kept.read(2) == b"PK", "the workbook itself is kept"


def test_the_same_workbook_again_decides_nothing_more(story: Story) -> None:
    assert story.second["counts"] == {"taken": 0, "already": 3, "changed": 1, "refused": 4}
    assert len([event for event in story.made.hub.log.read(types={"DecisionTaken"}) if event.data["kind"] == "line"]) == 4


def test_decisions_hold_in_the_next_publication_beside_what_was_proposed(story: Story) -> None:
    first, second, _ = story.seen
    assert story.again == [
        "bordereaux published 1",
        "bordereaux published 2",
        "bordereaux unchanged 2",
        "bordereaux published 3",
    ]
    assert {name: row["outcome"] for name, row in first.items()} == {
        "sound": "PAY", "formula": "ASK", "unclear": "ASK", "stranger": "REJECT", "dear": "ADJUST", "rhino": "PAY",
        "varicella": "PAY", "negative": "ASK",
    }  # fmt: skip
    decided = {name: (row["decision_fr"], *payable(row)) for name, row in second.items() if row["decision_fr"]}
    assert decided == {
        "formula": ("Payer", 2500, 0), "unclear": ("Rejeter", 0, 0), "dear": ("Attendre", 0, 0), "rhino": ("Payer", 2500, 0),
    }, "a decision stands for the tariff that lacks: what it pays is firm"  # fmt: skip
    assert {row["decision_state"] for row in second.values()} == {"tient", None}
    untouched = set(first) - set(decided)
    assert [payable(second[name]) for name in untouched] == [payable(first[name]) for name in untouched]


def payable(row: dict[str, Any]) -> tuple[int, int]:
    """Firm and under reserve."""
    return row["payable_firm_cents"], row["payable_reserved_cents"]


def test_new_facts_never_override_a_person_and_say_that_they_contradict(story: Story) -> None:
    _, second, third = story.seen
    assert third["sound"]["outcome"] == "REJECT", "no one decided on it"
    assert (second["rhino"]["proposed_outcome"], third["rhino"]["proposed_outcome"]) == ("PAY", "REJECT")
    assert (third["rhino"]["decision_fr"], *payable(third["rhino"])) == ("Payer", 2500, 0)
    assert {name: row["decision_state"] for name, row in third.items() if row["decision_state"]} == {
        "rhino": "contredite par de nouveaux faits", "dear": "contredite par de nouveaux faits", "formula": "tient",
        "unclear": "tient",
    }  # fmt: skip


def test_what_new_facts_change_since_the_last_publication_is_told_line_by_line(story: Story) -> None:
    names = {number: name for name, number in PLACE.items()}
    found = reconciling.rows(story.made.hub, lines.FINDINGS, story.positions[-1]).filter(pl.col("rule") == "snp.R02")
    said = {names[number]: reason for number, reason in found.select("line_number", "reason").iter_rows()}
    assert set(said) == {"sound", "rhino", "varicella", "dear", "negative"}
    assert said["sound"] == "Le résultat passe de « À payer » (25,00 €) à « Rejeté » (0,00 €) : différence -25,00 €."


# --- the money


def test_every_cent_is_in_one_place_in_every_file_and_in_the_database(story: Story) -> None:
    hub = story.made.hub
    for event in publications(hub, CPAM, "bordereaux"):
        folder = folder_of(hub, event)
        for table in ("line", "bordereau", "structure"):
            parquet = pl.read_parquet(folder / f"{table}.parquet").select("claimed_cents", *MONEY).cast(pl.Int64)
            text = pl.read_csv(folder / f"{table}.csv", infer_schema=False).select("claimed_cents", *MONEY).cast(pl.Int64)
            assert parquet.equals(text)
            assert parquet.equals(from_workbook(folder / f"{table}.xlsx", table))
            assert parquet.select((pl.col("claimed_cents") == pl.sum_horizontal(MONEY)).all()).item()
            assert parquet["claimed_cents"].sum() == 7 * 2500 + 3000 - 2 * 2500 + 2 * 2500
    with sqlite3.connect(f"file:{hub.settings.warehouse_url}/cpam_311.sqlite?mode=ro", uri=True) as database:
        last = pl.read_database(f"select {', '.join(['claimed_cents', *MONEY])} from bordereaux__line", database)
    line = pl.read_parquet(folder_of(hub, publications(hub, CPAM, "bordereaux")[-1]) / "line.parquet")
    assert last.sum().row(0) == line.select("claimed_cents", *MONEY).sum().row(0)


def from_workbook(path: Path, table: str) -> pl.DataFrame:
    """The cents of a published workbook, by another library than the one that wrote it."""
    [contract] = [one for one in products()["cpam", "bordereaux"].tables if one.name == table]
    labels = {column.name: column.label_fr for column in contract.columns}
    sheet = list(openpyxl.load_workbook(path)["Données"].iter_rows(values_only=True))
    places = [sheet[0].index(labels[name]) for name in ("claimed_cents", *MONEY)]
    cells = [[round(Decimal(str(row[place])) * 100) for place in places] for row in sheet[1:]]
    return pl.DataFrame(cells, schema=["claimed_cents", *MONEY], orient="row").cast(pl.Int64)


# --- what must not leave


def test_no_text_of_a_structure_is_a_formula_in_a_published_workbook(story: Story) -> None:
    folder = folder_of(story.made.hub, publications(story.made.hub, CPAM, "bordereaux")[0])
    found = []
    for path in folder.glob("*.xlsx"):
        for sheet in openpyxl.load_workbook(path).worksheets:
            found += [(cell.data_type, cell.value) for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert [value for kind, value in found if kind == "f"] == []
    assert ("s", FORMULA) in found, "as it was written, and only text"


def test_nothing_about_a_patient_is_anywhere_but_in_the_restricted_segments_and_the_bytes_received(story: Story) -> None:
    hub = story.made.hub
    restricted, named = set(), {}
    for event in hub.log.read(types=FOLDED):
        named |= {hub.blobs.segment_path(sha): table for table, sha in event.data["tables"].items()}
    texts = {"said": "".join(story.said), "log": "".join(canonical(vars(event)) for event in hub.log.read())}
    for path in hub.settings.home.rglob("*"):
        if path.is_file() and path.suffix != ".zst" and "received" not in path.parts:
            place = named.get(path, str(path.relative_to(hub.settings.home)))
            texts[place] = texts.get(place, "") + readable(path)
    for planted in (KEY, "quirillezz", "Clothilde", NAME, NIR, f"{NIR[:13]}"):
        restricted |= {place for place, text in texts.items() if planted in text}
    assert restricted == {"restricted_snp_patient"}
    assert KEY in texts["restricted_snp_patient"]
    assert {Path(place).suffix for place in texts} >= {".db", ".csv", ".json", ".parquet", ".xlsx", ".html", ".sqlite"}


def readable(path: Path) -> str:
    """All that a file says, whatever its kind."""
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        text += pl.read_parquet(path).write_ndjson()
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            text += "".join(book.read(entry).decode() for entry in book.namelist())
    return text


# --- the past


def test_each_publication_is_made_again_to_the_byte_from_the_log(story: Story, tmp_path: Path) -> None:
    hub = story.made.hub
    for number in (1, 2):
        [made] = publication.recreate(hub, story.positions[number - 1], tmp_path / str(number), CPAM)
        assert (made.number, made.known_as) == (number, number)


def test_what_was_judged_then_is_judged_again_as_it_was(story: Story) -> None:
    names = {number: name for name, number in PLACE.items()}
    for position, seen in zip(story.positions, story.seen, strict=True):
        found = reconciling.rows(story.made.hub, lines.LINES, position).filter(pl.col("live"), structure_kind="MSP")
        assert {names[row["line_number"]]: row for row in found.iter_rows(named=True)} == seen


def test_every_table_deleted_and_computed_again_in_another_process_has_the_same_bytes(story: Story, program: Program) -> None:
    hub = story.made.hub
    shutil.rmtree(hub.views_folder)
    source = """
import sys
from pathlib import Path
from contracts_schema.products import RECONCILIATION
from flows import computed
from flows.hub import open_hub
hub = open_hub(Path(sys.argv[1]))
for position in sys.argv[2:]:
    for table in computed.tables(hub, RECONCILIATION, computed.moment(hub, RECONCILIATION, int(position))).values():
        assert table.built
"""
    there = {"PYTHONHASHSEED": "1", "TZ": "Pacific/Noumea", "POLARS_MAX_THREADS": "1", TEST_CLOCK: "2031-01-01T00:00"}
    process = program(source, str(hub.settings.home), *map(str, story.positions), **there)
    process.communicate(timeout=120)
    assert process.returncode == 0
    again = [hashes(story.made, position) for position in story.positions]
    assert {name: digest for one in again for name, digest in one.items()} == story.views
