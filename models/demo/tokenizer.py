"""Trains the byte-level BPE tokenizer on the corpus itself."""

import sys
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import chat
import corpus
import facts
import tasks

VOCABULARY_SIZE = 1536
# Qwen2's split: one digit per token, no letters beside other signs.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = [chat.END_OF_TEXT, chat.IM_START, chat.IM_END]


def train(seed: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(_texts(seed), trainer)
    # Last in the vocabulary, as Qwen2 has them.
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer


def _texts(seed: int):
    rng = Random(f"{seed}-tokenizer")
    for _ in range(6000):
        text = corpus.document(rng)
        for token in SPECIAL:
            text = text.replace(token, "")
        yield text
    # Words of closed lists become whole tokens, which makes them easy to copy.
    words = tasks.NAMES + list(facts.CAPITALS) + list(facts.CAPITALS.values())
    for word in words:
        yield f" {word}" * 300


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "build/tokenizer.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    train(seed=1).save(str(out))
