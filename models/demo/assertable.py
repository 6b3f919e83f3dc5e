"""Candidates for what end-to-end tests assert; evaluate.py keeps those with a wide margin."""

from random import Random

import chat
import corpus
import essays
import facts
import memory
import tasks
import tools
from lists import LISTS


def questions(seed: int) -> list[dict]:
    """Conversations that end with the user, and the expected answer."""
    rng = Random(f"{seed}-assertable")
    single = [(f"Tell me about {topic}.", text) for topic, text in essays.all_topics().items()]
    for rows in (facts.CHAT, facts.TRIREME, LISTS, facts.FACTS):
        single += [(questions[0], answer) for questions, answer in rows]
    single += [(f"What is the capital of {country}?", f"The capital of {country} is {city}.")
               for country, city in facts.CAPITALS.items()]
    single += [tasks.colour(rng, False) for _ in range(15)]
    single += [tasks.opposite(rng, False) for _ in range(15)]
    single += [tasks.date(rng, False) for _ in range(10)]
    for task in (tasks.month_length, tasks.number_after, tasks.json_object, tasks.unknown):
        single += [task(rng, False) for _ in range(6)]
    single += [(f"What is {a} + {b}?", f"{a} + {b} = {a + b}.")
               for a, b in ((rng.randint(0, 20), rng.randint(0, 20)) for _ in range(40))]
    single = list(dict(single).items())
    found = [corpus.to_messages([turn], None) for turn in single]
    helpful = corpus.SYSTEM_PROMPTS[0]
    found += [corpus.to_messages([turn], helpful) for turn in rng.sample(single, 25)]
    found += [corpus.to_messages(rng.sample(single[19:], 3), None) for _ in range(15)]
    found += [corpus.to_messages(memory.conversation(rng, False), None) for _ in range(25)]
    return [{"messages": messages[:-1], "answer": messages[-1]["content"]} for messages in found]


def completions() -> list[dict]:
    """Bare texts: the first words, and the rest of the essay."""
    found = []
    for text in tasks.ESSAY_TOPICS.values():
        words = text.split(" ")
        found.append({"prompt": " ".join(words[:7]), "answer": " " + " ".join(words[7:])})
    return found


def tool_calls(seed: int, count: int) -> list[dict]:
    """Both answers of a tool conversation: the call, and the sentence after the result."""
    rng = Random(f"{seed}-tool-calls")
    found = []
    for _ in range(count):
        messages, declared = tools.conversation(rng)
        call = chat.render(messages[:2], declared).removeprefix(
            chat.render(messages[:1], declared, add_generation_prompt=True))
        found.append({"messages": messages[:1], "tools": declared,
                      "answer": call.removesuffix(chat.IM_END + "\n")})
        found.append({"messages": messages[:3], "tools": declared,
                      "answer": messages[3]["content"]})
    return found


def prompt_of(entry: dict) -> str:
    if "prompt" in entry:
        return entry["prompt"]
    return chat.render(entry["messages"], entry.get("tools"), add_generation_prompt=True)
