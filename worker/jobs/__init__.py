"""The use cases, as plain functions: an attempt, a pass of the sweep, an audit, a comparison."""
