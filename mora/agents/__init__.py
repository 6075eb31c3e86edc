"""The agents: one file a role, with the role's interface and what can play it."""
