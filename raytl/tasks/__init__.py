"""Tasks: what the target column asks for. One file a task; `registry` lists them; this package
itself loads no torch."""
