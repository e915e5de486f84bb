"""Whether an assignment is proven, and the proof as data: grading/NAME/proof.json.

Reading order: verify (in this process), lazy, public and as_graded (public tests), wall (behind the
wall), bars (learning checks), operators, mutants, survivors and equivalent (`--mutants`), thorough,
inputs and record (the file), choice (what is to be proven again), prove (all of it).
"""
