"""The analysts' page: numbers, whether to believe them, and where they come from. It reads, and changes nothing."""
