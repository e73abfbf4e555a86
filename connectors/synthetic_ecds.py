"""Writes synthetic e-CDS extractions: five sections of one campaign, each centre with the defect that one plans for it.

Everything is fictional: centres of department 99, invented RPPS, no patient. For tests, demo and bench; the same seed always
gives the same bytes. Codes are those of this project.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

from contracts_schema import ecds

YEAR = 2025
EXTRACTED = date(2026, 3, 2)
FORFAIT = ("CDS15-A1-HOR", "CDS15-A1-CRISE", "CDS15-A2-COORD", "CDS15-A3-SI", "CDS15-A2-PROTO", "CDS15-A2-CONC")
OPTIONAL = ("CDS15-A1-DIV", "CDS15-A1-SEC", "CDS15-A1-SP", "CDS15-A1-USAG", "CDS15-A2-FORM")
ROSP = ("AD-CHR-PIEDS", "AD-CHR-RCV", "AD-PREV-TABAC", "AD-PREV-ALCOOL", "EN-PREV-IMC", "EN-PREV-SENSO1", "EN-PREV-SENSO2")
STAFF = {
    "polyvalent": ("medecin_generaliste", "infirmier", "chirurgien_dentiste", "sage_femme", "medecin_specialiste", "autre"),
    "medical": ("medecin_generaliste", "medecin_specialiste"),
    "dentaire": ("chirurgien_dentiste",),
    "infirmier": ("infirmier", "infirmier_ipa"),
}
Row = dict[str, str]
Centre = dict[str, list[Row]]
"""The rows of one centre by section, by heading of the contract."""


def keyed(digits: str) -> str:
    """The digits with the Luhn key that makes them right."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return digits + str(-(sum(doubled) + sum(map(int, digits[-2::-2]))) % 10)


def finess(number: int) -> str:
    """A FINESS of department 99 with a right key."""
    return keyed(f"99{number:06d}")


def rpps(number: int) -> str:
    return keyed(f"999{number:07d}")


def centre(number: int, draw: random.Random, staff: int = 8, year: int = YEAR) -> Centre:
    """A centre without defect: four prerequisites answered in January, every entry typed once or twice, in time."""
    kind = ("polyvalent", "polyvalent", "medical", "dentaire", "infirmier")[number % 5]
    siren = keyed(f"99{number:06d}")
    key = {"finess_et": finess(number), "annee_exercice": str(year)}
    patients = draw.randrange(800, 9000)
    identity = key | {
        "finess_ej": finess(800_000 + number // 4),
        "raison_sociale": f"Centre de santé fictif {number}",
        "type_centre": kind,
        "gestionnaire_siren": siren,
        "siret": keyed(siren + "0001"),
        "categorie_finess": "124",
        "date_ouverture": "2016-04-01",
        "date_fermeture": "",
        "date_conventionnement": "2017-01-01",
        "ars_region": "99",
        "cpam_code": f"{311 + number % 3}",
        "patientele_mt": str(patients),
        "file_active": str(patients + draw.randrange(500)),
        "taux_precarite": f"0.{draw.randrange(500, 4000):04d}",
        "compte_region": "99",
        "agrement_ars": "OUI",
        "date_agrement": "2017-01-01",
    }
    return {
        "identification": [identity],
        "professionnels": _people(key, number, kind, draw, staff, year),
        "horaires": _hours(key),
        "rfs": _forfait(key, draw, staff, year),
        "rosp": _rosp(key, draw, year),
    }


def _people(key: Row, number: int, kind: str, draw: random.Random, staff: int, year: int) -> list[Row]:
    first = STAFF[kind]
    people = [
        key
        | {
            "rpps": rpps(number * 200 + place),
            "profession": first[place % len(first)],
            "statut": "salarie",
            "etp": f"{draw.choice((20, 50, 80, 100)) / 100:.2f}",
            "date_debut": f"{year - draw.randrange(1, 6)}-09-01",
            "date_fin": "",
            "ipa": "NON",
            "coordinateur": "OUI" if place == 0 else "NON",
        }
        for place in range(max(1, staff - 1))
    ]
    office = {"rpps": "", "profession": "administratif", "coordinateur": "NON", "etp": "1.00"}
    return [*people, people[0] | office] if staff > 1 else people


def _hours(key: Row) -> list[Row]:
    days = [("LUN", "08:00", "20:00"), ("MAR", "08:00", "20:00"), ("MER", "08:00", "12:30"), ("MER", "13:30", "20:00")]
    days += [("JEU", "08:00", "20:00"), ("VEN", "08:00", "20:00"), ("SAM", "08:00", "12:00")]
    return [key | {"jour": day, "ouverture": opens, "fermeture": closes, "conges_semaines": "2"} for day, opens, closes in days]


def instant(draw: random.Random, year: int, first: int = 0, days: int = 24) -> str:
    """An entry instant of the campaign of a year: ``first`` days from its opening, with the offset of Paris in winter."""
    start = datetime(year + 1, 1, 5, 8) + timedelta(days=first)  # noqa: DTZ001
    told = start + timedelta(minutes=draw.randrange(days * 24 * 60 - 600))
    return f"{told.isoformat()}+01:00"


EMPTY = dict.fromkeys((column.heading for column in ecds.sections()["rfs"].columns), "")


def _forfait(key: Row, draw: random.Random, staff: int, year: int) -> list[Row]:
    rows = []
    values = {"CDS15-A2-COORD": "17.5", "CDS15-A2-PROTO": "4", "CDS15-A2-CONC": "8", "CDS15-A2-FORM": "2", "CDS15-A1-SP": "1"}
    for code in (*FORFAIT, *draw.sample(OPTIONAL, 2)):
        row = EMPTY | key | {"code_indicateur": code, "reponse": "OUI", "valeur_num": values.get(code, "")}
        row["horodatage_saisie"] = instant(draw, year)
        if code in ("CDS15-A1-CRISE", "CDS15-A2-PROTO"):
            row["date_piece"] = f"{year}-06-15"
        if code == "CDS15-A1-CRISE":
            row["actions_crise"] = "NON"
        if code == "CDS15-A3-SI":
            row |= {"date_acquisition_logiciel": "2018-05-14", "date_contrat_maintenance": "2025-01-01"}
            row |= {"logiciel_nom": "Logiciel fictif", "nb_professionnels_si": str(max(1, staff - 1))}
        rows.append(row)
    hesitated = rows[0] | {"reponse": "VIDE", "horodatage_saisie": f"{year + 1}-01-05T07:30:00+01:00"}
    return [hesitated, *rows]


def _rosp(key: Row, draw: random.Random, year: int) -> list[Row]:
    rows = []
    for code in ROSP:
        below = draw.randrange(20, 200)
        told = {"numerateur": str(draw.randrange(below // 2, below)), "denominateur": str(below)}
        rows.append(key | {"code_indicateur": code} | told | {"horodatage_saisie": instant(draw, year)})
    return rows


def _answer(code: str, **cells: str) -> Callable[[Centre], None]:
    def spoil(found: Centre) -> None:
        for row in found["rfs"]:
            if row["code_indicateur"] == code:
                row.update(cells)

    return spoil


def _identity(**cells: str) -> Callable[[Centre], None]:
    return lambda found: found["identification"][0].update(cells)


def _overtyped(found: Centre) -> None:
    found["rosp"].append(
        found["rosp"][0]
        | {"numerateur": "0", "horodatage_saisie": f"{int(found['rosp'][0]['annee_exercice']) + 1}-02-10T09:00:00+01:00"}
    )


def _unmapped(found: Centre) -> None:
    found["rosp"].append(found["rosp"][0] | {"code_indicateur": "X-INCONNU"})


DEFECTS: Mapping[str, Callable[[Centre], None]] = {
    "none": lambda found: None,
    "prerequisite_no": _answer("CDS15-A2-COORD", reponse="NON"),
    "prerequisite_empty": _answer("CDS15-A1-HOR", reponse="VIDE"),
    "forfait_late": _answer("CDS15-A3-SI", horodatage_saisie="2026-02-28T00:00:00+01:00"),
    "rosp_overtyped": _overtyped,
    "maintenance_date": _answer("CDS15-A3-SI", date_acquisition_logiciel="2025-01-01"),
    "acquired_after_year": _answer(
        "CDS15-A3-SI", date_acquisition_logiciel="2026-01-10", date_contrat_maintenance="2026-02-01"
    ),
    "no_acquisition_date": _answer("CDS15-A3-SI", date_acquisition_logiciel=""),
    "closed": _identity(date_fermeture="2025-10-31"),
    "no_agreement": _identity(date_conventionnement=""),
    "precarity_percent": _identity(taux_precarite="52"),
    "unmapped_code": _unmapped,
}
"""Planned defects of a centre, by name: twelve, one for each centre of the demo."""


def centres(number: int = 12, seed: int = 1, staff: int = 8, year: int = YEAR, defects: Sequence[str] = ()) -> list[Centre]:
    """Centres one after another, each with the defect of its place in ``defects`` (none beyond)."""
    draw = random.Random(seed)  # noqa: S311
    found = []
    for place in range(number):
        one = centre(place + 1, draw, staff, year)
        DEFECTS[defects[place] if place < len(defects) else "none"](one)
        found.append(one)
    return found


def files(found: Sequence[Centre], extracted_on: date = EXTRACTED, year: int = YEAR, separator: str = ";") -> dict[str, bytes]:
    """The five files of an extraction by name: UTF-8, « ; », CRLF."""
    return {
        f"ECDS_{name}_{year}_{extracted_on:%Y_%m_%d}.csv": section_bytes(
            name, [row for one in found for row in one[name]], separator
        )
        for name in ecds.SECTIONS
    }


def section_bytes(name: str, rows: Sequence[Row], separator: str = ";") -> bytes:
    """The file of a section."""
    headings = [column.heading for column in ecds.sections()[name].columns]
    lines = [separator.join(headings)]
    lines += [separator.join([row.get(heading, "") for heading in headings]) for row in rows]
    return ("\r\n".join(lines) + "\r\n").encode()


def demo() -> dict[str, bytes]:
    """Twelve centres, each with its own defect, extracted after the close of the campaign."""
    return files(centres(12, defects=tuple(DEFECTS)))
