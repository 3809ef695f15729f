"""Floor 5: looks at what channels publish as a viewer would, and judges it."""
