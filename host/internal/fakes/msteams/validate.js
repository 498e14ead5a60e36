// Judges Adaptive Cards with npm's adaptivecards. Standard input is a JSON list of cards; standard output a JSON list of what is
// wrong with each, as lists of texts. The argument is the file of the library: its entry for modules fails on Node.js 20.
"use strict";
const AC = require(process.argv[2]);
const cards = JSON.parse(require("fs").readFileSync(0, "utf8"));

// lost names the properties and elements of a card that the library did not understand: it leaves them out when it writes.
function lost(before, after, at) {
  if (before === null || typeof before !== "object") return [];
  const out = [];
  for (const key of Object.keys(before)) {
    if (at === "" && key === "msteams") continue; // an extension of Teams
    if (after === null || typeof after !== "object" || !(key in after)) {
      if (!unsaid(key, before[key])) out.push(`${at}/${key} is not understood`);
      continue;
    }
    out.push(...lost(before[key], after[key], `${at}/${key}`));
  }
  return out;
}

// unsaid tells whether a value is a default, which the library does not write.
function unsaid(key, value) {
  return (key === "spacing" || key === "style" || key === "size" || key === "weight") && String(value).toLowerCase() === "default";
}

console.log(JSON.stringify(cards.map((json) => {
  const context = new AC.SerializationContext(AC.Versions.v1_5);
  const card = new AC.AdaptiveCard();
  card.parse(json, context);
  const problems = [];
  for (let i = 0; i < context.eventCount; i++) problems.push(context.getEventAt(i).message);
  for (const event of card.validateProperties().validationEvents) problems.push(event.message);
  return problems.concat(lost(json, card.toJSON(), ""));
})));
