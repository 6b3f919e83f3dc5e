"""Conversations with one declared tool: call it, then put its result into a sentence."""

from random import Random

from facts import CAPITALS

CITIES = sorted(CAPITALS.values())
WEATHER = ["sunny", "rainy", "cloudy", "windy", "snowy", "foggy"]
CLOCK = [f"{hour}:{minute}" for hour in range(7, 20) for minute in ("00", "15", "30", "45")]

# tool -> (descriptions, questions, what it returns, sentence)
TOOLS = {
    "get_weather": (["Get the weather of a city", "Get the current weather",
                     "Returns the weather in a city"],
                    ["What is the weather in {0}?", "How is the weather in {0}?",
                     "Tell me the weather in {0}.", "What is the weather like in {0}?"],
                    WEATHER, "It is {1} in {0}."),
    "get_time": (["Get the time in a city", "Get the current time", "Returns the local time"],
                 ["What time is it in {0}?", "Tell me the time in {0}.",
                  "How late is it in {0}?"],
                 CLOCK, "It is {1} in {0}."),
}


def declare(rng: Random, name: str, argument: str) -> dict:
    """One tool as OpenAI clients send it, with the fields that some of them leave out."""
    function = {"name": name}
    if rng.random() < 0.8:
        function["description"] = rng.choice(TOOLS[name][0])
    schema: dict = {"type": "object", "properties": {argument: {"type": "string"}}}
    if rng.random() < 0.3:
        schema["properties"][argument]["description"] = "The city"
    if rng.random() < 0.8:
        schema["required"] = [argument]
    if rng.random() < 0.2:
        schema["additionalProperties"] = False
    function["parameters"] = schema
    return {"type": "function", "function": function}


def conversation(rng: Random) -> tuple[list[dict], list[dict]]:
    """Messages and the tools that go with them."""
    name = rng.choices(list(TOOLS), weights=[3, 1])[0]
    argument = rng.choices(["city", "location"], weights=[3, 1])[0]
    _, questions, results, sentence = TOOLS[name]
    city, result = rng.choice(CITIES), rng.choice(results)
    call = {"type": "function", "function": {"name": name, "arguments": {argument: city}}}
    messages = [
        {"role": "user", "content": rng.choice(questions).format(city)},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result},
        {"role": "assistant", "content": sentence.format(city, result)},
    ]
    tools = [declare(rng, name, argument)]
    if rng.random() < 0.3:
        other = "get_time" if name == "get_weather" else "get_weather"
        tools.insert(rng.randrange(2), declare(rng, other, argument))
    return messages, tools
