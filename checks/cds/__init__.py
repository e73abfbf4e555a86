"""Centres de santé: what counts of a campaign at each cut-off, what the rules say of it, and what it is worth.

Nothing here overwrites a declaration or takes an unanswered question for a no; nothing here knows a file or the log.
"""
