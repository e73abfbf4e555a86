"""What others say of the demonstration's centres de santé, which comes after the first publication: seven small datasets.

Same files, same bytes, each time; nothing in them is real. One advance was paid, one list of patients is not what was
declared, one antenne claims with its main site, one code of e-CDS has its mapping at last: the caisse is published to again.
"""

from pathlib import Path
from typing import Any

from connectors.synthetic_ecds import YEAR, centres, finess
from flows import causes, deliveries, publication
from flows.demo_campaigns import CAISSE
from flows.hub import Hub

SHOWN = finess(6)
"""The centre to whom nothing happened, of this caisse."""
PRODUCT = f"{CAISSE}/centres-de-sante"


def write(folder: Path) -> list[Path]:
    """Write a file a dataset."""
    caisse, antenne = CAISSE.removeprefix("cpam-"), finess(9)
    known = {one["identification"][0]["finess_et"]: one for one in centres()}
    patients = int(known[SHOWN]["identification"][0]["patientele_mt"]) * 9 // 10
    hours = [(row["jour"], row["ouverture"], row["fermeture"]) for row in known[SHOWN]["horaires"]]
    tables = {
        "patientele": ["caisse;finess;annee_exercice;patientele_mt;file_active",
                       f"{caisse};{SHOWN};{YEAR};{patients};{patients}"],
        "avances": ["n° de paiement;caisse;finess;année;avance;payé le", f"A1;{caisse};{SHOWN};{YEAR};20000,00;30/06/{YEAR}"],
        "horaires": ["région;finess;jour;ouverture;fermeture",
                     *(f"99;{SHOWN};{day};{opens};{closes}" for day, opens, closes in hours if day != "SAM")],
        "antennes": ["région;antenne;site principal;début;fin exclue", f"99;{antenne};{SHOWN};{YEAR - 3}-01-01;"],
        "crises": ["ars_region;date_debut;date_fin;texte", f"99;{YEAR}-07-01;{YEAR}-07-15;Canicule fictive"],
        "codes": ["code_source;section;code_hub;date_debut;date_fin;source",
                  "X-INCONNU;rosp;AD-CHR-PIEDS;2015-01-01;;table fictive"],
        "logiciels": ["logiciel;première version", "Logiciel fictif;2015-01-01"],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return [folder / f"{name}.csv" for name in tables]


def deliver(hub: Hub, folder: Path) -> list[deliveries.Report]:
    """Deliver them, then publish to the caisse again; gives what became of each file."""
    found, _ = deliveries.find(write(folder))
    reports = [deliveries.ingest(hub, one) for one in found]
    publication.publish(hub, CAISSE)
    return reports


def why(hub: Hub) -> dict[str, Any]:
    """What changed of the centre shown between the first publication and the last, and why."""
    keys = {"finess": SHOWN, "year": str(YEAR), "scheme": "rfs"}
    return causes.causes(hub, PRODUCT, since=1, keys=keys, table="centre")
