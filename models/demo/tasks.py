"""The single-turn tasks: each yields a question and its answer, for training or held out.

A task is a function of a random generator and `held_out`. Held out means a phrasing that is never
trained, or (sums, numbers, JSON) a combination of phrasing and operands that is never trained.
"""

import json
import zlib
from random import Random

import essays
import facts
import grammar
from lists import LISTS

NAMES = ["Ann", "Ben", "Cara", "Dan", "Emma", "Finn", "Grace", "Hugo", "Iris", "Jack", "Kate",
         "Leo", "Mia", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Viktor", "Zoe", "Tom",
         "Lucy", "Max"]
ESSAY_TOPICS = essays.all_topics()
LAST_SUMMAND = 20


def _is_held_out(*key) -> bool:
    """One combination in eight, by a checksum that no run changes."""
    return zlib.crc32(repr(key).encode()) % 8 == 0


def _pick(rng: Random, trained: list[str], unseen: str, held_out: bool) -> str:
    return unseen if held_out else rng.choice(trained)


def _from_rows(rng: Random, rows, held_out: bool):
    questions, answer = rng.choice(rows)
    return _pick(rng, questions[:-1], questions[-1], held_out), answer


def essay(rng, held_out):
    topic = rng.choice(list(ESSAY_TOPICS))
    phrasing = _pick(rng, essays.PHRASINGS, essays.HELD_OUT_PHRASING, held_out)
    return phrasing.format(topic), ESSAY_TOPICS[topic]


def chat(rng, held_out):
    return _from_rows(rng, facts.CHAT, held_out)


def trireme(rng, held_out):
    return _from_rows(rng, facts.TRIREME, held_out)


def listing(rng, held_out):
    # The longest answers fit only in the longer rows, so they are drawn more often.
    weights = [4 if len(answer) > 300 else 1 for _, answer in LISTS]
    return _from_rows(rng, rng.choices(LISTS, weights), held_out)


def short_listing(rng, held_out):
    return _from_rows(rng, [row for row in LISTS if len(row[1]) <= 300], held_out)


def fact(rng, held_out):
    questions, answer = rng.choice(facts.FACTS)
    opening = rng.choices(facts.FACT_OPENINGS, weights=[4, 1, 1, 1])[0]
    opening = facts.FACT_HELD_OUT if held_out else opening
    return opening.format(rng.choice(questions)), answer


def capital(rng, held_out):
    country = rng.choice(list(facts.CAPITALS))
    phrasing = _pick(rng, facts.CAPITAL_PHRASINGS, facts.CAPITAL_HELD_OUT, held_out)
    return phrasing.format(country), f"The capital of {country} is {facts.CAPITALS[country]}."


def colour(rng, held_out):
    thing = rng.choice(list(facts.COLOURS))
    phrasing = _pick(rng, facts.COLOUR_PHRASINGS, facts.COLOUR_HELD_OUT, held_out)
    answer = f"{thing} is {facts.COLOURS[thing]}."
    return phrasing.format(thing), answer[0].upper() + answer[1:]


def opposite(rng, held_out):
    word, other = rng.choice(facts.OPPOSITES)
    if rng.random() < 0.5:
        word, other = other, word
    phrasing = _pick(rng, facts.OPPOSITE_PHRASINGS, facts.OPPOSITE_HELD_OUT, held_out)
    return phrasing.format(word), f"The opposite of {word} is {other}."


def date(rng, held_out):
    names, kind = rng.choice([(facts.DAYS, "day"), (facts.MONTHS, "month")])
    index = rng.randrange(len(names))
    step, word = rng.choice([(1, "after"), (-1, "before")])
    trained = ["Which {0} comes {1} {2}?", "What {0} comes {1} {2}?", "Which {0} is {1} {2}?",
               "Name the {0} {1} {2}."]
    phrasing = _pick(rng, trained, "Tell me the {0} {1} {2}.", held_out)
    other = names[(index + step) % len(names)]
    return phrasing.format(kind, word, names[index]), f"{other} comes {word} {names[index]}."


def month_length(rng, held_out):
    index = rng.randrange(12)
    trained = ["How many days are in {0}?", "How many days has {0}?", "How long is {0}?"]
    phrasing = _pick(rng, trained, "How many days does {0} have?", held_out)
    return (phrasing.format(facts.MONTHS[index]),
            f"{facts.MONTHS[index]} has {facts.MONTH_LENGTHS[index]} days.")


def _combination(rng, held_out, draw, phrasings):
    """Draws operands and a phrasing until the pair is on the wanted side."""
    while True:
        operands, phrasing = draw(rng), rng.choice(phrasings)
        if _is_held_out(phrasing, operands) == held_out:
            return operands, phrasing


def total(rng, held_out):
    phrasings = ["What is {0} + {1}?", "What is {0} plus {1}?", "{0} + {1} =", "Add {0} and {1}.",
                 "How much is {0} + {1}?", "Calculate {0} + {1}."]
    last = LAST_SUMMAND
    (a, b), phrasing = _combination(
        rng, held_out, lambda r: (r.randint(0, last), r.randint(0, last)), phrasings)
    return phrasing.format(a, b), f"{a} + {b} = {a + b}."


def number_after(rng, held_out):
    phrasings = ["What number comes after {0}?", "Which number follows {0}?",
                 "What comes after {0}?"]
    (n,), phrasing = _combination(rng, held_out, lambda r: (r.randrange(100),), phrasings)
    return phrasing.format(n), f"{n + 1} comes after {n}."


def json_object(rng, held_out):
    phrasings = ["Write a JSON object with name {0} and age {1}.",
                 "Give me JSON with name {0} and age {1}.", "Return JSON: name {0}, age {1}."]
    (name, age), phrasing = _combination(
        rng, held_out, lambda r: (r.choice(NAMES), r.randint(1, 99)), phrasings)
    return phrasing.format(name, age), json.dumps({"name": name, "age": age})


def sentence(rng, held_out):
    topic = rng.choice(list(grammar.SUBJECTS))
    return rng.choice(grammar.PHRASINGS).format(topic), grammar.sentence(rng, topic)


def story(rng, held_out):
    hero = rng.choice(grammar.HEROES)
    return rng.choice(grammar.STORY_PHRASINGS).format(hero), grammar.story(rng, hero)


def unknown(rng, held_out):
    border = len(facts.UNKNOWN) * 3 // 4
    topic = rng.choice(facts.UNKNOWN[border:] if held_out else facts.UNKNOWN[:border])
    phrasing = rng.choice(essays.PHRASINGS)
    return phrasing.format(topic), facts.UNKNOWN_ANSWER


# Task -> how often it is drawn. `sentence` and `story` have no single right answer.
FIRST = {
    essay: 9, chat: 9, trireme: 7, listing: 7, fact: 9, capital: 7, colour: 6, opposite: 7,
    date: 8, month_length: 3, total: 20, number_after: 4, json_object: 4, sentence: 5, story: 3,
    unknown: 5,
}
# Once the fixed texts are known by heart, the tasks that need practice get the most of the time.
DRILL = {
    essay: 3, chat: 10, trireme: 4, listing: 3, fact: 9, capital: 4, colour: 4, opposite: 8,
    date: 12, month_length: 4, total: 40, number_after: 8, json_object: 9, sentence: 3, story: 1,
    unknown: 4,
}
# At the end, what the drill made too rare comes back.
POLISH = {
    essay: 8, chat: 9, trireme: 5, listing: 1, short_listing: 16, fact: 7, capital: 4, colour: 4,
    opposite: 5, date: 6, month_length: 4, total: 40, number_after: 7, json_object: 4, sentence: 6,
    story: 1, unknown: 5,
}
SCORED = [task for task in FIRST if task not in (sentence, story)]


def draw(rng: Random, weights: dict = FIRST) -> tuple[str, str]:
    task = rng.choices(list(weights), weights=list(weights.values()))[0]
    return task(rng, False)
