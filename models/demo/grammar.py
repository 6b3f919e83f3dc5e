"""Random sentences and stories: answers that differ by seed and by temperature."""

from itertools import product
from random import Random

SUBJECTS = {
    "the sea": (["waves", "sailors", "gulls", "fishermen", "small boats", "dolphins"],
                ["dance on", "dream of", "listen to", "return to", "look at", "play in"],
                ["the blue water", "the wide sea", "the salty wind", "the quiet harbour",
                 "the long beach"]),
    "the forest": (["owls", "foxes", "old trees", "hunters", "squirrels", "birds"],
                   ["hide in", "wake up in", "wander through", "sing in", "rest in", "guard"],
                   ["the dark forest", "the green shade", "the tall grass", "the autumn leaves",
                    "the silent valley"]),
    "the city": (["trams", "children", "bakers", "tired people", "cats", "students"],
                 ["hurry through", "laugh in", "wait in", "meet in", "move along", "cross"],
                 ["the busy streets", "the old square", "the bright shops", "the city park",
                  "the narrow lanes"]),
    "the night": (["stars", "bats", "guards", "poets", "lamps", "dreamers"],
                  ["shine over", "fly across", "walk under", "watch over", "whisper in", "love"],
                  ["the sleeping town", "the dark fields", "the cold moon", "the silver roofs",
                   "the empty road"]),
    "a garden": (["roses", "bees", "beans", "gardeners", "apples", "snails"],
                 ["grow in", "wait for", "enjoy", "fill", "need", "brighten"],
                 ["the warm sunshine", "the summer rain", "the soft soil", "the little garden",
                  "the morning light"]),
}
WHEN = ["in the morning", "at noon", "every evening", "in spring", "on Sundays", "after the rain",
        "before the storm", "all day long"]

PHRASINGS = ["Write a sentence about {0}.", "Give me a sentence about {0}.",
             "Make a sentence about {0}.", "Write one sentence about {0}."]

HEROES = ["fox", "bear", "mouse", "rabbit", "hedgehog", "raven", "goose", "donkey"]
TEMPERS = ["little", "clever", "lazy", "brave", "hungry", "lonely", "cheerful", "curious"]
PLACES = ["in a deep forest", "by a small lake", "under an old bridge", "behind the mill",
          "on a green hill", "near the river"]
FINDS = ["a golden key", "a red apple", "an old map", "a warm coat", "a strange egg",
         "a silver bell"]
FRIENDS = ["a wise owl", "a young girl", "a grey cat", "a friendly frog", "an old sailor",
           "a lost lamb"]
ENDS = ["They shared it and became friends.", "They laughed until the sun went down.",
        "They carried it home together.", "They gave it back and were happy.",
        "They kept the secret for ever."]

STORY_PHRASINGS = ["Write a short story about a {0}.", "Tell me a short story about a {0}.",
                   "Make up a story about a {0}.", "I want a story about a {0}."]


def sentence(rng: Random, topic: str) -> str:
    who, does, where = SUBJECTS[topic]
    words = f"{rng.choice(who)} {rng.choice(does)} {rng.choice(where)}"
    when = rng.choice(WHEN)
    text = f"{when}, {words}." if rng.random() < 0.3 else f"{words} {when}."
    return text[0].upper() + text[1:]


def story(rng: Random, hero: str) -> str:
    return (f"Once there was a {rng.choice(TEMPERS)} {hero} who lived {rng.choice(PLACES)}. "
            f"One day the {hero} found {rng.choice(FINDS)}. On the way home it met "
            f"{rng.choice(FRIENDS)}. {rng.choice(ENDS)}")


def sentences(topic: str) -> set[str]:
    """All that `sentence` can say about a topic."""
    who, does, where = SUBJECTS[topic]
    found = set()
    for a, b, c, when in product(who, does, where, WHEN):
        for text in (f"{a} {b} {c} {when}.", f"{when}, {a} {b} {c}."):
            found.add(text[0].upper() + text[1:])
    return found
