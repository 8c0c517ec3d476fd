"""The rules, without I/O: states, orders, the bank's words, and the judgement of an answer."""
