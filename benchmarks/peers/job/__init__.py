"""The job that all peers do: a row that is claimed, one POST, and what is stored of the answer."""
