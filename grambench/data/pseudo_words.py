"""Pronounceable nonsense words for generated texts."""

import numpy as np

from grambench.data.draws import Stream

_SYLLABLES = """
ra lo mi ven sol be dan ri mo tel na vi sen lu mar ti rol ne dor lin so pre bal ro min ta vel ori
tem la sar de mon pa ril su ver ba lem tan vo nim lar bri gol ma zen ten dra lis mel roa pol var
esta tor
"""


def topic_words(topics: int, size: int, seed: int) -> list[str]:
    """`topics` x `size` distinct words, grouped by topic; frequent ones are shorter."""
    syllables = _SYLLABLES.split()
    pairs = [a + b for a in syllables for b in syllables if a != b]
    triples = [a + b + c for a in syllables for b in syllables for c in syllables if a != b != c]
    words: dict[str, None] = {}
    for pool, name in ((pairs, "pairs"), (triples, "triples")):
        order = np.argsort(Stream(seed, f"words {name}").uniform(len(pool)), kind="stable")
        words |= dict.fromkeys(pool[place].capitalize() for place in order.tolist())
        if len(words) >= topics * size:
            break
    dealt = list(words)[: topics * size]
    return [dealt[place] for topic in range(topics) for place in range(topic, len(dealt), topics)]
