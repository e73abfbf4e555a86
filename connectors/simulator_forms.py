"""Fictional forms of declarations for the simulator, and dossiers filed on them. Their champs and numbers are invented.

No real form was found in public: these have the shape that the texts describe, and the defects that real forms have (an RPPS as
free text, a champ renamed by a revision, a second form whose table differs).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from connectors.simulator_platform import Answers, Field, Piece, Platform

NATIONAL, DEROGATORY, DIRECT_ACCESS = 990001, 990002, 990003
PROTOCOLS = {
    "CYSTITE": "Pollakiurie et brûlures mictionnelles", "ODYNO": "Odynophagie",
    "RHINO": "Rhino-conjonctivite allergique saisonnière", "VARICELLE": "Éruption cutanée vésiculeuse",
    "CHEVILLE": "Torsion de cheville", "LOMBALGIE": "Lombalgie aiguë",
}  # fmt: skip
PROFESSIONS = {"IDE": "Infirmier", "PHARMACIEN": "Pharmacien", "MK": "Masseur-kinésithérapeute", "MEDECIN": "Médecin"}
KINDS = {"MSP": "Maison de santé pluriprofessionnelle", "CDS": "Centre de santé", "CPTS": "CPTS"}
ROLES = {"delegate": "Délégué", "delegating": "Délégant"}
FIRST_BOX = 203
"""On the derogatory form each protocol has a box of its own, from this one on."""
PIECES = (117, 118)
DOCUMENT = Piece("document-unique.pdf", b"%PDF-1.4\nDocument unique fictif\n%%EOF\n")


@dataclass(frozen=True)
class Member:
    """A professional of a team. ``pieces``: those that the form asks of each member, None for all of them."""

    rpps: str
    profession: str
    role: str = "delegate"
    pieces: tuple[Piece, ...] | None = None


@dataclass(frozen=True)
class Team:
    """What a structure declares."""

    siret: str
    name: str
    kind: str
    families: Sequence[str]
    members: Sequence[Member]
    finess: str | None = None
    document: tuple[Piece, ...] = (DOCUMENT,)
    earlier: int | None = None
    said: str | None = None
    """Free text, on the form that has it."""


def national(revision: int = 1) -> tuple[Field, ...]:
    """The national form; its second revision renames the RPPS and turns the profession from a text into a list."""
    professions = tuple(PROFESSIONS.values())
    profession = Field(114, "TextChamp", "Profession")
    rpps = Field(116, "TextChamp", "N° RPPS", required=True)
    if revision > 1:
        profession = Field(114, "DropDownListChamp", "Profession exercée", options=professions)
        rpps = Field(116, "TextChamp", "Identifiant national du professionnel", required=True)
    member = (
        Field(111, "CiviliteChamp", "Civilité"),
        Field(112, "TextChamp", "Nom"),
        Field(113, "TextChamp", "Prénom"),
        profession,
        Field(115, "DropDownListChamp", "Rôle dans le protocole", True, tuple(ROLES.values())),
        rpps,
        Field(117, "PieceJustificativeChamp", "Engagement signé", required=True),
        Field(118, "PieceJustificativeChamp", "Attestation de compétences", required=True),
    )
    return (
        Field(100, "HeaderSectionChamp", "La structure"),
        Field(101, "SiretChamp", "SIRET de la structure", required=True),
        Field(102, "TextChamp", "N° FINESS"),
        Field(103, "TextChamp", "Nom de la structure", required=True),
        Field(104, "DropDownListChamp", "Type de structure", True, tuple(KINDS.values())),
        Field(105, "DepartementChamp", "Département"),
        Field(106, "MultipleDropDownListChamp", "Protocoles mis en œuvre", True, tuple(PROTOCOLS.values())),
        Field(110, "RepetitionChamp", "Composition de l'équipe", required=True, champs=member),
        Field(120, "PieceJustificativeChamp", "Document unique", required=True),
        Field(121, "YesNoChamp", "La structure a-t-elle signé l'ACI ?"),
        Field(122, "DateChamp", "Date de signature de l'ACI"),
        Field(123, "CheckboxChamp", "Je certifie l'exactitude des informations", required=True),
        Field(124, "DossierLinkChamp", "Déclaration précédente"),
    )


def derogatory() -> tuple[Field, ...]:
    """The form of the temporary measure of 2022: a box for each protocol, two tables, the SIRET as a text."""
    boxes = tuple(Field(FIRST_BOX + rank, "CheckboxChamp", title) for rank, title in enumerate(PROTOCOLS.values()))
    delegates = (
        Field(211, "TextChamp", "Nom et prénom"),
        Field(212, "TextChamp", "Profession"),
        Field(213, "TextChamp", "RPPS"),
    )
    doctors = (Field(221, "TextChamp", "Nom et prénom"), Field(222, "TextChamp", "RPPS"))
    return (
        Field(201, "TextChamp", "Numéro SIRET de la CPTS", required=True),
        Field(202, "TextChamp", "Nom de la CPTS", required=True),
        *boxes,
        Field(210, "RepetitionChamp", "Professionnels délégués", champs=delegates),
        Field(220, "RepetitionChamp", "Médecins délégants", champs=doctors),
        Field(230, "PieceJustificativeChamp", "Document unique prérempli", required=True),
    )


def direct_access() -> tuple[Field, ...]:
    """A sibling form that is no SNP declaration: direct access to physiotherapists."""
    members = (
        Field(311, "TextChamp", "N° RPPS"),
        Field(312, "DropDownListChamp", "Profession", options=tuple(PROFESSIONS.values())),
        Field(313, "DropDownListChamp", "Rôle", options=tuple(ROLES.values())),
    )
    return (
        Field(301, "SiretChamp", "SIRET", required=True),
        Field(302, "TextChamp", "Nom de la structure"),
        Field(303, "DropDownListChamp", "Type de structure", options=tuple(KINDS.values())),
        Field(304, "TextChamp", "Objet de la déclaration"),
        Field(310, "RepetitionChamp", "Équipe", champs=members),
        Field(320, "PieceJustificativeChamp", "Pièce jointe"),
    )


def answers(form: int, team: Team) -> Answers:
    """What a team answers on one of the three forms."""
    if form == NATIONAL:
        return _national(team)
    return _derogatory(team) if form == DEROGATORY else _direct_access(team)


def _national(team: Team) -> Answers:
    return {
        101: team.siret,
        102: team.finess,
        103: team.name,
        104: KINDS[team.kind],
        105: "99",
        106: [PROTOCOLS[family] for family in team.families],
        110: [(f"row-{rank:02d}", _member(member, rank)) for rank, member in enumerate(team.members)],
        120: list(team.document),
        121: True,
        123: True,
        124: team.earlier,
    }


def _member(member: Member, rank: int) -> Answers:
    pieces = member.pieces
    if pieces is None:
        pieces = tuple(Piece(f"piece-{number}.pdf", f"%PDF-1.4\n{member.rpps}-{number}\n%%EOF\n".encode()) for number in PIECES)
    return {
        111: "Mme" if rank % 2 else "M.",
        112: f"NOMFICTIF{member.rpps[-3:]}",
        113: "Camille",
        114: PROFESSIONS[member.profession],
        115: ROLES[member.role],
        116: member.rpps,
        **{number: [piece] for number, piece in zip(PIECES, pieces, strict=False)},
    }


def _derogatory(team: Team) -> Answers:
    boxes: Mapping[int, bool] = {FIRST_BOX + rank: family in team.families for rank, family in enumerate(PROTOCOLS)}
    delegates = [one for one in team.members if one.role == "delegate"]
    doctors = [one for one in team.members if one.role == "delegating"]
    return {
        201: f"{team.siret[:3]} {team.siret[3:6]} {team.siret[6:9]} {team.siret[9:]}",
        202: team.name,
        **boxes,
        210: [
            (f"row-{rank:02d}", {211: "NOMFICTIF", 212: PROFESSIONS[one.profession], 213: one.rpps})
            for rank, one in enumerate(delegates)
        ],
        220: [(f"row-{rank:02d}", {221: "NOMFICTIF", 222: one.rpps}) for rank, one in enumerate(doctors)],
        230: list(team.document),
    }


def _direct_access(team: Team) -> Answers:
    rows = [
        (f"row-{rank:02d}", {311: one.rpps, 312: PROFESSIONS[one.profession], 313: ROLES[one.role]})
        for rank, one in enumerate(team.members)
    ]
    return {301: team.siret, 302: team.name, 303: KINDS[team.kind], 304: team.said, 310: rows, 320: list(team.document)}


def demonstration() -> Platform:
    """The platform of the demonstration: two forms, the teams whose bordereaux it shows, one refused, one withdrawn.

    The structures and professionals are those of ``connectors.synthetic_references``; dossiers 900001 and 900002 cover them.
    """
    world = Platform(datetime(2022, 7, 11, 8, tzinfo=UTC))
    world.publish(DEROGATORY, "Déclaration SNP dérogatoire, été 2022 (fictive)", derogatory())
    world.publish(NATIONAL, "Déclaration d'équipe, protocoles SNP (fictive)", national())
    pharmacist, other, nurse, physiotherapist, doctor = (
        Member("99900000011", "PHARMACIEN"),
        Member("99900000029", "PHARMACIEN"),
        Member("99900000045", "IDE"),
        Member("99900000078", "MK"),
        Member("99900000094", "MEDECIN", "delegating"),
    )
    cpts = Team("99900001100018", "CPTS du Val Sablier", "CPTS", tuple(PROTOCOLS), (other, nurse, doctor))
    msp = Team(
        "99900007800017",
        "MSP des Tilleuls",
        "MSP",
        ("CYSTITE", "ODYNO", "CHEVILLE"),
        (pharmacist, nurse, physiotherapist, doctor),
    )
    filed = (
        ("2022-07-20T09:00:00+02:00", 900002, DEROGATORY, cpts, "accepte"),
        ("2024-02-05T14:30:00+01:00", 900003, NATIONAL, replace(msp, siret="99900009400014", name="MSP Sainte-Aure"), "refuse"),
        ("2025-11-03T10:12:00+01:00", 900001, NATIONAL, msp, "accepte"),
        ("2026-02-10T11:00:00+01:00", 900004, NATIONAL, replace(cpts, siret="99900004500016", name="CPTS Rive Haute"), None),
    )
    for at, number, form, team, state in filed:
        world.now = datetime.fromisoformat(at)
        world.deposit(form, answers(form, team), number)
        if state:
            world.settle(number, state)
    world.publish(NATIONAL, "Déclaration d'équipe, protocoles SNP (fictive)", national(2))
    world.advance(86_400)
    world.hide(900004)
    return world
