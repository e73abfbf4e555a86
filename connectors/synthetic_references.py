"""Writes synthetic references and declarations, in the layouts that datasets have. For tests, demo and bench.

Everything is fictional: FINESS of department 99 (2A99 and 2B99 in Corsica), SIREN, SIRET and RPPS of invented ranges that begin
with 999, names that nobody bears. The structures and professionals of the scenarios are those that their numbers name.
"""

import csv
import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from connectors.synthetic import fictional_finess
from contracts_schema.datasets import datasets

STRUCTURES: tuple[Mapping[str, str], ...] = tuple(
    dict(zip(("ref", "kind", "siret", "name", "aci", "aci_until", "project", "caisse"), row.split("|"), strict=True))
    for row in (
        "CPTS_A|CPTS|99900001100018|CPTS du Val Sablier|2021-06-01||2020-12-01|C01",
        "CPTS_B|CPTS|99900002900010|CPTS des Monts Clairs|||2022-08-15|C01",
        "CPTS_C|CPTS|99900003700013|CPTS de la Grande Lande||||C01",
        "CPTS_D|CPTS|99900004500016|CPTS Rive Haute|2023-02-01||2022-09-01|C01",
        "CPTS_E|CPTS|99900005200012|CPTS des Trois Ponts|||inconnue|C01",
        "CPTS_X|CPTS|99900006000015|CPTS Outre-Plaine|2021-06-01||2020-12-01|C02",
        "MSP_A|MSP|99900007800017|MSP des Tilleuls|2019-01-01|||C01",
        "MSP_B|MSP|99900008600010|MSP du Moulin Neuf||||C01",
        "MSP_C|MSP|99900009400014|MSP Sainte-Aure|2024-03-01|||C01",
        "MSP_D|MSP|99900010200015|MSP de Courbefosse|2019-01-01|2024-01-01||C01",
        "CDS_A|CDS|99900011000018|Centre de santé Pasteur-Nord|2018-05-01|||C01",
    )
)
"""Structures of the scenarios. ``project``: day of validation of the health project; ``inconnue``: validated, day unknown."""

PROFESSIONALS: tuple[tuple[str, str, str, str], ...] = (
    ("PH1", "PHARMACIEN", "99900000011", ""),
    ("PH2", "PHARMACIEN", "99900000029", ""),
    ("PH3", "PHARMACIEN", "99900000037", "2024-02-01"),
    ("IDE1", "IDE", "99900000045", ""),
    ("IDE2", "IDE", "99900000052", ""),
    ("IDE9", "IDE", "99900000060", ""),
    ("MK1", "MK", "99900000078", ""),
    ("MK2", "MK", "99900000086", ""),
    ("MED1", "MEDECIN", "99900000094", ""),
    ("MED2", "MEDECIN", "99900000102", ""),
)
"""Professionals of the scenarios: reference, profession, RPPS, first day of inactivity."""

FAMILIES = ("CYSTITE", "ODYNO", "RHINO", "VARICELLE", "CHEVILLE", "LOMBALGIE")
PERSON = ("ZZYZX", "Quirille", "12 rue des Inventés", "0199009999", "quirille.zzyzx@exemple.invalid")
"""Name, first name, address, telephone and mail planted in every line of a synthetic Annuaire: none may ever be stored."""

ANNUAIRE = (
    "Type d'identifiant PP", "Identifiant PP", "Identification nationale PP", "Code civilité d'exercice",
    "Libellé civilité d'exercice", "Code civilité", "Libellé civilité", "Nom d'exercice", "Prénom d'exercice",
    "Code profession", "Libellé profession", "Code catégorie professionnelle",
    "Libellé catégorie professionnelle", "Code type savoir-faire",
    "Libellé type savoir-faire", "Code savoir-faire", "Libellé savoir-faire", "Code mode exercice", "Libellé mode exercice",
    "Numéro SIRET site", "Numéro SIREN site", "Numéro FINESS site", "Numéro FINESS établissement juridique",
    "Identifiant technique de la structure", "Raison sociale site", "Enseigne commerciale site",
    "Complément destinataire (coord. structure)", "Complément point géographique (coord. structure)",
    "Numéro Voie (coord. structure)", "Indice répétition voie (coord. structure)", "Code type de voie (coord. structure)",
    "Libellé type de voie (coord. structure)", "Libellé Voie (coord. structure)", "Mention distribution (coord. structure)",
    "Bureau cedex (coord. structure)", "Code postal (coord. structure)", "Code commune (coord. structure)",
    "Libellé commune (coord. structure)", "Code pays (coord. structure)", "Libellé pays (coord. structure)",
    "Téléphone (coord. structure)", "Téléphone 2 (coord. structure)", "Télécopie (coord. structure)",
    "Adresse e-mail (coord. structure)", "Code Département (structure)", "Libellé Département (structure)",
    "Ancien identifiant de la structure", "Autorité d'enregistrement", "Code secteur d'activité", "Libellé secteur d'activité",
    "Code section tableau pharmaciens", "Libellé section tableau pharmaciens", "Code rôle", "Libellé rôle",
    "Code genre activité", "Libellé genre activité",
)  # fmt: skip
"""Headings of the 56 columns (recalled). The file of 2021 had 52: the last four came later."""


def with_key(digits: str) -> str:
    """The digits (A and B count as 1 and 2) followed by their Luhn key."""
    numbers = [int(letter) for letter in reversed(digits.replace("A", "1").replace("B", "2"))]
    total = sum(number if place % 2 else sum(divmod(2 * number, 10)) for place, number in enumerate(numbers))
    return digits + str(-total % 10)


def siret(number: int) -> str:
    """An invented SIRET: a SIREN of the range 999 with its key, establishment 1."""
    return with_key(with_key(f"999{number:05d}") + "0001")


def rpps(number: int) -> str:
    """An invented RPPS: 999, the number, the key."""
    return with_key(f"999{number:07d}")


def table(rows: Iterable[Sequence[str]], encoding: str = "utf-8") -> bytes:
    """Rows as CSV with semicolons, quoted where needed."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode(encoding)


def structures() -> bytes:
    """The structures of the scenarios."""
    rows = [(place["siret"], place["siret"][:9], "", place["name"], place["kind"], "", "") for place in STRUCTURES]
    return table([("SIRET", "SIREN", "FINESS", "Nom", "Type", "Ouverture", "Fermeture"), *rows])


def adhesions() -> bytes:
    """Their adhesions to an ACI and their projects validated."""
    rows = [(place["siret"], "ACI", place["aci"], place["aci_until"]) for place in STRUCTURES if place["aci"]]
    for place in STRUCTURES:
        if place["project"]:
            since = "" if place["project"] == "inconnue" else place["project"]
            rows.append((place["siret"], "projet validé", since, ""))
    return table([("SIRET", "Fondement", "Début", "Fin exclue"), *rows])


def attachments() -> bytes:
    """Their caisses."""
    rows = [(place["siret"], place["caisse"], "", "") for place in STRUCTURES]
    return table([("SIRET", "Caisse", "Début", "Fin exclue"), *rows])


def professionals(more: int = 0) -> Iterator[bytes]:
    """The professionals of the scenarios, then invented ones, with their days of activity."""
    yield table([("RPPS", "Profession", "Actif depuis", "Inactif à partir du")])
    yield table((number, profession, "", until) for _, profession, number, until in PROFESSIONALS)
    names = ("IDE", "PHARMACIEN", "MK", "MEDECIN")
    for start in range(0, more, 50_000):
        numbers = range(start + 1000, min(start + 50_000, more) + 1000)
        yield "".join(f"{rpps(number)};{names[number % 4]};2015-01-01;\r\n" for number in numbers).encode()


def annuaire(people: int, columns: int = 56, seed: int = 1) -> Iterator[bytes]:
    """A PS_LibreAcces file of that many lines, each with a name, an address, a telephone and a mail that no one may keep."""
    headings = ANNUAIRE[:columns]
    yield ("|".join(headings) + "|\n").encode()
    name, first_name, address, telephone, mail = PERSON
    planted = {
        "Nom d'exercice": name, "Prénom d'exercice": first_name, "Libellé Voie (coord. structure)": address,
        "Téléphone (coord. structure)": telephone, "Adresse e-mail (coord. structure)": mail,
        "Raison sociale site": 'CABINET "LES INVENTÉS"', "Type d'identifiant PP": "8",
    }  # fmt: skip
    jobs = ("Infirmier", "Pharmacien", "Masseur-Kinésithérapeute", "Médecin")
    chance = random.Random(seed)  # noqa: S311
    whole = "|".join("{" + str(place) + "}" for place in range(len(headings))) + "|\n"
    places = [headings.index(text) for text in ("Identifiant PP", "Identification nationale PP", "Libellé profession")]
    mode, site, finess_at = (headings.index(f) for f in ("Libellé mode exercice", "Numéro SIRET site", "Numéro FINESS site"))
    for start in range(0, people, 20_000):
        lines = []
        for number in range(start, min(start + 20_000, people)):
            cells = [planted.get(text, "") for text in headings]
            person = rpps(number + 1000)
            for place, text in zip(places, (person, f"8{person}", jobs[number % 4]), strict=True):
                cells[place] = text
            cells[mode] = chance.choice(("Libéral", "Salarié"))
            cells[site] = siret(number % 90_000)
            cells[finess_at] = fictional_finess("99", number % 90_000)
            lines.append(whole.format(*cells))
        yield "".join(lines).encode()


def finess_et(establishments: int, on: date, *, geolocated: bool = False, seed: int = 1) -> Iterator[bytes]:
    """An open stock of establishments as published: no header, doubled quotes, Latin-1; with coordinates or without."""
    contract = datasets()["finess_et"]
    names = contract.layout("etalab-cs1100507" if geolocated else "etalab-cs1100502").fields
    yield f"finess;etalab;{'94' if geolocated else '93'};{on.isoformat()}\r\n".encode("latin-1")
    chance = random.Random(seed)  # noqa: S311
    categories = (("124", "Centre de santé"), ("603", "Maison de santé"), ("604", "C.P.T.S."), ("620", "Pharmacie d'officine"))
    for start in range(0, establishments, 10_000):
        rows = []
        for number in range(start, min(start + 10_000, establishments)):
            code, label = categories[number % 4]
            cells = dict.fromkeys(names, "")
            cells |= {
                "structureet": "structureet",
                "nofinesset": fictional_finess("2A99" if number < 20 else "99", number),
                "nofinessej": fictional_finess("99", 500_000 + number // 3),
                "rs": f"MAISON INVENTÉE {number}" if number % 7 else f'LA "BELLE" ÉTOILE ; {number}',
                "commune": "001",
                "departement": "99",
                "libdepartement": "DÉPARTEMENT INVENTÉ",
                "categetab": code,
                "libcategetab": label,
                "siret": siret(number % 90_000),
                "dateouv": (date(1990, 1, 1) + timedelta(days=chance.randrange(12_000))).isoformat(),
                "datemaj": on.isoformat(),
            }
            rows.append(tuple(cells.values()))
        yield table(rows, "latin-1")
    if geolocated:
        coordinates = (
            ("geolocalisation", fictional_finess("99", n), "1.0", "2.0", "1,IGN,x", on.isoformat())
            for n in range(establishments)
        )
        yield table(coordinates, "latin-1")


def finess_ej(entities: int, on: date) -> bytes:
    """An open stock of legal entities as published."""
    names = datasets()["finess_ej"].layout("etalab-cs1100501").fields
    rows = []
    for number in range(entities):
        cells = dict.fromkeys(names, "") | {
            "structureej": "structureej",
            "nofiness": fictional_finess("99", 500_000 + number),
            "rs": f"GESTIONNAIRE INVENTÉ {number}",
            "statutjuridique": "60",
            "siren": siret(number % 90_000)[:9],
            "datecrea": "2001-02-03",
        }
        rows.append(tuple(cells.values()))
    return f"finess;etalab;91;{on.isoformat()}\r\n".encode("latin-1") + table(rows, "latin-1")


DECLARATION_HEADINGS = (
    "Type de ligne", "Démarche", "Dossier", "Dispositif", "Déposé le", "État", "SIRET", "FINESS", "Nom de la structure",
    "Type de structure", "Protocoles déclarés", "Document unique", "Protocole ajouté", "Effet le", "RPPS", "Profession", "Rôle",
    "Pièce manquante", "Évènement", "Évènement le", "Motif", "Demande", "Lue entière le",
)  # fmt: skip


def declarations(rows: Iterable[Mapping[str, str]], demarche: str = "1", synchronised: date | None = None) -> bytes:
    """A canonical export of a démarche from rows that give the columns (by heading) that they know."""
    told = [dict(row) | {"Démarche": demarche} for row in rows]
    if synchronised:
        told.append({"Type de ligne": "synchronisation", "Démarche": demarche, "Lue entière le": synchronised.isoformat()})
    return table([DECLARATION_HEADINGS, *([row.get(name, "") for name in DECLARATION_HEADINGS] for row in told)])


def dossier(
    number: str, deposited_at: str, siret: str, members: Sequence[str], protocols: Sequence[str] = FAMILIES
) -> list[dict[str, str]]:
    """The rows of one dossier: itself, then its team by the references of ``PROFESSIONALS`` (doctors delegate)."""
    place = next((place for place in STRUCTURES if place["siret"] == siret), {"name": "", "kind": ""})
    people = {ref: (profession, number) for ref, profession, number, _ in PROFESSIONALS}
    rows = [
        {
            "Type de ligne": "dossier",
            "Dossier": number,
            "Dispositif": "SNP",
            "Déposé le": deposited_at,
            "État": "accepté",
            "SIRET": siret,
            "Nom de la structure": place["name"],
            "Type de structure": place["kind"],
            "Protocoles déclarés": ", ".join(protocols),
            "Document unique": "oui",
        }
    ]
    for ref in members:
        profession, person = people[ref]
        role = "délégant" if profession == "MEDECIN" else "délégué"
        told = {"RPPS": person, "Profession": profession, "Rôle": role, "Pièce manquante": "non"}
        rows.append({"Type de ligne": "membre", "Dossier": number} | told)
    return rows
