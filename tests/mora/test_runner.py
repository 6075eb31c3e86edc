"""The runner: stored stage by stage, shared by content, and dear only to what fails."""
