"""What is kept of a dossier: one flat record, the same bytes for the same facts whatever the query or the type names were.

Must never keep a person's name or e-mail, a message, a file's name or address; a champ that nobody asked to keep is left out.
"""

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from connectors.demarches_client import instant
from contracts_schema.bordereau_profiles import normalised
from contracts_schema.demarches_mappings import protocol_titles

FORMAT = 1
Record = dict[str, Any]

PERSONAL = (
    "CiviliteChamp",
    "EmailChamp",
    "PhoneChamp",
    "IbanChamp",
    "TitreIdentiteChamp",
    "NumeroDn",
    "CnafChamp",
    "DgfipChamp",
)
"""Beginnings of the descriptors' types whose values are a person's: never kept unless a mapping names the champ."""
KNOWN = frozenset(
    f"{name}Champ"
    for name in (
        "Text", "DropDownList", "MultipleDropDownList", "LinkedDropDownList", "Checkbox", "YesNo", "Date", "Datetime",
        "IntegerNumber", "DecimalNumber", "Civilite", "Siret", "Address", "Commune", "Departement", "Region", "Pays", "Epci",
        "DossierLink", "Repetition", "PieceJustificative", "TitreIdentite", "HeaderSection", "Explication", "Carte", "Rna",
        "Rnf", "EngagementJuridique",
    )
)  # fmt: skip
"""Concrete types of champs that are understood; another is read by its text and flagged."""

STAMPS = {
    "dateDepot": "deposited_at", "datePassageEnConstruction": "built_at", "datePassageEnInstruction": "instructed_at",
    "dateTraitement": "treated_at", "dateDerniereModification": "modified_at",
    "dateDerniereModificationChamps": "champs_modified_at", "dateExpiration": "expires_at",
    "dateSuppressionParUsager": "hidden_by_user_at", "dateSuppressionParAdministration": "hidden_by_administration_at",
}  # fmt: skip


class Malformed(Exception):
    """An answer does not have the shape that its query asks for: nothing of it is kept."""


def canonical(value: Any) -> str:
    """JSON with one spelling per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def dossier(node: Mapping[str, Any], kept: Collection[str] | None, personal: Collection[str] = ()) -> Record:
    """The record of a dossier as the service tells it.

    Champs whose descriptor is in ``kept``; all but those in ``personal`` when it is None. Malformed.
    """
    try:
        stamps = {name: _stamp(node[told]) for told, name in STAMPS.items()}
        if not stamps["deposited_at"] or not stamps["modified_at"]:
            raise Malformed("dossier")
        return {
            "kind": "dossier",
            "number": number(node),
            "state": _text(node["state"]),
            "archived": node["archived"] is True,
            **stamps,
            "revision": _text(node["demarche"]["revision"]["id"]),
            "group": (node.get("groupeInstructeur") or {}).get("number"),
            "applicant_siret": (node.get("demandeur") or {}).get("siret"),
            "champs": _champs(node["champs"], kept, personal),
            "treatments": sorted(
                ({"at": _stamp(one["dateTraitement"]), "event": _text(one["event"])} for one in node["traitements"]),
                key=lambda one: instant(one["at"] or ""),  # of one second, in the order of the service
            ),
            "corrections": _corrections(node["messages"]),
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Malformed("dossier") from None


def number(node: Mapping[str, Any]) -> int:
    """The number of a dossier. Malformed."""
    found = node.get("number") if isinstance(node, Mapping) else None
    if not isinstance(found, int) or isinstance(found, bool) or found <= 0:
        raise Malformed("number")
    return found


def sight(node: Mapping[str, Any]) -> list[Any]:
    """The number of a dossier, and the instant of its last change. Malformed."""
    try:
        return [number(node), _stamp(_text(node["dateDerniereModification"]))]
    except (KeyError, ValueError):
        raise Malformed("sight") from None


def deletion(node: Mapping[str, Any]) -> Record:
    """A line of a list of deletions: number, state, reason, at. Malformed."""
    try:
        at = _stamp(node["dateSupression"])
        if not at:
            raise Malformed("deletion")
        return {"number": number(node), "state": _text(node["state"]), "reason": _text(node["reason"]), "at": at}
    except (KeyError, TypeError, ValueError):
        raise Malformed("deletion") from None


def form(node: Mapping[str, Any]) -> Record:
    """A démarche: number, title, state, active revision, and the descriptors of each revision. Malformed."""
    try:
        return {
            "number": number(node),
            "title": _text(node["title"]),
            "state": _text(node["state"]),
            "declarative": node.get("declarative"),
            "revision": _text(node["activeRevision"]["id"]),
            "revisions": [
                {
                    "id": _text(one["id"]),
                    "published_at": _stamp(one["datePublication"]),
                    "champs": [_descriptor(champ) for champ in one["champDescriptors"]],
                }
                for one in node["revisions"]
            ],
        }
    except (KeyError, TypeError, ValueError):
        raise Malformed("demarche") from None


def _descriptor(node: Mapping[str, Any]) -> Record:
    return {
        "id": _text(node["id"]),
        "type": _text(node["__typename"]).removesuffix("Descriptor"),
        "label": _text(node["label"]),
        "required": node["required"] is True,
        "options": [_text(one) for one in node.get("options") or []],
        "champs": [_descriptor(one) for one in node.get("champDescriptors") or []],
    }


def descriptors(told: Mapping[str, Any]) -> list[Record]:
    """Every descriptor of every revision of a ``form``, those of tables included, newest revision first."""
    found: list[Record] = []
    for revision in reversed(told["revisions"]):
        for one in revision["champs"]:
            found += [one, *one["champs"]]
    return found


def personal_champs(told: Mapping[str, Any]) -> frozenset[str]:
    """The champs whose type says that they hold a person's own data."""
    return frozenset(one["id"] for one in descriptors(told) if one["type"].startswith(PERSONAL))


def _stamp(text: Any) -> str | None:
    """An instant as printed by the source, whose offset is evidence."""
    if text is None:
        return None
    instant(_text(text))
    return _text(text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed("text")
    return value


def _corrections(messages: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Requests of correction: when, why, resolved when. The message that carries one is a person's words: not kept."""
    found = [
        {
            "id": _text(message["id"]),
            "asked_at": _stamp(_text(message["createdAt"])),
            "reason": _text(message["correction"]["reason"]),
            "resolved_at": _stamp(message["correction"]["dateResolution"]),
            "discarded": message["discardedAt"] is not None,
        }
        for message in messages
        if message["correction"]
    ]
    return sorted(found, key=lambda one: (instant(str(one["asked_at"])), str(one["id"])))


def _champs(nodes: Iterable[Mapping[str, Any]], kept: Collection[str] | None, personal: Collection[str]) -> list[Record]:
    found = []
    for node in nodes:
        name = _text(node["champDescriptorId"])
        rows = node.get("rows")
        if rows is not None:
            inner = [{"champs": _champs(row["champs"], kept, personal), "id": _text(row["id"])} for row in rows]
            if kept is None or name in kept or any(row["champs"] for row in inner):
                found.append({"id": name, "rows": inner})
        elif name in kept if kept is not None else name not in personal:
            found.append(_champ(name, node))
    return found


def _champ(name: str, node: Mapping[str, Any]) -> Record:
    """``text`` null when nothing was typed; ``list`` for several choices; ``files``; ``unknown``: a type never seen before."""
    champ: Record = {"id": name, "text": _value(node)}
    if "list" in node:
        champ["list"] = [_text(one) for one in node["list"] or []]
        champ["text"] = None
    if "files" in node:
        champ["files"] = [_file(one) for one in node["files"] or []]
        champ["text"] = None
    if node["__typename"] not in KNOWN:
        champ["unknown"] = _text(node["__typename"])
    return champ


def _value(node: Mapping[str, Any]) -> str | None:
    for name in ("bool", "filled"):
        if isinstance(node.get(name), bool):
            return "true" if node[name] else "false"
    for name in ("text", "datetime", "date", "integer", "decimal"):
        if node.get(name) not in (None, ""):
            return str(node[name])
    if node.get("first"):
        return " / ".join(_text(node[name]) for name in ("first", "second") if node.get(name))
    for group, name in (("etablissement", "siret"), ("dossier", "number"), ("departement", "code")):
        if isinstance(node.get(group), dict) and node[group].get(name):
            return str(node[group][name])
    return node.get("stringValue") or None


def _file(node: Mapping[str, Any]) -> Record:
    """An attached file: never its address, which is a secret good for an hour, nor its name, which may be a person's.

    Of the name only the protocols that it titles are kept.
    """
    size = int(_text(node["byteSizeBigInt"]))
    return {
        "at": _stamp(node["createdAt"]),
        "families": families_in(_text(node["filename"])),
        "md5": md5_hex(_text(node["checksum"])),
        "scan": _text(node["virusScanResult"]),
        "size": size,
        "type": _text(node["contentType"]),
    }


def families_in(text: str) -> list[str]:
    """The protocols whose title stands in a text."""
    said = f" {normalised(text)} "
    return sorted({family for title, family in protocol_titles().items() if f" {title} " in said})


def nameless(value: Any) -> Any:
    """A record, or a part of it, whose files have no name: as they were kept once, they had."""
    if isinstance(value, list):
        return [nameless(one) for one in value]
    if isinstance(value, dict):
        kept = {key: nameless(one) for key, one in value.items() if key != "name" or "md5" not in value}
        return kept | ({"families": families_in(value["name"])} if kept.keys() != value.keys() else {})
    return value


def md5_hex(checksum: str) -> str:
    """The service gives MD5 in base64; other spellings are kept as they are. 32 hexadecimal digits when it is one."""
    try:
        raw = base64.b64decode(checksum, validate=True)
    except ValueError:
        return checksum
    return raw.hex() if len(raw) == 16 else checksum


def has_pending_file(champs: Iterable[Record]) -> bool:
    """Whether some file still waits for the service's scanner."""
    return any(
        any(file["scan"] == "pending" for file in champ.get("files", ()))
        or any(has_pending_file(row["champs"]) for row in champ.get("rows", ()))
        for champ in champs
    )


def without_scan(champs: Any) -> Any:
    """The champs but for what the service's scanner says of their files: a scan is no change of the declaration."""
    if isinstance(champs, list):
        return [without_scan(one) for one in champs]
    if isinstance(champs, dict):
        return {name: without_scan(value) for name, value in champs.items() if name not in ("scan", "unknown")}
    return champs


def later(first: str, second: str) -> bool:
    """Whether the second instant is after the first."""
    return instant(second) > instant(first)


def day_of(at: datetime) -> str:
    """The Paris day of an instant, ISO."""
    from zoneinfo import ZoneInfo

    return at.astimezone(ZoneInfo("Europe/Paris")).date().isoformat()
