"""Who may do what: named tokens with roles, and the sessions of people who signed in with one."""
