"""How assets reach the servers: addresses in, clients out, nothing more."""
