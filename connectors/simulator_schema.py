"""What the simulated platform shows of itself: the objects of its own minimal schema, and its connections with their cursors.

Copies the real service where a client can be wrong: silent cap of pages, two orders, inclusive bounds, instants printed to the
second with the offset of Paris, champs that are not visible left out, infected files left out.
"""

import base64
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from connectors.simulator_graphql import GraphError
from connectors.simulator_platform import Answers, Deleted, Demarche, Dossier, Field, Piece, Platform, Revision

PARIS = ZoneInfo("Europe/Paris")
PAGE = 100
"""More is asked, no more is given, and nothing says so."""
Node = dict[str, Any]
Signed = Callable[[Piece], str]


def root(platform: Platform, signed: Signed) -> Node:
    """The root of queries; ``signed`` makes the address of a file, good for one hour."""

    def demarche(number: Any) -> Node:
        found = platform.demarches.get(int(number))
        if found is None:
            raise GraphError("Demarche not found", "not_found")
        return _demarche(platform, found, signed)

    def dossier(number: Any) -> Node:
        found = platform.dossiers.get(int(number))
        if found is None or not found.visible:
            raise GraphError("Dossier not found", "not_found")
        return _dossier(found, signed)

    return {"__typename": "Query", "demarche": demarche, "dossier": dossier}


def printed(at: datetime | None) -> str | None:
    """An instant as the service prints it."""
    return None if at is None else at.astimezone(PARIS).isoformat(timespec="seconds")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _demarche(platform: Platform, form: Demarche, signed: Signed) -> Node:
    return {
        "__typename": "Demarche",
        "id": encoded(f"Procedure-{form.number}"),
        "number": form.number,
        "title": form.title,
        "state": form.state,
        "declarative": form.declarative,
        "dateFermeture": None,
        "activeRevision": _revision(form.revisions[-1]),
        "revisions": [_revision(revision) for revision in form.revisions],
        "dossiers": lambda **told: _dossiers(platform, form, signed, **told),
        "pendingDeletedDossiers": lambda **told: _deletions(_pending(platform, form), **told),
        "deletedDossiers": lambda **told: _deletions(platform.deleted[form.number], **told),
    }


def _revision(revision: Revision) -> Node:
    return {
        "__typename": "Revision",
        "id": revision.id,
        "dateCreation": printed(revision.published),
        "datePublication": printed(revision.published),
        "champDescriptors": [_descriptor(one) for one in revision.fields],
    }


def _descriptor(one: Field) -> Node:
    return {
        "__typename": f"{one.type}Descriptor",
        "__is": ("ChampDescriptor",),
        "id": encoded(f"Champ-{one.stable}"),
        "label": one.label,
        "required": one.required,
        "options": list(one.options),
        "champDescriptors": [_descriptor(inner) for inner in one.champs],
    }


def _dossiers(platform: Platform, form: Demarche, signed: Signed, **told: Any) -> Node:
    visible = [one for one in platform.dossiers.values() if one.demarche is form and one.visible]
    since, order = told.get("updatedSince"), "updated"
    if since is None:
        since, order = told.get("createdSince"), "deposited"
    if since is not None:
        visible = [one for one in visible if getattr(one, order) >= datetime.fromisoformat(since)]
    if told.get("state") is not None:
        visible = [one for one in visible if one.state == told["state"]]
    keyed = [((getattr(one, order), one.number), one) for one in visible]
    nodes, more, end = _page(keyed, told)
    return _connection([_dossier(one, signed) for one in nodes], more, end)


def _pending(platform: Platform, form: Demarche) -> list[Deleted]:
    hidden = [one for one in platform.dossiers.values() if one.demarche is form and one.pending]
    return [
        Deleted(one.number, one.state, "user_request" if one.hidden_by_user else "manager_request", at)
        for one in hidden
        for at in [one.hidden_by_user or one.hidden_by_administration or one.updated]
    ]


def _deletions(listed: Iterable[Deleted], **told: Any) -> Node:
    since = told.get("deletedSince")
    kept = [one for one in listed if since is None or one.at >= datetime.fromisoformat(since)]
    nodes, more, end = _page([((one.at, one.number), one) for one in kept], told)
    shown = [
        {
            "__typename": "DeletedDossier",
            "id": encoded(f"DeletedDossier-{one.number}"),
            "number": one.number,
            "state": one.state,
            "reason": one.reason,
            "dateSupression": printed(one.at),
        }
        for one in nodes
    ]
    return _connection(shown, more, end)


def _page(keyed: list[tuple[tuple[datetime, int], Any]], told: dict[str, Any]) -> tuple[list[Any], bool, str | None]:
    """The page asked for, whether there is more, and its last cursor: null when the page is empty."""
    forward = told.get("first") is not None or told.get("after") is not None
    backward = told.get("last") is not None or told.get("before") is not None
    sizes = [size for size in (told.get("first"), told.get("last")) if size is not None]
    if (forward and backward) or any(size < 0 for size in sizes):
        raise GraphError("Invalid page", "bad_request")
    size = min([*sizes, PAGE])
    keyed.sort(key=lambda entry: entry[0])
    if told.get("after"):
        bound = _key(told["after"])
        keyed = [entry for entry in keyed if entry[0] > bound]
    if told.get("before"):
        bound = _key(told["before"])
        keyed = [entry for entry in keyed if entry[0] < bound]
    shown = keyed[-size:] if backward else keyed[:size]
    more = len(keyed) > len(shown) if forward or not told.get("before") else True
    end = _cursor(shown[-1][0]) if shown else None
    return [entry[1] for entry in shown], more, end


def _cursor(key: tuple[datetime, int]) -> str:
    return encoded(f"{key[0].isoformat(timespec='microseconds')};{key[1]}")


def _key(cursor: str) -> tuple[datetime, int]:
    try:
        at, _, number = base64.b64decode(cursor, validate=True).decode().partition(";")
        return datetime.fromisoformat(at), int(number)
    except ValueError:
        raise GraphError("Invalid cursor", "bad_request") from None


def _connection(nodes: list[Node], more: bool, end: str | None) -> Node:
    information = {"__typename": "PageInfo", "hasNextPage": more, "endCursor": end}
    return {"__typename": "Connection", "pageInfo": information, "nodes": nodes}


def _dossier(one: Dossier, signed: Signed) -> Node:
    waiting = [correction["at"] for correction in one.corrections if correction["resolved"] is None]
    return {
        "__typename": "Dossier",
        "__same": (one.number, one.stamp, one.broken),
        "id": encoded(f"Dossier-{one.number}"),
        "number": one.number,
        "state": one.state,
        "archived": False,
        "dateDepot": printed(one.deposited),
        "datePassageEnConstruction": printed(one.built),
        "datePassageEnInstruction": printed(one.instructed),
        "dateTraitement": printed(one.treated),
        "dateDerniereModification": printed(one.updated),
        "dateDerniereModificationChamps": printed(one.champs_updated),
        "dateDerniereCorrectionEnAttente": printed(max(waiting, default=None)),
        "dateExpiration": None,
        "dateSuppressionParUsager": printed(one.hidden_by_user),
        "dateSuppressionParAdministration": printed(one.hidden_by_administration),
        "groupeInstructeur": {"__typename": "GroupeInstructeur", "number": 1},
        "demandeur": one.applicant or {"__typename": "PersonnePhysique", "nom": "FICTIF", "prenom": "Camille"},
        "demarche": {"__typename": "DemarcheDescriptor", "number": one.demarche.number, "revision": _revision(one.revision)},
        "champs": lambda: _answers(one, signed),
        "traitements": [
            {"__typename": "Traitement", "event": event, "dateTraitement": printed(at), "motivation": None}
            for event, at in one.treatments
        ],
        "messages": lambda: _messages(one),
    }


def _answers(one: Dossier, signed: Signed) -> list[Node]:
    if one.broken:
        raise GraphError(one.broken.replace("_", " "), one.broken)
    return _champs(one, one.revision.fields, one.answers, None, signed)


def _messages(one: Dossier) -> list[Node]:
    asked = [
        {
            "__typename": "Message",
            "id": encoded(f"Message-{one.number}-{rank}"),
            "body": "Message fictif",
            "createdAt": printed(correction["at"]),
            "discardedAt": None,
            "correction": {
                "__typename": "Correction",
                "reason": correction["reason"],
                "dateResolution": printed(correction["resolved"]),
            },
        }
        for rank, correction in enumerate(one.corrections)
    ]
    plain = {"__typename": "Message", "body": "Message fictif", "discardedAt": None, "correction": None}
    others = range(one.messages)
    return asked + [
        plain | {"id": encoded(f"Message-{one.number}-m{rank}"), "createdAt": printed(one.updated)} for rank in others
    ]


def _champs(one: Dossier, fields: tuple[Field, ...], answers: Answers, row: str | None, signed: Signed) -> list[Node]:
    return [_champ(one, field, answers.get(field.stable), row, signed) for field in fields if field.stable not in one.invisible]


def _champ(one: Dossier, told: Field, value: Any, row: str | None, signed: Signed) -> Node:
    champ: Node = {
        "__typename": told.type,
        "__is": ("Champ",),
        "id": encoded(f"Champ-{told.stable}|{row}" if row else f"Champ-{told.stable}"),
        "champDescriptorId": encoded(f"Champ-{told.stable}"),
        "label": told.label,
        "stringValue": _text(value),
        "updatedAt": printed(one.champs_updated),
        "prefilled": False,
        "columns": [],
    }
    champ |= _values(one, told, value, signed)
    champ["__older"] = lambda name: champ | _older(name, champ, value)
    return champ


def _older(name: str, champ: Node, value: Any) -> Node:
    """The same champ as one of the type that stands for its own."""
    shown: Node = {"__typename": name}
    if name == "DateChamp":
        shown["date"] = (champ["datetime"] or "")[:10] or None
    elif name == "TextChamp":
        shown["value"] = _text(value) or None
    return shown


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(item for item in value if isinstance(item, str))
    return "" if value is None else str(value)


def _values(one: Dossier, told: Field, value: Any, signed: Signed) -> Node:
    if told.type == "RepetitionChamp":
        rows = value or []
        return {
            "rows": [
                {"__typename": "Row", "id": row, "champs": _champs(one, told.champs, answers, row, signed)}
                for row, answers in rows
            ]
        }
    if told.type == "PieceJustificativeChamp":
        return {"files": [_file(piece, signed) for piece in value or [] if piece.scan != "infected"]}
    if told.type == "SiretChamp":  # null while the business register is down
        known = value and not str(value).endswith("!")
        return {
            "stringValue": str(value or "").rstrip("!"),
            "etablissement": {"__typename": "PersonneMorale", "siret": value} if known else None,
        }
    if told.type == "DossierLinkChamp":
        return {"dossier": {"__typename": "Dossier", "number": int(value)} if value else None}
    if told.type == "TitreIdentiteChamp":
        return {"filled": bool(value)}
    if told.type in ("DateChamp", "DatetimeChamp"):
        return {"date" if told.type == "DateChamp" else "datetime": _text(value) or None}
    if told.type == "MultipleDropDownListChamp":
        return {"values": list(value or [])}
    if told.type == "LinkedDropDownListChamp":
        first, second = value or (None, None)
        return {"primaryValue": first, "secondaryValue": second}
    if told.type == "IntegerNumberChamp":  # too great for JSON's own numbers
        return {"value": None if value is None else str(value)}
    if told.type == "DepartementChamp":
        return {"departement": {"__typename": "Departement", "code": value} if value else None}
    return {"value": value}


def _file(piece: Piece, signed: Signed) -> Node:
    return {
        "__typename": "File",
        "filename": piece.name,
        "contentType": piece.type,
        "byteSizeBigInt": str(len(piece.content)),
        "checksum": piece.checksum,
        "createdAt": printed(piece.created),
        "virusScanResult": piece.scan,
        "url": signed(piece),
    }
