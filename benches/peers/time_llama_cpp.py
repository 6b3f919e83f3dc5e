#!/usr/bin/env python3
"""llama.cpp as a peer: loads a GGUF once, then times what it is asked on standard input.

  time_llama_cpp.py MODEL.gguf THREADS CONTEXT [LAYERS_ON_GPU]

Lines in:  prefill TOKENS | decode TOKENS CONTEXT      Lines out: "ready VERSION", then seconds.
Needs the PyPI package llama-cpp-python, built with native flags:
  CMAKE_ARGS="-DGGML_NATIVE=ON" pip install llama-cpp-python --no-binary llama-cpp-python
"""
import sys
import time

import llama_cpp


def tokens(count, vocabulary):
    return [(7919 * i + 13) % (vocabulary - 1000) for i in range(count)]


def timed(llm, ids, single):
    begun = time.perf_counter()
    if single:
        for token in ids:
            llm.eval([token])
    else:
        llm.eval(ids)
    return time.perf_counter() - begun


def main():
    path, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    layers_on_gpu = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    llm = llama_cpp.Llama(model_path=path, n_gpu_layers=layers_on_gpu, n_ctx=context, n_batch=512,
                          n_ubatch=512, n_threads=threads, n_threads_batch=threads, flash_attn=True,
                          use_mmap=True, verbose=False)
    vocabulary = llm.n_vocab()
    llm.eval(tokens(8, vocabulary))
    print("ready", llama_cpp.__version__, flush=True)
    filled = -1
    for line in sys.stdin:
        command, *numbers = line.split()
        count = int(numbers[0])
        if command == "prefill":
            llm.reset()
            llm._ctx.kv_cache_clear()
            seconds, filled = timed(llm, tokens(count, vocabulary), False), -1
        else:
            start = int(numbers[1])
            if filled == start:
                # The context is there from the last run: only what was decoded is dropped.
                llm.n_tokens = start
                llm._ctx.kv_cache_seq_rm(-1, start, -1)
            else:
                llm.reset()
                llm._ctx.kv_cache_clear()
                timed(llm, tokens(start, vocabulary), False)
            seconds, filled = timed(llm, tokens(count, vocabulary), True), start
        print(f"{seconds:.6f}", flush=True)


main()
