"""The use cases as plain functions: attempt, sweep, audit and comparison."""
