"""The demonstration's campaign: twelve fictional centres de santé, each with its own accident, and commitments of the FIR.

Same files, same bytes, each time; nothing in them is real, nor are the annexes that the fictional caisse attests.
"""

from datetime import date
from pathlib import Path

from connectors import synthetic_ecds
from contracts_schema import parameters
from contracts_schema.parameters import Attestation
from flows import law
from flows.hub import Hub

CAISSE = "cpam-311"
YEAR = synthetic_ecds.YEAR
STARTS, ENDS = date(YEAR, 1, 1), date(YEAR + 1, 1, 1)
ATTESTED = ("cds.rfs.", "cds.regime")
FIR = (
    "NOM_ARS|CODE_ARS|CAMPAGNE|ID_BENEFICIAIRE|RAISON_SOCIALE|SIRET|MESURE_NIV3|PAYEUR|NUM_ARRETE_DA|MONTANT_SAISI|MONTANT_NOTIFIE|CODE_PEP",
    "ARS fictive|99|2025|990000069|Centre de santé fictif 6|99900000600011|Coordination|CPAM 311|A-001|20000.00|20000.00|P1",
    "ARS fictive|99|2025|990000069|Centre de santé fictif 6|99900000600011|Coordination|CPAM 311|A-002|-500.00|-500.00|P1",
    "ARS fictive|99|2025|CPTSVALSABLIER01|CPTS du Val Sablier|99900001100018|Accès aux soins|CPAM 311|A-003|15000.00||P1",
    "ARS fictive|99|2025|CPTSVALSABLIER01|CPTS du Val Sablier|99900001100018|Accès aux soins|CPAM 311|A-004|9000.00|9000.00|P1",
)
CONTRACT = (
    "contrat_id;type_contrat;siret;population;palier;date_signature;region",
    "CPTS-1;ACI_CPTS;99900001100018;60000;2;2022-07-01;99",
    "ITAOS-1;ITAOS;99900001100018;;;2025-11-03;99",
)
MISSION = (
    "contrat_id;mission;date_demarrage;date_deploiement;taux_atteinte;premier_versement",
    "CPTS-1;ACCES;2022-09-01;2023-06-01;80;",
)
ENTRY = (
    "contrat_id;finess_ej;siret;mission;part;annee_contrat;indicateur_libelle;valeur_texte;valeur_num;unite;date_piece;horodatage_saisie",
    "CPTS-1;;99900001100018;ACCES;VARIABLE;3;Médecin traitant trouvé;;212;patients;2025-06-30;2025-07-08T10:00:00+02:00",
    "CPTS-1;;99900001100018;FONCTIONNEMENT;FIXE;3;Rapport d'activité;reçu;;;2025-09-12;2025-09-15T09:00:00+02:00",
)
REFUND = ("subvention_id;date_demande;montant_cents;canal", "FMIS-1;2025-11-12;5000000;PLATEFORME_CDC")
"""Of the subsidy that ``demo_cpom`` gives."""


def write(folder: Path) -> int:
    """Write the five sections, the commitments, the forms on a CPTS, a refund request; gives the number of files."""
    files = synthetic_ecds.demo() | {
        name: "\r\n".join([*lines, ""]).encode()
        for name, lines in (
            ("HAPI_ARS_99_2025.csv", FIR), ("cpts-contrats.csv", CONTRACT), ("cpts-missions.csv", MISSION),
            ("cpts-saisie.csv", ENTRY), ("fmis-demandes.csv", REFUND),
        )
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return len(files)


def attest(hub: Hub) -> None:
    """The fictional caisse attests annexes of the forfait that it would hold: its amounts become firm; once."""
    rows = []
    for name, one in parameters.parameters().items():
        if name.startswith(ATTESTED):
            for cell, entries in one.cells.items():
                found = next((entry for entry in entries if entry.valid_from <= STARTS), None)
                value = None if found is None else found.value
                if found and value is None and found.simulation:
                    value = found.simulation.value
                if value is not None:
                    rows.append(Attestation(name, cell, value, STARTS, ENDS, "annexes fictives de la démonstration"))
    law.attest(hub, rows, CAISSE, "service des centres de santé (fictif)", "démonstration")


def close(hub: Hub) -> None:
    """The state of the campaign at its deadlines, of which both have passed."""
    from flows import closings

    for year, deadline in closings.due(hub):
        closings.close(hub, year, deadline)
