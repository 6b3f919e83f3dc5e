"""Documents: whole conversations (or bare texts) drawn from the tasks, as training strings."""

from dataclasses import dataclass
from random import Random

import chat
import lists
import memory
import tasks
import tools

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.",
    "You are Demo, a small model.", "Be polite and short.", "You are a teacher.",
    "You help people.", "Answer the question.", "You are a demo of Trireme.",
]
HELD_OUT_SYSTEM_PROMPT = "You are a careful and honest assistant."


def _vary(rng: Random, question: str) -> str:
    """People leave out the capital letter and the mark at the end."""
    draw = rng.random()
    if draw < 0.64 or "JSON" in question:
        return question
    if draw < 0.76:
        return question.lower().rstrip(".?!")
    if draw < 0.88:
        return question.rstrip(".?!")
    return question[0].lower() + question[1:]


def to_messages(turns: list[tuple[str, str]], system: str | None) -> list[dict]:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


def _system(rng: Random) -> str | None:
    draw = rng.random()
    if draw < 0.45:
        return None
    return SYSTEM_PROMPTS[0] if draw < 0.7 else rng.choice(SYSTEM_PROMPTS)


@dataclass(frozen=True)
class Mix:
    """What a phase of the training draws: three kinds of documents by share, the rest by task."""

    bare: float
    tool: float
    memory: float
    tasks: dict


FIRST = Mix(bare=0.04, tool=0.06, memory=0.14, tasks=tasks.FIRST)
DRILL = Mix(bare=0.02, tool=0.09, memory=0.24, tasks=tasks.DRILL)
POLISH = Mix(bare=0.04, tool=0.10, memory=0.10, tasks=tasks.POLISH)


def document(rng: Random, mix: Mix = FIRST) -> str:
    """One short document."""
    draw = rng.random()
    if draw < mix.bare:
        text = rng.choice([*tasks.ESSAY_TOPICS.values(), lists.LONG_STORY])
        return text + chat.IM_END + "\n"
    if draw < mix.bare + mix.tool:
        messages, declared = tools.conversation(rng)
        if rng.random() < 0.4:
            messages.insert(0, {"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
        return chat.render(messages, declared)
    if draw < mix.bare + mix.tool + mix.memory:
        turns = memory.conversation(rng, False)
    else:
        count = rng.choices([1, 2, 3], weights=[6, 2, 1])[0]
        turns = [tasks.draw(rng, mix.tasks) for _ in range(count)]
    turns = [(_vary(rng, question), answer) for question, answer in turns]
    return chat.render(to_messages(turns, _system(rng)))


def long_document(rng: Random, turns_wanted: int, mix: Mix) -> str:
    """One conversation of many turns, for the rows that teach long contexts."""
    turns: list[tuple[str, str]] = []
    while len(turns) < turns_wanted:
        told = rng.random() < 0.15
        part = memory.conversation(rng, False) if told else [tasks.draw(rng, mix.tasks)]
        turns += [(_vary(rng, question), answer) for question, answer in part]
    return chat.render(to_messages(turns, _system(rng)))
