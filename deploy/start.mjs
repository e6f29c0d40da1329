// npm start: everything, from a fresh clone to a running fleet.
// This file must load on any Node, to say which one is needed: no import and
// no syntax here that an old one does not know.
const NEEDED = "20.20.2";

const have = process.versions.node.split(".").map(Number);
const need = NEEDED.split(".").map(Number);
const steps = have.map((number, at) => number - (need[at] || 0));
const step = steps.find((difference) => difference !== 0) || 0;

if (step < 0) {
  console.error(
    `twinstream needs Node ${NEEDED} or later; this is ${process.version}`,
  );
  process.exitCode = 1;
} else {
  import("./start/main.mjs").then(
    ({ main }) => main(process.argv.slice(2)),
    (error) => {
      console.error(error);
      process.exitCode = 1;
    },
  );
}
