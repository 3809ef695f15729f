"""Floor 3: playlist files, their parsing, their watching, and the rules of what airs next."""
