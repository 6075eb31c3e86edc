"""The metrics' own exam: what each of them sees, what it is blind to, and what fools it.

Damages of known kind and rising strength are applied to clips, which are then scored as any video
is. A metric that is meant to see a damage has to follow its strength.
"""
