"""The steps. Each is complete in itself: it does not import the tables, which go on changing."""
