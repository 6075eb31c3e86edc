"""The exam of the miniature models on data that no training has seen: `python -m lab.exam`.

Each part is one file, which says what it measures and against what. The scenes are drawn from a
seed of the exam's own, the photographs are those set aside in `lab.data.pictures`, and the real
videos of `lab.data.clips` are used for nothing else.
"""
