// One conversation over the official JavaScript SDK: node talk.mjs PACKAGES VERSION URL WEBHOOK.
// Prints what it saw as one line of JSON.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [packages, version, url, webhook] = process.argv.slice(2);
const from = createRequire(`${packages}/package.json`);
const load = (name) => import(pathToFileURL(from.resolve(name)).href);

// What the conversation needs of a client, for each version: plain texts, ids and states.
const dialects = {
  "1.0": async () => {
    const { ClientFactory } = await load("@a2a-js/sdk/client");
    const client = await new ClientFactory().createFromUrl(url);
    const request = (text) => ({
      tenant: "",
      message: {
        messageId: randomUUID(), contextId: "", taskId: "", role: 1, extensions: [], referenceTaskIds: [],
        parts: [{ content: { $case: "text", value: text }, filename: "", mediaType: "text/plain" }],
      },
    });
    const names = ["", "submitted", "working", "completed", "failed", "canceled"];
    const read = ({ payload: { $case, value } }) => ({
      id: $case === "task" ? value.id : value.taskId,
      state: names[value.status?.state],
    });
    const words = (task) => task.status.message.parts.map((part) => part.content.value).join();
    return {
      send: async (text) => words(await client.sendMessage(request(text))),
      stream: (text) => client.sendMessageStream(request(text)),
      attach: (id) => client.resubscribeTask({ tenant: "", id }),
      cancel: async (id) => names[(await client.cancelTask({ tenant: "", id })).status.state],
      get: async (id) => names[(await client.getTask({ tenant: "", id })).status.state],
      push: async (taskId) => {
        const made = await client.createTaskPushNotificationConfig({
          tenant: "", id: "hook", taskId, url: webhook, token: "secret", authentication: undefined,
        });
        const { configs } = await client.listTaskPushNotificationConfig({ tenant: "", taskId });
        return [made, ...configs].map((config) => config.id);
      },
      read,
    };
  },
  0.3: async () => {
    const { ClientFactory } = await load("a2a-js-0.3/client");
    const client = await new ClientFactory().createFromUrl(url);
    const request = (text) => ({
      message: { kind: "message", messageId: randomUUID(), role: "user", parts: [{ kind: "text", text }] },
      configuration: { blocking: true },
    });
    const words = (task) => task.status.message.parts.map((part) => part.text).join();
    return {
      send: async (text) => words(await client.sendMessage(request(text))),
      stream: (text) => client.sendMessageStream(request(text)),
      attach: (id) => client.resubscribeTask({ id }),
      cancel: async (id) => (await client.cancelTask({ id })).status.state,
      get: async (id) => (await client.getTask({ id })).status.state,
      push: async (taskId) => {
        const made = await client.setTaskPushNotificationConfig({
          taskId, pushNotificationConfig: { id: "hook", url: webhook, token: "secret" },
        });
        const listed = await client.listTaskPushNotificationConfig({ id: taskId });
        return [made, ...listed].map((config) => config.pushNotificationConfig.id);
      },
      read: (event) => ({ id: event.kind === "task" ? event.id : event.taskId, state: event.status?.state }),
    };
  },
};

const client = await dialects[version]();
const first = async (events) => client.read((await events.next()).value);
const states = async (events) => {
  const seen = [];
  for await (const event of events) seen.push(client.read(event).state);
  return seen;
};

const seen = { answer: await client.send("hello"), streamed: await states(client.stream("progress")) };

const stopped = client.stream("wait");
const { id } = await first(stopped);
seen.cancelled = await client.cancel(id);
seen.after_cancelling = (await states(stopped)).at(-1);

const left = client.stream("wait");
const again = (await first(left)).id;
await left.return();
seen.hooks = await client.push(again);
const attached = client.attach(again);
seen.attached = (await first(attached)).id === again;
await client.send("release");
seen.attached_to = (await states(attached)).at(-1);
seen.kept = await client.get(again);
seen.unknown = await client.get("none").catch((error) => error.name);

console.log(JSON.stringify(seen));
