"""The statements about partners: their modes, the gate, the cooldown."""
