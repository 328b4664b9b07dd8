// A client as a Unity or browser game writes it: a plain WebSocket with events, no headers, and a line that may break.
//
//     hotseat serve --games examples --mode star
//     node examples/unity_like_client.js [URL]
//
// Node 22 or newer has the browsers' WebSocket built in (20 and 21: node --experimental-websocket); no package is
// needed. It plays four hours of the game in own_game/. In the third the line is cut right behind a question, as a
// phone's would be: the game connects again, takes up its session, and asks the same turn again, which is not decided
// twice.
"use strict";

const MATCH = "unity-night";
const SESSION = "unity-keeper";
const HOURS = 4;
const CUT_IN_HOUR = 3;
const DEADLINE_MS = 10_000;
const PATIENCE_MS = 30_000;

class LineCut extends Error {}

/** One connection. Every message carries an `id`; what answers it comes back with that as `reply_to`. */
class Hotseat {
  constructor(socket) {
    this.socket = socket;
    this.lastId = 0;
    this.waiting = new Map();
    socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    socket.onclose = () => {
      for (const id of [...this.waiting.keys()]) this.settle(id, "fail", new LineCut("the line was cut"));
    };
  }

  /** Connect and say hello. Browsers cannot set headers, so the token, if there is one, goes into the hello. */
  static async connect(url, token) {
    const socket = new WebSocket(url, "hotseat.v1");
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new LineCut(`no server listens on ${url} (yet): loading its model takes a while`));
    });
    socket.onerror = null;
    const hotseat = new Hotseat(socket);
    const hello = { type: "hello", protocol: "hotseat.v1", client: "unity-like", token };
    hotseat.welcome = await hotseat.ask("welcome", hello);
    return hotseat;
  }

  /** Send a message; the promise is kept by its answer of type `expected`, and broken by an error. */
  ask(expected, message) {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.settle(id, "fail", new Error(`no answer to ${message.type}`)), PATIENCE_MS);
      this.waiting.set(id, { expected, timer, keep: resolve, fail: reject });
      if (this.socket.readyState !== WebSocket.OPEN) this.settle(id, "fail", new LineCut("the line was cut"));
      else this.socket.send(JSON.stringify({ ...message, id }));
    });
  }

  hear(message) {
    const waits = this.waiting.get(message.reply_to);
    if (message.type === "error") {
      const error = new Error(`${message.code}: ${message.message}`);
      if (waits) this.settle(message.reply_to, "fail", error);
      else console.error(String(error));
    } else if (waits && message.type === waits.expected) {
      this.settle(message.reply_to, "keep", message);
    } // Other types are first answers of two (session.opened), or newer than this client.
  }

  settle(id, how, value) {
    const waits = this.waiting.get(id);
    if (!waits) return;
    clearTimeout(waits.timer);
    this.waiting.delete(id);
    waits[how](value);
  }
}

/** The game: it owns the state, and every change goes into the patch of the next frame. */
class Night {
  constructor() {
    this.frame = 0;
    this.patch = [];
    this.state = {
      hour: 0,
      coast: { reef: { bearing: "north", depth_feet: 4 }, harbour: { bearing: "west", berths: 2 } },
      ships: [
        { id: "gull", kind: "brig", miles: 5, course: "homeward" },
        { id: "heron", kind: "collier", miles: 4, course: "towards the reef" },
      ],
    };
  }

  change(pointer, value) {
    const steps = pointer.slice(1).split("/");
    const last = steps.pop();
    steps.reduce((inside, step) => inside[step], this.state)[last] = value;
    this.patch.push({ op: "replace", path: pointer, value });
  }
}

/** Connect, or connect again: match and session are found as they were, by their names. */
async function join(url, night) {
  for (let attempt = 1; ; attempt++) {
    try {
      const hotseat = await Hotseat.connect(url, process.env.HOTSEAT_TOKEN);
      const match = await hotseat.ask("match.opened", { type: "match.open", match: MATCH, game: "own_game" });
      if (night.frame === 0) night.frame = (match.frame ?? 0) + 1; // a match of an earlier run goes on
      if (match.frame === undefined || match.frame < night.frame) {
        // It is new, or missed the last frame, or the server was killed and is at an older one: tell it everything.
        const whole = { type: "match.state", match: MATCH, frame: night.frame, state: night.state };
        await hotseat.ask("match.applied", whole);
      }
      night.patch = []; // either way the server has it all now
      const opening = { type: "session.open", session: SESSION, match: MATCH, persona: "keeper" };
      const session = await hotseat.ask("session.opened", opening);
      return { hotseat, resumed: session.resumed, lastTurnId: session.last_turn_id ?? 0 };
    } catch (error) {
      if (!(error instanceof LineCut) || attempt === 5) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
    }
  }
}

async function main(url) {
  const night = new Night();
  let { hotseat, resumed, lastTurnId } = await join(url, night);
  console.log(`${hotseat.welcome.server}: session ${resumed ? "resumed" : "new"}, frame ${night.frame}`);

  /** Do something until it is done, whatever happens to the line. */
  async function steadily(what, act) {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof LineCut)) throw error;
        ({ hotseat, resumed } = await join(url, night));
        console.log(`${what}: the line was cut; session ${resumed ? "resumed" : "new"}, said again`);
      }
    }
  }

  for (let hour = 1; hour <= HOURS; hour++) {
    night.change("/hour", 19 + hour);
    night.change("/ships/1/miles", 5 - hour);
    const base = night.frame++;
    await steadily(`hour ${hour}`, async () => {
      const changes = { type: "match.state", match: MATCH, frame: night.frame, base, patch: night.patch };
      if (night.patch.length) await hotseat.ask("match.applied", changes);
      night.patch = [];
    });

    const turn = {
      type: "turn",
      session: SESSION,
      turn_id: ++lastTurnId,
      frame: night.frame,
      observation: "What do you do this hour?",
      actions: [
        { id: "hail", text: "call to a ship", schema: {
          type: "object", properties: { ship: { enum: ["gull", "heron"] } }, required: ["ship"] } },
        { id: "light the lamp" },
        { id: "wait" },
      ],
      deadline_ms: DEADLINE_MS,
    };
    let cuts = hour === CUT_IN_HOUR;
    const result = await steadily(`hour ${hour}`, () => {
      const answer = hotseat.ask("turn.result", turn); // an equal body: if it was decided meanwhile, this is its result
      if (cuts) hotseat.socket.close();
      cuts = false;
      return answer;
    });

    // At the deadline the game does something of its own; the server never makes an action up.
    const action = result.action ?? { id: "wait" };
    const done = `${action.id} ${action.args?.ship ?? ""}`.trim();
    const cost = result.account ? `${result.account.tokens_computed} tokens computed` : "no account";
    console.log(`hour ${hour}: ${result.outcome}, ${done}; ${cost}`);
    const applied = { type: "turn.applied", session: SESSION, turn_id: lastTurnId, ok: true };
    if (result.action) await steadily(`hour ${hour}`, () => hotseat.ask("turn.noted", applied));
  }
  hotseat.socket.close(1000);
}

if (typeof WebSocket === "undefined") {
  console.error("This Node has no WebSocket: take 22 or newer, or node --experimental-websocket (20, 21).");
  process.exitCode = 1;
} else {
  main(process.argv[2] ?? "ws://127.0.0.1:8765").catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
