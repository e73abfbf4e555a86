"""The queries of démarches-simplifiées that ecluse asks, its own and fixed: what is not asked for cannot leak.

Must never ask for a person's name, e-mail or message, nor, but in the query for downloads, for the address of a file. The type
that the service gives to a champ depends on the fragments of the whole document: each query carries all of them, its digest is
kept with what it gave, and another digest makes the next pull a full one.
"""

import hashlib

_CHAMP = """
fragment Champ on Champ {
  __typename
  champDescriptorId
  stringValue
  ... on TextChamp { text: value }
  ... on DropDownListChamp { text: value }
  ... on MultipleDropDownListChamp { list: values }
  ... on LinkedDropDownListChamp { first: primaryValue second: secondaryValue }
  ... on CheckboxChamp { bool: value }
  ... on YesNoChamp { bool: value }
  ... on DateChamp { date }
  ... on DatetimeChamp { datetime }
  ... on IntegerNumberChamp { integer: value }
  ... on DecimalNumberChamp { decimal: value }
  ... on SiretChamp { etablissement { siret } }
  ... on DossierLinkChamp { dossier { number } }
  ... on DepartementChamp { departement { code } }
  ... on PieceJustificativeChamp { files { filename contentType byteSizeBigInt checksum createdAt virusScanResult } }
  ... on TitreIdentiteChamp { filled }
}
"""
_DOSSIER = """
fragment Dossier on Dossier {
  number
  state
  archived
  dateDepot
  datePassageEnConstruction
  datePassageEnInstruction
  dateTraitement
  dateDerniereModification
  dateDerniereModificationChamps
  dateExpiration
  dateSuppressionParUsager
  dateSuppressionParAdministration
  groupeInstructeur { number }
  demandeur { __typename ... on PersonneMorale { siret } ... on PersonneMoraleIncomplete { siret } }
  demarche { number revision { id } }
  champs { ...Champ ... on RepetitionChamp { rows { id champs { ...Champ } } } }
  traitements { event dateTraitement }
  messages { id createdAt discardedAt correction { reason dateResolution } }
}
"""
_PAGE = "pageInfo { hasNextPage endCursor }"

FORM = """
query form($number: Int!) {
  demarche(number: $number) {
    number title state declarative
    activeRevision { id }
    revisions {
      id datePublication
      champDescriptors { ...Descriptor ... on RepetitionChampDescriptor { champDescriptors { ...Descriptor } } }
    }
  }
}
fragment Descriptor on ChampDescriptor {
  __typename id label required
  ... on DropDownListChampDescriptor { options }
  ... on MultipleDropDownListChampDescriptor { options }
}
"""
DOSSIERS = f"""
query dossiers($number: Int!, $first: Int!, $after: String, $since: ISO8601DateTime, $state: DossierState) {{
  demarche(number: $number) {{
    number
    page: dossiers(first: $first, after: $after, updatedSince: $since, state: $state) {{ {_PAGE} nodes {{ ...Dossier }} }}
  }}
}}
{_DOSSIER}{_CHAMP}"""
NUMBERS = f"""
query numbers($number: Int!, $first: Int!, $after: String, $since: ISO8601DateTime, $state: DossierState) {{
  demarche(number: $number) {{
    number
    page: dossiers(first: $first, after: $after, updatedSince: $since, state: $state) {{
      {_PAGE} nodes {{ number dateDerniereModification }}
    }}
  }}
}}
"""
_DELETIONS = (
    f"(first: $first, after: $after, deletedSince: $since) {{ {_PAGE} nodes {{ number state reason dateSupression }} }}"
)
DELETED = f"""
query deleted($number: Int!, $first: Int!, $after: String, $since: ISO8601DateTime) {{
  demarche(number: $number) {{ number page: deletedDossiers{_DELETIONS} }}
}}
"""
PENDING = f"""
query pending($number: Int!, $first: Int!, $after: String, $since: ISO8601DateTime) {{
  demarche(number: $number) {{ number page: pendingDeletedDossiers{_DELETIONS} }}
}}
"""
DOSSIER = f"""
query dossier($number: Int!) {{ dossier(number: $number) {{ ...Dossier }} }}
{_DOSSIER}{_CHAMP}"""
FILES = """
query files($number: Int!) {
  dossier(number: $number) {
    number
    demarche { number }
    champs { ...Files ... on RepetitionChamp { rows { id champs { ...Files } } } }
  }
}
fragment Files on PieceJustificativeChamp { champDescriptorId files { byteSizeBigInt checksum virusScanResult url } }
"""


def digest(query: str = DOSSIERS) -> str:
    """What tells one text of a query from another: 16 hexadecimal digits."""
    return hashlib.sha256(query.encode()).hexdigest()[:16]
