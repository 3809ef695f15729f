"""Who is told without asking: webhooks for programs, alerts for people."""
