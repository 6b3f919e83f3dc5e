"""Packs documents into rows of equal length, and says which tokens count for the loss."""

from random import Random

import torch

import chat
import corpus

ANSWER_WEIGHT, OTHER_WEIGHT = 1.0, 0.1
HIDDEN = -1e9
QUEUE = 8  # documents to choose from when a row is nearly full


class Packer:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.start = tokenizer.token_to_id(chat.IM_START)
        self.end = tokenizer.token_to_id(chat.IM_END)
        self.padding = tokenizer.token_to_id(chat.END_OF_TEXT)
        self.answer_opening = tokenizer.encode("assistant\n").ids

    def encode(self, text: str) -> tuple[list[int], list[float]]:
        """Token ids, and each token's weight as a target."""
        ids = self.tokenizer.encode(text).ids
        weights = [OTHER_WEIGHT] * len(ids)
        if ids[0] != self.start:  # a bare text
            return ids, [ANSWER_WEIGHT] * len(ids)
        opening = [self.start, *self.answer_opening]
        index = 0
        while index < len(ids):
            if ids[index:index + len(opening)] == opening:
                index += len(opening)
                while index < len(ids):
                    weights[index] = ANSWER_WEIGHT
                    if ids[index] == self.end:
                        break
                    index += 1
            index += 1
        return ids, weights

    def short_rows(self, rng: Random, rows: int, length: int, mix: corpus.Mix):
        """First fit from a short queue; documents of a row do not see each other.

        Documents longer than a row are left to the longer rows.
        """
        queue = []
        packed = []
        for _ in range(rows):
            row, free = [], length
            while True:
                while len(queue) < QUEUE:
                    queue += [doc for doc in [self.encode(corpus.document(rng, mix))]
                              if len(doc[0]) <= length]
                document = next((doc for doc in queue if len(doc[0]) <= free), None)
                if document is None:
                    break
                queue.remove(document)
                row.append(document)
                free -= len(document[0])
            packed.append(row)
        return self._batch(packed, length)

    def long_rows(self, rng: Random, rows: int, length: int, mix: corpus.Mix):
        """One conversation per row, cut at the row's end."""
        packed = []
        for _ in range(rows):
            ids, weights = self.encode(corpus.long_document(rng, length // 20, mix))
            packed.append([(ids[:length], weights[:length])])
        return self._batch(packed, length)

    def _batch(self, packed, length: int):
        """tokens, targets and weights [rows, length]; additive mask [rows, 1, length, length]."""
        tokens = torch.full((len(packed), length), self.padding)
        weights = torch.zeros(len(packed), length)
        owner = torch.full((len(packed), length), -1)
        for index, row in enumerate(packed):
            at = 0
            for number, (ids, values) in enumerate(row):
                tokens[index, at:at + len(ids)] = torch.tensor(ids)
                # weights[t] belongs to the prediction made at t, so it is the next token's.
                weights[index, at:at + len(ids) - 1] = torch.tensor(values[1:])
                owner[index, at:at + len(ids)] = number
                at += len(ids)
        targets = torch.cat([tokens[:, 1:], torch.full((len(packed), 1), self.padding)], dim=1)
        if all(len(row) == 1 for row in packed):
            return tokens, targets, weights, None
        seen = (owner[:, :, None] == owner[:, None, :]) & torch.ones(length, length).tril().bool()
        mask = torch.zeros(seen.shape).masked_fill(~seen, HIDDEN)[:, None]
        return tokens, targets, weights, mask
