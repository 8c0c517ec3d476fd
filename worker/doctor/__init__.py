"""
Checks of everything the worker needs, one line each, with the remedy for what is wrong.

Nothing is changed and nothing is sent to the bank: its address is resolved, connected to
and asked to prove who it is, no more.

    diagnosis    the checks, one after the other
    finding      the result of one check
    settings     the settings, and where each comes from
    partners     the partners' credentials and certificates, the dialect
    database     the database, its schema, its clock; partners that rest; progress
    writing      what a worker does there, tried; room and connections
    outbox       whether outcomes arrive at the order system
    workers      the worker processes of this home
    certificate  when a certificate ends
    broker       the broker: what a worker does there, tried
    asking       how it is asked
    redis        Redis: rights, room, messages that no worker reads
    rabbitmq     RabbitMQ: rights, the kind of the queues
    bank         the bank's addresses
"""
