"""What must outlive the processes: positions, history, the catalogue of clips."""
