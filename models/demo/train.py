"""Trains the demo model: `python train.py`. It resumes from build/checkpoint.pt if there is one."""

import argparse
import os
import signal
import time
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
import tokenizer as bpe
from model import Config, Llama
from rows import Packer

SEED = 1
TOKENS_PER_STEP = 2048
WARM_UP, FULL_RATE, DECAY, POLISH = 60, 1160, 330, 120
LONG_ROWS_FROM = WARM_UP + FULL_RATE + DECAY // 2  # then rows of 1,024 and 2,048 take turns
DRILL_FROM = 752
POLISH_FROM = WARM_UP + FULL_RATE + DECAY
STEPS = POLISH_FROM + POLISH
PEAK_RATE, POLISH_RATE = 1.5e-3, 4e-4
SAVE_EVERY_S = 180.0


def learning_rate(step: int) -> float:
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    if step < POLISH_FROM:
        return PEAK_RATE * min(1.0, (POLISH_FROM - step) / DECAY)
    return POLISH_RATE * (STEPS - step) / POLISH


def batch(packer: Packer, step: int):
    """The batch of a step depends on the seed and the step alone, so a resumed run is the same."""
    rng = Random(f"{SEED}-{step}")
    mix = (corpus.FIRST if step < DRILL_FROM else
           corpus.DRILL if step < POLISH_FROM else corpus.POLISH)
    if step < LONG_ROWS_FROM or step >= POLISH_FROM or step % 2 == 0:
        length = 512 if step % 4 == 0 else 256
        return packer.short_rows(rng, TOKENS_PER_STEP // length, length, mix)
    length = 1024 if step % 4 == 1 else 2048
    return packer.long_rows(rng, TOKENS_PER_STEP // length, length, mix)


def loss_of(model: Llama, tokens, targets, weights, mask):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(tokens, mask)
    losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    answers = weights.flatten() == 1
    return (losses * weights.flatten()).sum() / weights.sum(), losses[answers].mean().item()


def save(path: Path, model, optimizer, step: int, seconds: float):
    """Written aside and renamed: a cut leaves the old checkpoint whole."""
    aside = path.with_suffix(".new")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
                "seconds": seconds}, aside)
    os.replace(aside, path)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--build", type=Path, default=Path("build"))
    arguments.add_argument("--stop-after", type=int, default=STEPS, help="for measuring speed")
    arguments = arguments.parse_args()
    arguments.build.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    torch.manual_seed(SEED)

    tokenizer_path = arguments.build / "tokenizer.json"
    if not tokenizer_path.exists():
        bpe.train(SEED).save(str(tokenizer_path))
    packer = Packer(Tokenizer.from_file(str(tokenizer_path)))

    model = Llama(Config())
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)
    first, seconds_before = 0, 0.0
    checkpoint = arguments.build / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        for group in optimizer.param_groups:  # an unfused run may have been saved
            group["fused"], group["foreach"] = True, False
        first, seconds_before = state["step"], state["seconds"]
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, steps {first} to {STEPS}", flush=True)

    began = saved = time.monotonic()
    average, data_seconds = None, 0.0
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    step = first - 1
    for step in range(first, min(STEPS, arguments.stop_after)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        at = time.monotonic()
        rows = batch(packer, step)
        data_seconds += time.monotonic() - at
        loss, answer_loss = loss_of(model, *rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average = answer_loss if average is None else 0.95 * average + 0.05 * answer_loss
        if step % 20 == 19:
            spent = time.monotonic() - began
            rate = (step + 1 - first) * TOKENS_PER_STEP / spent
            print(f"step {step + 1} answer loss {average:.4f} {rate:.0f} tokens/s "
                  f"{spent + seconds_before:.0f} s (data {data_seconds:.0f} s)", flush=True)
        if stop or time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            save(checkpoint, model, optimizer, step + 1, saved - began + seconds_before)
        if stop:
            break
    seconds = time.monotonic() - began + seconds_before
    if step + 1 == STEPS:
        save(checkpoint, model, optimizer, STEPS, seconds)
    print(f"stopped after step {step + 1} of {STEPS}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
