"""Roles in a real PostgreSQL: each one logs in and tries everything; what was not granted is refused."""

import itertools

from warehouse.recipients import recipient

ARS, CPAM = recipient("ars-99"), recipient("cpam-2A1")
_databases = itertools.count(1)
