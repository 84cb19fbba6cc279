"""Headlines and abstracts of generated news: pronounceable topic words among plain English ones.

Each topic has its own pseudo-words, distributed by Zipf's law; a subtopic starts the same list at another
offset. All other words come from two short shared lists and carry no signal. Shapes: N news, K topics,
W words of all texts, concatenated.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from grambench.data.draws import Ints, Stream, WeightedIndex, starts
from grambench.data.pseudo_words import topic_words

SUBTOPICS = 4

_TITLE_LENGTHS = (0, 0, 0, 0, 16, 44, 65, 120, 160, 210, 250, 229, 225, 195, 165, 130, 95, 65, 45, 28,
                  18, 12, 8, 5, 4, 2)  # fmt: skip
_ABSTRACT_LENGTHS = (500, *(0,) * 9, *(100,) * 14, *(240,) * 20, *(130,) * 18, *(30,) * 20)
_TOPIC_SHARE, _STRAY_SHARE = 0.45, 0.04  # words from the item's topic; from any topic
_FUNCTION_SHARE = 0.45  # of the other words
_MOST_WORDS, _FEWEST_WORDS = 400, 40  # in a topic's list

_FUNCTION_WORDS = """
the to in of a for and on with at from as by after how new over why before into under about without
between near
"""
_PLAIN_WORDS = """
report week city plan team home season story guide group year people day view state change deal list
game house time night world road local first early late big small best long return start visit show
talk market morning winter summer river garden record answer question picture letter number moment
offer choice sign step reason detail update review history future couple family friend teacher
driver owner player leader member crowd street bridge station window table corner village island
valley coast harbor border region says finds shares opens leaves brings keeps turns shows makes
takes gets joins tells warns hopes looks moves begins returns explains reveals remembers expects
prepares celebrates
"""


@dataclass(frozen=True)
class NewsText:
    """Title, abstract and subtopic (0 to `SUBTOPICS` - 1) of each of N items."""

    titles: list[str]
    abstracts: list[str]
    subtopic: Ints


def write_texts(topic_N: Ints, topics: int, seed: int) -> NewsText:
    """Titles of 4 to 25 words (mean 11.5) and abstracts (mean 36, one in twenty empty)."""
    news = len(topic_N)
    size = min(max(news // topics, _FEWEST_WORDS), _MOST_WORDS)
    subtopic_N = WeightedIndex([0.4, 0.3, 0.2, 0.1]).draw(Stream(seed, "subtopic").uniform(news))
    functions, plain = _FUNCTION_WORDS.split(), _PLAIN_WORDS.split()
    lexicon = np.array([*functions, *plain, *topic_words(topics, size, seed)], dtype=object)
    texts: dict[str, list[str]] = {}
    for field, lengths in (("title", _TITLE_LENGTHS), ("abstract", _ABSTRACT_LENGTHS)):
        stream = Stream(seed, field)
        length_N = WeightedIndex(np.asarray(lengths) / max(lengths)).draw(stream.uniform(news))
        code_W = _word_codes(topic_N, subtopic_N, length_N, topics, size, stream)
        words = lexicon[code_W].tolist()
        ends = [0, *np.cumsum(length_N).tolist()]
        texts[field] = [_sentence(words[begin:end]) for begin, end in pairwise(ends)]
    abstracts = [text and f"{text}." for text in texts["abstract"]]
    return NewsText(texts["title"], abstracts, subtopic_N)


def _sentence(words: list[str]) -> str:
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _word_codes(
    topic_N: Ints, subtopic_N: Ints, length_N: Ints, topics: int, size: int, stream: Stream
) -> Ints:
    """Lexicon indices of all words [W]; no text ends in a function word or has two in a row."""
    item_W = np.repeat(np.arange(len(topic_N)), length_N)
    count = len(item_W)
    kind_W = stream.uniform(count)
    stray_W = WeightedIndex(np.ones(topics)).draw(stream.uniform(count))
    topic_W = np.where(kind_W < _STRAY_SHARE, stray_W, topic_N[item_W])
    rank_W = WeightedIndex(1 / (np.arange(size) + 1)).draw(stream.uniform(count))
    turned_W = stream.uniform(count) < 0.3
    rank_W = (rank_W + turned_W * subtopic_N[item_W] * (size // SUBTOPICS)) % size
    functions, plain = len(_FUNCTION_WORDS.split()), len(_PLAIN_WORDS.split())
    function_W = WeightedIndex(1 / (np.arange(functions) / 2 + 1)).draw(stream.uniform(count))
    plain_W = functions + WeightedIndex(1 / (np.arange(plain) / 20 + 1)).draw(stream.uniform(count))

    is_topic_W = kind_W < _STRAY_SHARE + _TOPIC_SHARE
    is_function_W = ~is_topic_W & (stream.uniform(count) < _FUNCTION_SHARE)
    is_function_W[starts(length_N)[length_N > 0] - 1] = False
    is_function_W[1:] &= ~is_function_W[:-1]
    code_W = np.where(is_function_W, function_W, plain_W)
    topic_code_W = functions + plain + topic_W * size + rank_W
    return np.where(is_topic_W, topic_code_W, code_W)
