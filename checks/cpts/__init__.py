"""CPTS and FIR: tiers, missions, what a contract is worth in simulation, sources side by side, financings that overlap.

Nothing here is official: what the payer's text says was not read, so no amount is firm until it is attested.
"""
