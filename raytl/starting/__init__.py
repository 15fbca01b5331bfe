"""`raytl new`: from data to a study that can be run, by looking at what is there.

`looking` finds out which `raytl shard` reads raw data, `facts` what a dataset asks for,
`models_found` which source models fit it, `measuring` how long their steps take, `budget` what the
minutes allow, `study_text` writes it down; `new_study` does all of it in order.
"""
