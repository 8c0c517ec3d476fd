"""How the properties of the pure core are tried out."""

from hypothesis import settings

# A busy machine is slow, not wrong: these tests promise what holds, not how fast.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
