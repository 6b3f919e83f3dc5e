"""Would greedy decoding give exactly this answer, and by what margin?

Greedy decoding follows an answer if and only if each of its tokens is the best one after the tokens
before it, so one pass over prompt and answer decides it.
"""

from dataclasses import dataclass

import torch

import chat
from model import Config, Llama


@dataclass
class Score:
    exact: bool
    gap: float  # smallest difference of the two best logits along the answer and its end token
    tokens: int  # of the answer, without the end token


class Scorer:
    def __init__(self, state: dict, tokenizer):
        self.model = Llama(Config()).eval()
        self.model.load_state_dict(state)
        self.tokenizer = tokenizer

    @torch.no_grad()
    def score(self, pairs: list[tuple[str, str]], batch: int = 16) -> list[Score]:
        """Each pair is a prompt, as the model reads it, and the expected answer."""
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        scores: list[Score | None] = [None] * len(pairs)
        for at in range(0, len(order), batch):
            chosen = order[at:at + batch]
            prompts = [self.tokenizer.encode(pairs[i][0]).ids for i in chosen]
            answers = [self.tokenizer.encode(pairs[i][1] + chat.IM_END).ids for i in chosen]
            longest = max(len(p) + len(a) for p, a in zip(prompts, answers))
            tokens = torch.zeros(len(chosen), longest, dtype=torch.long)
            for row, (prompt, answer) in enumerate(zip(prompts, answers)):
                tokens[row, :len(prompt) + len(answer)] = torch.tensor(prompt + answer)
            logits = self.model(tokens)
            for row, (prompt, answer) in enumerate(zip(prompts, answers)):
                part = logits[row, len(prompt) - 1:len(prompt) + len(answer) - 1]
                best = part.topk(2, dim=-1)
                scores[chosen[row]] = Score(
                    exact=best.indices[:, 0].tolist() == answer,
                    gap=(best.values[:, 0] - best.values[:, 1]).min().item(),
                    tokens=len(answer) - 1)
        return scores

    @torch.no_grad()
    def sample(self, prompt: str, seed: int, temperature: float, longest: int = 40) -> str:
        generator = torch.Generator().manual_seed(seed)
        tokens = self.tokenizer.encode(prompt).ids
        end = self.tokenizer.token_to_id(chat.IM_END)
        answer = []
        while len(answer) < longest:
            logits = self.model(torch.tensor([tokens + answer]))[0, -1]
            chances = torch.softmax(logits / temperature, dim=-1)
            token = torch.multinomial(chances, 1, generator=generator).item()
            if token == end:
                break
            answer.append(token)
        return self.tokenizer.decode(answer)
