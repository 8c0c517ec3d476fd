"""The rules, without I/O: states, orders, the bank's words, and how an answer is judged."""
