"""The hub itself on the terminal, in French: what was prepared, what is not safe."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from flows.display import console, plain


def provisioned(answer: Mapping[str, Any]) -> None:
    """What ``flows.provision`` did to the rights: added, removed, left."""
    out = console()
    for sign, colour, rights in (("+", "green", answer["added"]), ("−", "yellow", answer["removed"])):
        for right in rights:
            told = f" {plain(right['role'])} : {plain(right['what'])} sur {plain(right['on'])}"
            out.print(Text.assemble((sign, colour), told), soft_wrap=True)
    if not answer["added"] and not answer["removed"]:
        out.print("Rien à changer.")
    for name in answer["left"]:
        out.print(f"{plain(name)} n'est plus à un destinataire inscrit : schéma et rôle restent, à supprimer à la main",
                  soft_wrap=True)  # fmt: skip
    parts = [*(["le journal"] if answer["log"] else []), *answer["recipients"]]
    out.print(f"Base {plain(answer['database'])} prête pour {', '.join(parts)}", soft_wrap=True)


def examined(answer: Mapping[str, Any]) -> None:
    """What ``flows.doctor`` found, each with its remedy."""
    out = console()
    for finding in answer["findings"]:
        word, colour = ("refusé", "red") if finding["refused"] else ("à savoir", "yellow")
        out.print(Text.assemble((word, colour), f"  {finding['subject']} : {plain(finding['problem'])}"), soft_wrap=True)
        out.print(f"  → {plain(finding['remedy'])}", soft_wrap=True)
    looked = ", ".join(answer["looked_at"])
    out.print(
        f"Vu : {looked}.", "Rien de dangereux." if answer["sound"] else "À corriger avant de s'en servir.", soft_wrap=True
    )
