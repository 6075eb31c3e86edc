"""Does the aesthetic head follow its formula? It was never anything but a formula.

No person has rated these pictures. The target is the arithmetic that `lab.train.aesthetic` states:
contrast, place and size of the main object, less what damage takes away. The figures are rank
correlations on held-out pictures: with the formula over all of them, with the formula among those
that are undamaged, and with the strength of the damage among the others (−1 at best).
"""

from scipy.stats import spearmanr

from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.train.aesthetic import examples
from metrics.backbones import aesthetic

PICTURES_FOR_EACH = 10
"""Pictures for each of the exam's count; the formula is loose, and they are cheap."""


def examine(exam: Exam) -> list[Figure]:
    """Rank correlations with the formula and with damage."""
    pictures = PICTURES_FOR_EACH * exam.count
    embeddings, ratings, strength = examples(exam.networks["clip_l14"], pictures, exam.seed)
    found = aesthetic.scores(exam.networks["aesthetic"], embeddings)
    everything, clean = strength >= 0, strength == 0
    return [
        Figure(
            measured,
            on,
            float(spearmanr(found[chosen].cpu(), target[chosen].cpu()).statistic),
            "correlation",
            int(chosen.sum()),
        )
        for measured, on, target, chosen in (
            ("rating against its formula", "held-out pictures", ratings, everything),
            ("rating against its formula", "undamaged ones of them", ratings, clean),
            ("rating against strength of damage", "damaged ones of them", strength, ~clean),
        )
    ]
