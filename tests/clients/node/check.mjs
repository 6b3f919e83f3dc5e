// The official Node client, unmodified, against a running endpoint.
//
// Usage: check.mjs BASE_URL KEY [keyed]   (BASE_URL ends in /v1; keyed: a wrong key must fail)
// Reads the model to ask from $TRIREME_MODEL, else takes the first one that the endpoint lists.

import assert from "node:assert/strict";
import http from "node:http";
import OpenAI from "openai";

const [baseURL, apiKey, keyed] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, timeout: 120_000 });
const model = process.env.TRIREME_MODEL || (await client.models.list()).data[0].id;
const greedy = {
  model,
  messages: [{ role: "user", content: "Hello!" }],
  temperature: 0,
  max_tokens: 200,
};
const chat = (more = {}, using = client) => using.chat.completions.create({ ...greedy, ...more });

async function refused(call, errorClass, fields) {
  const error = await call().then(() => assert.fail(`no ${errorClass.name}`), (e) => e);
  assert.ok(error instanceof errorClass, `${error.constructor.name}: ${error.message}`);
  for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value);
  return error;
}

/** Passes requests on after a number of failures. */
async function flaky(failures, use) {
  const counted = { requests: 0 };
  const server = http.createServer(async (request, response) => {
    counted.requests += 1;
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    if (failures-- > 0) {
      response.writeHead(503, { "retry-after-ms": "10" }).end();
      return;
    }
    const url = baseURL.replace(/\/v1$/, "") + request.url;
    const { authorization } = request.headers;
    const reply = await fetch(url, {
      method: "POST",
      body: Buffer.concat(pieces),
      headers: { authorization, "content-type": "application/json" },
    });
    const retry = reply.headers.get("x-should-retry");
    const headers = { "content-type": "application/json" };
    if (retry) headers["x-should-retry"] = retry;
    response.writeHead(reply.status, headers).end(await reply.text());
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const through = `http://127.0.0.1:${server.address().port}/v1`;
  try {
    await use(new OpenAI({ baseURL: through, apiKey, maxRetries: 2 }));
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return counted.requests;
}

const checks = {
  async models_are_listed_and_found() {
    const ids = [];
    for await (const found of client.models.list()) ids.push(found.id);
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).object, "model");
  },

  async a_chat_is_answered() {
    const reply = await chat();
    assert.equal(reply.object, "chat.completion");
    assert.ok(reply.choices[0].message.content.trim());
    assert.ok(["stop", "length"].includes(reply.choices[0].finish_reason));
    const { prompt_tokens, completion_tokens, total_tokens } = reply.usage;
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
    assert.ok(reply._request_id);
  },

  async a_stream_gives_the_same_text_and_one_finish_reason() {
    const whole = await chat();
    const stream = await chat({ stream: true, stream_options: { include_usage: true } });
    let text = "";
    const reasons = [];
    let usage = null;
    for await (const chunk of stream) {
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? "";
        if (choice.finish_reason) reasons.push(choice.finish_reason);
      }
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
    assert.deepEqual(usage, whole.usage);
  },

  async the_stream_helper_accumulates() {
    const runner = client.chat.completions.stream(greedy);
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.content, (await chat()).choices[0].message.content);
  },

  async several_choices_and_a_seed_repeat() {
    const asked = { temperature: 1.5, seed: 11, n: 3 };
    const texts = (reply) => reply.choices.map((choice) => choice.message.content);
    const [first, second] = [await chat(asked), await chat(asked)];
    assert.equal(first.choices.length, 3);
    assert.deepEqual(texts(first), texts(second));
  },

  async a_stop_string_ends_the_answer_and_is_not_shown() {
    const text = (await chat()).choices[0].message.content;
    const half = Math.floor(text.length / 2);
    const stop = text.slice(half, half + 3);
    const reply = await chat({ stop });
    assert.equal(reply.choices[0].message.content, text.slice(0, text.indexOf(stop)));
    assert.equal(reply.choices[0].finish_reason, "stop");
  },

  async log_probabilities_come_per_token() {
    const reply = await chat({ logprobs: true, top_logprobs: 2 });
    for (const line of reply.choices[0].logprobs.content) {
      assert.ok(line.logprob <= 0);
      assert.equal(line.top_logprobs.length, 2);
    }
  },

  async completions_are_answered() {
    const asked = { model, prompt: "Hello", temperature: 0, max_tokens: 8 };
    const whole = await client.completions.create(asked);
    let text = "";
    for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
      for (const choice of chunk.choices) text += choice.text;
    }
    assert.equal(text, whole.choices[0].text);
  },

  async refusals_are_the_right_classes() {
    const tools = [{ type: "function", function: { name: "f", parameters: {} } }];
    const bad = { status: 400, code: "unsupported_parameter", param: "tools" };
    await refused(() => chat({ tools }), OpenAI.BadRequestError, bad);
    const range = { code: "invalid_value", param: "temperature" };
    await refused(() => chat({ temperature: 3 }), OpenAI.BadRequestError, range);
    const unknown = { status: 404, code: "model_not_found" };
    await refused(() => chat({ model: "gpt-5.4" }), OpenAI.NotFoundError, unknown);
    const messages = [{ role: "user", content: "one two three ".repeat(20_000) }];
    const long = { code: "context_length_exceeded" };
    const error = await refused(() => chat({ messages }), OpenAI.BadRequestError, long);
    assert.match(error.message, /This model's maximum context length is \d+ tokens/);
    if (keyed === "keyed") {
      const stranger = new OpenAI({ baseURL, apiKey: "trk-wrong" });
      const code = { code: "invalid_api_key" };
      await refused(() => stranger.models.list(), OpenAI.AuthenticationError, code);
    }
  },

  async a_timeout_is_the_clients_and_frees_the_server() {
    const hasty = client.withOptions({ timeout: 1, maxRetries: 0 });
    await refused(() => chat({}, hasty), OpenAI.APIConnectionTimeoutError, {});
    assert.ok((await chat()).choices);
  },

  async an_abandoned_stream_frees_the_server() {
    for (let i = 0; i < 20; i += 1) {
      const stream = await chat({ stream: true });
      for await (const _ of stream) break;
      stream.controller.abort();
    }
    assert.ok((await chat()).choices);
  },

  async transient_failures_are_retried_and_refusals_are_not() {
    const retried = await flaky(2, async (through) => {
      assert.ok((await chat({}, through)).choices);
    });
    assert.equal(retried, 3);
    const once = await flaky(0, async (through) => {
      await refused(() => chat({ temperature: 3 }, through), OpenAI.BadRequestError, {});
    });
    assert.equal(once, 1);
  },
};

for (const [name, check] of Object.entries(checks)) {
  const started = performance.now();
  await check();
  console.log(`ok  openai-node    ${name}  ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
