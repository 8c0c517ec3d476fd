"""Sentences for people: where a job stands, what happened, what comes next, what needs a person."""
