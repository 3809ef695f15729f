"""`channeld soak`: days of air in minutes, with everything that goes wrong, judged by eyes of its own."""
