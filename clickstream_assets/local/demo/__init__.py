"""Demo traffic: visits to a made-up shop."""
