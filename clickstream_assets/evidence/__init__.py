"""What the stores hold, counted, drawn, and explained down to the message. Reads only."""
