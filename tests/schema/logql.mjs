// What Grafana's own grammar of LogQL does not understand: reads a JSON list of queries, writes for each the texts at which
// it stumbles.
import { parser } from "@grafana/lezer-logql";
import { readFileSync } from "node:fs";

const stumbles = (query) => {
  const found = [];
  parser.parse(query).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) found.push(query.slice(from, Math.max(to, from + 20)));
    },
  });
  return found;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(stumbles)));
