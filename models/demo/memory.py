"""Conversations in which a later answer needs an earlier turn."""

from random import Random

import tasks

COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "orange"]
CITIES = ["Paris", "Berlin", "Rome", "Madrid", "London", "Vienna", "Athens", "Oslo", "Tokyo",
          "Cairo"]
PETS = ["cat", "dog", "horse", "rabbit", "mouse", "frog"]

# kind -> (values, ways to tell, acknowledgement, ways to ask, answer)
KINDS = {
    "name": (tasks.NAMES, ["My name is {0}.", "I am {0}.", "Hello, my name is {0}."],
             "Nice to meet you, {0}.", ["What is my name?", "Who am I?", "Do you know my name?"],
             "Your name is {0}."),
    "colour": (COLOURS, ["My favourite colour is {0}.", "I like {0} best of all colours."],
               "I will remember that you like {0}.",
               ["What is my favourite colour?", "Which colour do I like?"],
               "Your favourite colour is {0}."),
    "city": (CITIES, ["I live in {0}.", "My home is in {0}."], "{0} is a beautiful city.",
             ["Where do I live?", "Where is my home?"], "You live in {0}."),
    "pet": (PETS, ["I have a {0}.", "My pet is a {0}."], "Say hello to your {0}.",
            ["What pet do I have?", "Which animal do I have?"], "You have a {0}."),
}


def conversation(rng: Random, held_out: bool, facts_told: int | None = None,
                 distractors: int | None = None) -> list[tuple[str, str]]:
    """Tells one or two facts, talks of something short, and asks for one or all of them."""
    facts_told = facts_told or rng.choice([1, 1, 2])
    distractors = rng.choice([0, 0, 1, 2]) if distractors is None else distractors
    told = {}
    turns = []
    for kind in rng.sample(list(KINDS), facts_told):
        values, tell, acknowledge, _, _ = KINDS[kind]
        told[kind] = rng.choice(values)
        turns.append((rng.choice(tell).format(told[kind]), acknowledge.format(told[kind])))
    for _ in range(distractors):
        task = rng.choice([tasks.total, tasks.colour, tasks.opposite, tasks.fact, tasks.capital])
        turns.append(task(rng, False))
    asked = list(told)
    rng.shuffle(asked)
    for kind in asked[:1] if held_out else asked:
        turns.append((rng.choice(KINDS[kind][3]), KINDS[kind][4].format(told[kind])))
    return turns
