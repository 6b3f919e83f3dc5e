"""The ChatML template, rendered the way `transformers` renders it."""

import json
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text().rstrip("\n")


def _compile(source: str):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(source)


_TEMPLATE = _compile(TEMPLATE)


def render(messages: list[dict], tools: list[dict] | None = None,
           add_generation_prompt: bool = False) -> str:
    return _TEMPLATE.render(messages=messages, tools=tools,
                            add_generation_prompt=add_generation_prompt)
