"""Reconciliation of SNP bordereaux with declarations, structures, teams and payments: facts and law in, findings and cents out.

Knows nothing of files, of the log or of the hub, and decides nothing: a finding says what the rules of
``contracts_schema/rules/snp.yaml`` make of the facts. No patient value ever leaves it.
"""
