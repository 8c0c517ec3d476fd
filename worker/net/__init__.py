"""HTTP under one deadline, and the names of its faults; the bank and the webhook share it."""
