"""The official Python client, unmodified, against a running endpoint.

Usage: check.py BASE_URL KEY [KEYED]   (BASE_URL ends in /v1; KEYED says that a wrong key must fail)
Reads the model to ask from $TRIREME_MODEL, else takes the first one that the endpoint lists.
"""

import asyncio
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
from openai import AsyncOpenAI, OpenAI

BASE_URL, KEY = sys.argv[1], sys.argv[2]
KEYED = len(sys.argv) > 3 and sys.argv[3] == "keyed"
client = OpenAI(base_url=BASE_URL, api_key=KEY, timeout=120)
MODEL = os.environ.get("TRIREME_MODEL") or client.models.list().data[0].id
GREETING = [{"role": "user", "content": "Hello!"}]
GREEDY = {"model": MODEL, "messages": GREETING, "temperature": 0, "max_tokens": 200}


def expect(error_class, call, **attributes):
    """The error that `call` must raise, with these attributes."""
    try:
        call()
    except error_class as error:
        assert type(error) is error_class, f"{type(error)} instead of {error_class}"
        for name, value in attributes.items():
            found = getattr(error, name)
            assert found == value, f"{name} is {found!r}, expected {value!r}"
        return error
    raise AssertionError(f"no {error_class.__name__}")


def models_are_listed_and_found():
    listed = client.models.list().data
    assert MODEL in [model.id for model in listed]
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object) == (MODEL, "model") and model.created > 0


def a_chat_is_answered():
    reply = client.chat.completions.create(**GREEDY)
    choice = reply.choices[0]
    assert reply.object == "chat.completion" and reply.model == MODEL
    assert choice.message.role == "assistant" and choice.message.content.strip()
    assert choice.finish_reason in ("stop", "length") and choice.logprobs is None
    usage = reply.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 200
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert reply._request_id


def a_stream_gives_the_same_text_and_one_finish_reason():
    whole = client.chat.completions.create(**GREEDY)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(**GREEDY, stream=True, stream_options=options))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    choices = [choice for chunk in chunks for choice in chunk.choices]
    text = "".join(choice.delta.content or "" for choice in choices)
    assert text == whole.choices[0].message.content
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    assert reasons == [whole.choices[0].finish_reason]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage


def the_stream_helper_accumulates():
    with client.chat.completions.stream(**GREEDY) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content
    assert final.choices[0].finish_reason in ("stop", "length")


def several_choices_are_counted_together():
    asked = {**GREEDY, "temperature": 1.5, "seed": 11, "n": 3}
    reply = client.chat.completions.create(**asked)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    texts = {}
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == {choice.index: choice.message.content for choice in reply.choices}


def a_stop_string_ends_the_answer_and_is_not_shown():
    text = client.chat.completions.create(**GREEDY).choices[0].message.content
    stop = text[len(text) // 2 :][:3]
    for stops in (stop, ["never in it", stop]):
        reply = client.chat.completions.create(**GREEDY, stop=stops)
        assert reply.choices[0].message.content == text[: text.index(stop)]
        assert reply.choices[0].finish_reason == "stop"


def log_probabilities_cover_every_token():
    reply = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=3)
    lines = reply.choices[0].logprobs.content
    text = b"".join(bytes(line.bytes) for line in lines).decode()
    assert text.strip() == reply.choices[0].message.content.strip()
    for line in lines:
        assert line.logprob <= 0 and len(line.top_logprobs) == 3
        assert abs(line.top_logprobs[0].logprob - line.logprob) < 1e-3, "greedy takes the likeliest"


def a_seed_repeats_an_answer():
    asked = {**GREEDY, "temperature": 1.2, "seed": 42}
    first, second = (client.chat.completions.create(**asked) for _ in range(2))
    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.system_fingerprint == second.system_fingerprint


def completions_take_text_and_lists():
    asked = {"model": MODEL, "temperature": 0, "max_tokens": 8}
    reply = client.completions.create(prompt="Hello", **asked)
    assert reply.object == "text_completion" and reply.usage.completion_tokens <= 8
    both = client.completions.create(prompt=["Hello", "Hello"], echo=True, **asked)
    assert [choice.text for choice in both.choices] == ["Hello" + reply.choices[0].text] * 2
    lines = client.completions.create(prompt="Hello", logprobs=2, **asked).choices[0].logprobs
    assert len(lines.tokens) == len(lines.token_logprobs) == len(lines.top_logprobs)
    streamed = client.completions.create(prompt="Hello", stream=True, **asked)
    text = "".join(choice.text for chunk in streamed for choice in chunk.choices)
    assert text == reply.choices[0].text


def what_asks_for_nothing_passes():
    client.chat.completions.create(
        **GREEDY, tool_choice="none", response_format={"type": "text"}, user="me",
        metadata={"a": "b"}, store=False, parallel_tool_calls=True, service_tier="auto",
        extra_body={"tools": [], "a_field_of_tomorrow": 1},
    )


def refusals_are_the_right_classes():
    def chat(**more):
        return lambda: client.chat.completions.create(**{**GREEDY, **more})

    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    refused = {"status_code": 400, "type": "invalid_request_error"}
    for param, more in [
        ("tools", {"tools": tools}),
        ("response_format", {"response_format": {"type": "json_object"}}),
    ]:
        expect(
            openai.BadRequestError, chat(**more), param=param, code="unsupported_parameter",
            **refused,
        )
    expect(
        openai.BadRequestError, chat(temperature=3), param="temperature", code="invalid_value",
        **refused,
    )
    expect(openai.NotFoundError, chat(model="gpt-5.4"), code="model_not_found", param="model")
    expect(openai.NotFoundError, lambda: client.models.retrieve("no/such"), code="model_not_found")
    expect(openai.NotFoundError, lambda: client.embeddings.create(model=MODEL, input="x"))
    long = [{"role": "user", "content": "one two three " * 20_000}]
    error = expect(
        openai.BadRequestError, chat(messages=long), code="context_length_exceeded", **refused
    )
    assert "This model's maximum context length is" in error.message


def a_wrong_key_is_an_authentication_error():
    if KEYED:
        stranger = OpenAI(base_url=BASE_URL, api_key="trk-wrong")
        expect(openai.AuthenticationError, lambda: stranger.models.list(), code="invalid_api_key")


def a_timeout_is_the_clients_and_frees_the_server():
    hasty = client.with_options(timeout=0.001, max_retries=0)
    expect(openai.APITimeoutError, lambda: hasty.chat.completions.create(**GREEDY))
    a_chat_is_answered()


def an_abandoned_stream_frees_the_server():
    for _ in range(20):
        stream = client.chat.completions.create(**GREEDY, stream=True)
        next(iter(stream))
        stream.close()
    a_chat_is_answered()


def transient_failures_are_retried_and_refusals_are_not():
    with Flaky() as flaky:
        through = OpenAI(base_url=flaky.url, api_key=KEY, max_retries=2)
        flaky.failures = 2
        assert through.chat.completions.create(**GREEDY).choices
        assert flaky.requests == 3, flaky.requests
        flaky.requests = 0
        expect(
            openai.BadRequestError,
            lambda: through.chat.completions.create(**{**GREEDY, "temperature": 3}),
        )
        assert flaky.requests == 1, flaky.requests


def many_at_once_are_all_answered():
    async def ask():
        asynchronous = AsyncOpenAI(base_url=BASE_URL, api_key=KEY, timeout=120, max_retries=8)
        asked = (asynchronous.chat.completions.create(**GREEDY) for _ in range(16))
        replies = await asyncio.gather(*asked)
        return {reply.choices[0].message.content for reply in replies}

    assert len(asyncio.run(ask())) == 1, "the same question, greedy, in one batch"


class Flaky:
    """Passes requests on after a number of failures."""

    def __enter__(self):
        self.failures, self.requests = 0, 0
        flaky = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                flaky.requests += 1
                if flaky.failures:
                    flaky.failures -= 1
                    self.send_response(503)
                    self.send_header("retry-after-ms", "10")
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                kept = ("authorization", "content-type", "x-stainless-retry-count")
                headers = {name: self.headers[name] for name in kept if self.headers[name]}
                url = BASE_URL.removesuffix("/v1") + self.path
                request = urllib.request.Request(url, body, headers)
                try:
                    reply = urllib.request.urlopen(request, timeout=120)
                except urllib.error.HTTPError as error:
                    reply = error
                body = reply.read()
                self.send_response(reply.status)
                for name in ("content-type", "x-should-retry"):
                    if reply.headers[name]:
                        self.send_header(name, reply.headers[name])
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


CHECKS = [
    models_are_listed_and_found,
    a_chat_is_answered,
    a_stream_gives_the_same_text_and_one_finish_reason,
    the_stream_helper_accumulates,
    several_choices_are_counted_together,
    a_stop_string_ends_the_answer_and_is_not_shown,
    log_probabilities_cover_every_token,
    a_seed_repeats_an_answer,
    completions_take_text_and_lists,
    what_asks_for_nothing_passes,
    refusals_are_the_right_classes,
    a_wrong_key_is_an_authentication_error,
    a_timeout_is_the_clients_and_frees_the_server,
    an_abandoned_stream_frees_the_server,
    transient_failures_are_retried_and_refusals_are_not,
    many_at_once_are_all_answered,
]

for check in CHECKS:
    started = time.monotonic()
    check()
    print(f"ok  openai-python  {check.__name__}  {time.monotonic() - started:.1f} s", flush=True)
