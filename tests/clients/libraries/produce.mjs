// Pushes jobs with a library: produce.mjs LIBRARY KIND FIRST COUNT; as produce.py, which says what for.
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { folder, note } from "./bodies.mjs";

const [name, kind, first, count] = process.argv.slice(2).map((word, n) => (n < 2 ? word : Number(word)));
const library = await import(`./${name}.mjs`);
const tryMaxMs = 20_000;

async function push(number) {
  const deadline = Date.now() + tryMaxMs;
  let began;
  for (;;) {
    began = Date.now();
    try {
      await library.enqueue(kind, `${kind}-${number}`);
      break;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      note("failed", `${kind}-${number} ${error}\n`);
      await sleep(50);
    }
  }
  note("acked", `${kind}-${number} ${began / 1000}\n`);
}

if (kind === "results") {
  for (let number = first; number < first + count; number++) {
    const found = await library.result(`plain-${number}`);
    if (found !== `plain-${number}`) throw new Error(`the result of plain-${number} is ${found}`);
  }
} else {
  for (let number = first; count ? number < first + count : !existsSync(`${folder}/enough`); number++) {
    await push(number);
    if (!count) await sleep(5);
  }
}
process.exit(0);
