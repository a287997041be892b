"""Demo traffic: visits to a made-up shop, as messages. ``cli/produce.py`` sends them."""
