"""End to end: real worker processes, a real broker, real databases, the bank on a socket."""
