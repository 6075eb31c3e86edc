"""Published tables (`paper/`) and the output of runs (`runs/`, not in the repository)."""
