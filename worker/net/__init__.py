"""HTTP calls with one deadline, and the words for their faults; for the bank and the webhook."""
