"""The scenarios of tests/spec as the files that a caisse receives, into a hub, each on its day: XLSX, ODS and CSV by turns.

Caisse C01 is 311 here and C02 is 751. A bordereau is a file of its name, so that a line is found again as ``B1/2``.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from snp_facts import PEOPLE, SPEC, Row, day, facts_of, siret_of, structures

from connectors import synthetic_references as synthetic
from connectors.synthetic_bordereaux import Plan, Value, rows_of, write_csv, write_ods, write_xlsx
from contracts_schema.parameters import snp
from flows import deliveries, law, law_table
from flows.deliveries import Report
from flows.hub import CONFIG, PARIS, Hub, init_hub, open_hub
from flows.reconciling import Moment

CAISSES = {"C01": "311", "C02": "751"}
CAISSE = "311"
CPAM = f"cpam-{CAISSE}"
BEGINNING = date(2020, 1, 6)
"""The day of the references and of the attestation: before any act."""
FIRST_TEMPLATE = date(2022, 7, 12)
FORMATS = ("xlsx", "ods", "csv")
FAMILIES = {
    "CYSTITE": "Cystite", "ODYNO": "Mal de gorge", "RHINO": "Rhino-conjonctivite", "VARICELLE": "Varicelle",
    "CHEVILLE": "Entorse de la cheville", "LOMBALGIE": "Lombalgie aiguë",
}  # fmt: skip
ACTS = {"INCLUSION": "Inclusion", "CONSULT_1": "Consultation 1", "CONSULT_2": "Consultation 2", "DELEGANT_REVISIT": "Revoyure"}
IBAN = {"same": "inchangé", "changed": "modifié", "missing": "absent"}


class DayClock:
    """Stands at ten in the morning of a day in Paris, which a test moves."""

    def __init__(self, on: date = BEGINNING) -> None:
        self.on = on

    def __call__(self) -> datetime:
        return datetime.combine(self.on, time(10), PARIS)


@dataclass(frozen=True)
class Post:
    """A hub, its clock, and a folder of what it receives."""

    hub: Hub
    clock: DayClock
    folder: Path

    def receive(self, on: Any, name: str, content: bytes, caisse: str | None = None, *, accepted: bool = True) -> Report:
        """Ingest a file on a day; it must be let in, or not."""
        self.clock.on = day(on)
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        path.write_bytes(content)
        [found], refused = deliveries.find([path], caisse, self.hub.settings)
        assert not refused
        report = deliveries.ingest(self.hub, found)
        assert (report.decision == "accepted") is accepted, report
        return report


def post(home: Path) -> Post:
    """The hub of a folder, with a clock of its own."""
    clock = DayClock()
    return Post(replace(open_hub(home, "agent"), clock=clock), clock, home / "received")


def founded(home: Path) -> Path:
    """A hub that knows the structures and professionals of the scenarios, and the law as its caisse attests it."""
    init_hub(home, test=True)
    with (home / CONFIG).open("a") as settings:
        settings.write(f'\n[recipients.{CPAM}]\nclearance = "individual"\n')
    made = post(home)
    for name, content in references({}).items():
        made.receive(BEGINNING, name, content)
    made.receive(BEGINNING, "professionnels.csv", professionals())
    values = law_table.as_published([snp.TARIFF, snp.WINDOW], "Convention fictive")
    law.attest(made.hub, values, CPAM, "service des prestations")
    return home


def sendable(scenario: Row) -> Row:
    """The scenario, its bordereaux received once a template stands: none is known of before 12 July 2022."""
    bordereaux = [entry | {"received": max(day(entry["received"]), FIRST_TEMPLATE)} for entry in scenario["bordereaux"]]
    decisions = [entry | {"decided": max(day(entry["decided"]), FIRST_TEMPLATE)} for entry in scenario["decisions"]]
    return scenario | {"bordereaux": bordereaux, "decisions": decisions}


def copied(template: Path, home: Path) -> Post:
    """A founded hub of one's own."""
    shutil.copytree(template, home, ignore=shutil.ignore_patterns("received"))
    return post(home)


def played(template: Path, home: Path, scenario: Row) -> tuple[Post, list[Moment]]:
    """A copy of a founded hub that received the files of a scenario; the moment of each of its decisions."""
    made = copied(template, home)
    made.clock.on = min(day(entry["received"]) for entry in scenario["bordereaux"])
    for name, value in scenario.get("policies", {}).items():
        law.decide_policy(made.hub, name, str(value), "choix du scénario", CAISSE)
    return made, [decided(made, scenario, decision) for decision in scenario["decisions"]]


def decided(made: Post, scenario: Row, decision: Row) -> Moment:
    """Receive what came up to a decision; its moment."""
    on = day(decision["decided"])
    turn = [entry["id"] for entry in SPEC["scenarios"]].index(scenario["id"])
    for number, header in enumerate(sorted(scenario["bordereaux"], key=lambda entry: entry["received"])):
        received = day(header["received"])
        if made.clock.on <= received <= on:
            form = FORMATS[(turn + number) % len(FORMATS)]
            content = written(scenario, header, form)
            made.receive(received, f"{header['bordereau']}.{form}", content, CAISSE)
    for name, content in {**references(scenario), **known(scenario, decision)}.items():
        made.receive(on, f"{on}.{name}", content)
    if "paid" in decision:
        made.receive(on, f"{on}.paiements.csv", payments(made, decision["paid"]))
    position = made.hub.log.head()[0]
    made.clock.on = date.fromordinal(on.toordinal() + 1)
    return Moment(position, on)


# --- references


def references(scenario: Row) -> dict[str, bytes]:
    """Structures, adhesions and attachments: of all places of the fixtures, as a scenario has them changed; by file name."""
    places = structures(scenario)
    rows = [(place["siret"], place) for place in places.values()]
    for header in scenario.get("bordereaux", []):
        place = places[header["structure"]]
        if "nic" in header:
            rows.append((siret_of(place, header), place))
    told = [(siret, siret[:9], place["name"], place["kind"], iso(place.get("closed"))) for siret, place in rows]
    adhesions = [(siret, "ACI", iso(place["aci"]), iso(place.get("aci_until"))) for siret, place in rows if "aci" in place]
    for siret, place in rows:
        if "project" in place:
            adhesions.append((siret, "projet validé", "" if place["project"] == "inconnue" else iso(place["project"]), ""))
    attached = [(siret, CAISSES[place["caisse"]]) for siret, place in rows]
    made = {
        "structures.csv": synthetic.table([("SIRET", "SIREN", "Nom", "Type", "Fermeture"), *told]),
        "adhesions.csv": synthetic.table([("SIRET", "Fondement", "Début", "Fin exclue"), *adhesions]),
        "rattachements.csv": synthetic.table([("SIRET", "Caisse"), *attached]),
    }
    return {name: content for name, content in made.items() if not scenario or content != _FIXTURES[name]}


def professionals() -> bytes:
    rows = [(person["rpps"], person["profession"], iso(person.get("active_to"))) for person in PEOPLE.values()]
    return synthetic.table([("RPPS", "Profession", "Inactif à partir du"), *rows])


def iso(value: Any) -> str:
    return "" if value is None else day(value).isoformat()


_FIXTURES = references({})


# --- bordereaux


def written(scenario: Row, header: Row, form: str) -> bytes:
    """The bytes of a bordereau of a scenario."""
    lines = [line_cells(entry) for entry in scenario["lines"] if entry["line"].split("/")[0] == header["bordereau"]]
    rows = rows_of(lines, header_cells(scenario, header, lines))
    if form == "csv":
        return write_csv(rows)
    return write_xlsx([Plan(rows)]) if form == "xlsx" else write_ods([Plan(rows)])


def header_cells(scenario: Row, header: Row, lines: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    place = structures(scenario)[header["structure"]]
    start, end = (f"{day(bound):%d/%m/%Y}" for bound in header["period"])
    told: dict[str, Value] = {
        "structure_name": place["name"],
        "siret": siret_of(place, header),
        "finess": header.get("finess"),
        "structure_kind": header.get("kind", place["kind"]),
        "caisse": f"CPAM {CAISSE}",
        "period": f"du {start} au {end}",
        "total": Decimal(header.get("total", sum(Decimal(str(line["amount"])) for line in lines))),
        "sender": f"professionnel {PEOPLE[header['sender']]['rpps']}" if "sender" in header else "la structure",
        "iban_state": IBAN[header.get("iban", "same")],
    }
    if "replaces" in header:
        told["replaces"] = "oui"  # a single bordereau stands for the period
    if header.get("certified", True):
        told["certification"] = f"le responsable, le {end}"
    return {name: value for name, value in told.items() if value is not None}


def line_cells(entry: Row) -> dict[str, Value]:
    """A line as a structure writes it."""
    rpps = entry.get("rpps") or (PEOPLE[entry["delegate"]]["rpps"] if "delegate" in entry else None)
    if entry.get("wrong_digit"):
        rpps = rpps[:-1] + str((int(rpps[-1]) + 1) % 10)
    if entry.get("repaired"):
        rpps = f"{rpps[:3]} {rpps[3:]}"
    return {
        "protocol": FAMILIES[entry["protocol"]] if "protocol" in entry else entry["label"],
        "act": ACTS[entry["act"]],
        "date": day(entry["day"]) if "day" in entry else None,
        "month": str(entry["month"]) if "month" in entry else None,
        "delegate": entry.get("delegate"),
        "rpps": rpps,
        "count": entry.get("count", 1),
        "unit": Decimal(entry["unit"]) if "unit" in entry else None,
        "amount": Decimal(entry["amount"]),
        "ref": entry.get("ref"),
        "patient_key": entry.get("patient"),
        "age": entry.get("age"),
    }


# --- what else is known on the day of a decision


def known(scenario: Row, decision: Row) -> dict[str, bytes]:
    """The export of the démarche as of the day of a decision, and ordinary acts when the scenario lists some."""
    facts = facts_of(scenario, decision)
    names = ("dossier", "dossier_protocol", "dossier_event", "member", "synchronisation")
    made = {"declarations.csv": exported({name: facts.frame(name) for name in names})}
    if "common_law" in scenario:
        acts = [
            (CAISSE, row["patient"], PEOPLE[row["rpps"]]["rpps"], iso(row["day"]), row["kind"])
            for row in scenario["common_law"]
        ]
        made["droit-commun.csv"] = synthetic.table([("Caisse", "Clé patient", "RPPS", "Jour", "Nature"), *acts])
    return made


def payments(made: Post, paid: Sequence[Row]) -> bytes:
    """What the caisse paid, by the identifier that the hub gives to each line."""
    ids = line_ids(made.hub)
    rows = [
        (f"P{number}", CAISSE, *ids[entry["line"]], entry["amount"].replace(".", ","), iso(entry["on"]))
        for number, entry in enumerate(paid, 1)
    ]
    return synthetic.table([("N° de paiement", "Caisse", "SIRET", "Ligne", "Montant payé", "Payé le"), *rows])


def line_ids(hub: Hub) -> dict[str, tuple[str, str]]:
    """SIRET and identifier of each line received, by its name in the scenario."""
    found: dict[str, tuple[str, str]] = {}
    for head in deliveries.all_heads(hub, under="bordereau/").values():
        header, lines = (pl.read_parquet(hub.blobs.segment_path(head.tables[name])) for name in ("snp_bordereau", "snp_line"))
        stem, siret = Path(header["file"][0]).stem, header["siret"][0]
        found |= {f"{stem}/{number}": (siret, one) for number, one in lines.select("line_number", "line_id").iter_rows()}
    return found


def exported(frames: Mapping[str, pl.DataFrame]) -> bytes:
    """The facts as the canonical export of their démarche."""

    def lines(kind: str, name: str, headings: Mapping[str, str]) -> Iterable[dict[str, str]]:
        for row in frames[name].iter_rows(named=True):
            yield {"Type de ligne": kind} | {heading: shown(row[column]) for column, heading in headings.items()}

    first: dict[str, Sequence[str]] = {}
    for number, family, on in frames["dossier_protocol"].select("number", "family", "effective_on").iter_rows():
        if on in frames["dossier"].filter(pl.col("number") == number)["deposited_on"]:
            first[number] = [*first.get(number, []), family]
    dossiers = [
        row | {"Protocoles déclarés": "|".join(first.get(row["Dossier"], []))} for row in lines("dossier", "dossier", DOSSIER)
    ]
    whole = [
        *dossiers,
        *lines(
            "protocole", "dossier_protocol", {"number": "Dossier", "family": "Protocole ajouté", "effective_on": "Effet le"}
        ),
        *lines("membre", "member", MEMBER),
        *lines("évènement", "dossier_event", EVENT),
        *lines("synchronisation", "synchronisation", {"completed_on": "Lue entière le"}),
    ]
    headings = dict.fromkeys([*synthetic.DECLARATION_HEADINGS, *(heading for row in whole for heading in row)])
    cells = [[(row | {"Démarche": "1"}).get(heading, "") for heading in headings] for row in whole]
    return synthetic.table([list(headings), *cells])


DOSSIER = {
    "number": "Dossier", "form": "Dispositif", "deposited_at": "Déposé le", "state": "État", "siret": "SIRET",
    "structure_name": "Nom de la structure", "structure_kind": "Type de structure", "document_unique": "Document unique",
    "named_families": "Protocoles nommés",
}  # fmt: skip
MEMBER = {
    "number": "Dossier", "rpps": "RPPS", "profession": "Profession", "role": "Rôle", "piece_missing": "Pièce manquante",
    "piece_pending": "Pièce en attente",
}  # fmt: skip
EVENT = {"number": "Dossier", "kind": "Évènement", "at": "Évènement le", "reason": "Motif", "subject": "Demande"}


def shown(value: object) -> str:
    """A value as an export writes it; instants with the offset of Paris or of UTC."""
    if isinstance(value, list):
        return "|".join(value)
    if isinstance(value, bool):
        return "oui" if value else "non"
    return "" if value is None else value.isoformat() if isinstance(value, date) else str(value)
