"""Measures held-out accuracy, and writes what end-to-end tests may assert.

`python evaluate.py` reads build/checkpoint.pt and writes questions.json, completions.json and
tool_calls.json beside itself. It fails if too few entries are safe to assert.
"""

import argparse
import json
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer

import assertable
import chat
import corpus
import grammar
import memory
import tasks
import weights
from scoring import Scorer

SEED = 2
PER_TASK = 40
GAP = 1.0
FEWEST_QUESTIONS, FEWEST_LONG, LONG_TOKENS = 50, 8, 100


def _pair(turns, system=None):
    messages = corpus.to_messages(turns, system)
    return chat.render(messages[:-1], add_generation_prompt=True), messages[-1]["content"]


def _bare(question: str) -> str:
    return question.lower().rstrip(".?!")


def _after_chat(rng: Random, tokenizer, tokens: int, last) -> tuple[str, str]:
    """`last` asked at the end of a conversation of at most so many tokens."""
    turns = []
    while True:
        more = [*turns, tasks.draw(rng)]
        if len(tokenizer.encode(chat.render(corpus.to_messages(more, None))).ids) > tokens:
            return _pair([*turns, last])
        turns = more


def suites(tokenizer) -> dict[str, list[tuple[str, str]]]:
    """Name of the row in the table -> distinct prompts and expected answers."""
    found = {}
    for task in tasks.SCORED:
        rng = Random(f"{SEED}-{task.__name__}")
        found[f"{task.__name__}, held out"] = [
            _pair([task(rng, True)]) for _ in range(PER_TASK)]
        found[f"{task.__name__}, trained"] = [
            _pair([task(rng, False)]) for _ in range(PER_TASK)]
    rng = Random(f"{SEED}-robustness")
    lower = []
    for _ in range(PER_TASK):
        question, answer = rng.choice([tasks.fact, tasks.capital, tasks.colour])(rng, False)
        lower.append(_pair([(_bare(question), answer)]))
    found["facts in lower case without a mark"] = lower
    found["sums in lower case without a mark"] = [
        _pair([(_bare(q), a)]) for q, a in (tasks.total(rng, False) for _ in range(PER_TASK))]
    found["any task, unseen system prompt"] = [
        _pair([rng.choice(tasks.SCORED)(rng, False)], corpus.HELD_OUT_SYSTEM_PROMPT)
        for _ in range(PER_TASK)]
    found["memory, one fact, asked at once"] = [
        _pair(memory.conversation(rng, True, 1, 0)) for _ in range(PER_TASK)]
    found["memory, one fact, one or two turns between"] = [
        _pair(memory.conversation(rng, True, 1, rng.choice([1, 2]))) for _ in range(PER_TASK)]
    found["memory, two facts"] = [
        _pair(memory.conversation(rng, True, 2, 0)) for _ in range(PER_TASK)]
    entries = [(assertable.prompt_of(e), e["answer"])
               for e in assertable.tool_calls(SEED + 1, PER_TASK)]
    found["tool call"], found["sentence after a tool result"] = entries[::2], entries[1::2]
    for tokens in (1000, 1950):
        found[f"fact after {tokens} tokens of chat"] = [
            _after_chat(rng, tokenizer, tokens, tasks.fact(rng, False)) for _ in range(10)]
    return {name: list(dict.fromkeys(pairs)) for name, pairs in found.items()}


def table(scorers: dict, tokenizer) -> str:
    lines = ["| task | asked | " + " | ".join(scorers) + " | smallest gap |",
             "|---|" + "---|" * (len(scorers) + 2)]
    for name, pairs in suites(tokenizer).items():
        scores = {kind: scorer.score(pairs) for kind, scorer in scorers.items()}
        right = " | ".join(str(sum(s.exact for s in found)) for found in scores.values())
        gap = min(score.gap for score in scores["F16"])
        lines.append(f"| {name} | {len(pairs)} | {right} | {gap:.2f} |")
    return "\n".join(lines)


def sampled(scorer: Scorer) -> str:
    """How many sampled sentences the grammar could have made, and how many differ."""
    texts = []
    valid = 0
    for topic in grammar.SUBJECTS:
        possible = grammar.sentences(topic)
        prompt, _ = _pair([(f"Write a sentence about {topic}.", "")])
        for seed in range(8):
            texts.append(scorer.sample(prompt, seed, temperature=1.0))
            valid += texts[-1] in possible
    return (f"Sampled sentences at temperature 1: {len(texts)}, {len(set(texts))} different, "
            f"{valid} that the grammar can make.")


def safe(entries: list[dict], scorers: dict) -> list[dict]:
    """The entries that both files answer right with a gap above the limit."""
    pairs = [(assertable.prompt_of(entry), entry["answer"]) for entry in entries]
    found = []
    for entry, *scores in zip(entries, *(scorers[k].score(pairs) for k in ("F16", "Q8_0"))):
        gap = min(score.gap for score in scores)
        if all(score.exact for score in scores) and gap > GAP:
            found.append(dict(entry, min_gap=round(gap, 2), tokens=scores[0].tokens))
    return found


def write(path: Path, entries: list[dict]) -> None:
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n")
    long = sum(entry["tokens"] > LONG_TOKENS for entry in entries)
    print(f"{path.name}: {len(entries)} entries, {long} longer than {LONG_TOKENS} tokens")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--build", type=Path, default=Path("build"))
    arguments.add_argument("--out", type=Path, default=Path("."))
    arguments = arguments.parse_args()
    torch.set_num_threads(2)
    state = torch.load(arguments.build / "checkpoint.pt")["model"]
    tokenizer = Tokenizer.from_file(str(arguments.build / "tokenizer.json"))
    scorers = {"F16": Scorer(weights.rounded(state, weights.F16), tokenizer),
               "Q8_0": Scorer(weights.rounded(state, weights.Q8_0), tokenizer)}

    print(table(scorers, tokenizer))
    print(sampled(scorers["F16"]))
    questions = safe(assertable.questions(SEED), scorers)
    write(arguments.out / "questions.json", questions)
    write(arguments.out / "completions.json", safe(assertable.completions(), scorers))
    write(arguments.out / "tool_calls.json", safe(assertable.tool_calls(SEED, 12), scorers))
    long = sum(entry["tokens"] > LONG_TOKENS for entry in questions)
    if len(questions) < FEWEST_QUESTIONS or long < FEWEST_LONG:
        raise SystemExit(f"too few answers are safe to assert: {len(questions)}, {long} long")


if __name__ == "__main__":
    main()
