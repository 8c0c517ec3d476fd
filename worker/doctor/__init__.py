"""
Checks of everything the worker needs, one line each, with the remedy for what is wrong.

Nothing is changed and nothing is sent to the bank: its address is resolved, connected to
and asked to prove who it is, no more.

    diagnosis    the checks, one after the other
    origins      the settings, and where each comes from
    roster       the partners' credentials and certificates, the dialect
    storage      the database, its schema, its clock; partners that rest; progress
    files        where SQLite keeps its file
    certificate  when a certificate ends
    broker       the broker, and whether it keeps what it is given
    reach        the bank's addresses
"""
