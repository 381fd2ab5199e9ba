// What has happened to containers, the latest first, in docker's words.

import { byId, clock, make, say, visible } from "./dom.js";

const MOST = 500;
let missed = 0;

export function add(message) {
  const place = byId("event-rows");
  for (const event of message.events) {
    place.prepend(make("tr", {}, make("td", {}, make("time", {}, clock(event.at))), make("td", {}, visible(event.project)),
      make("td", {}, visible(event.name)), make("td", {}, visible(event.action) + (event.code ? ` (${visible(event.code)})` : ""))));
  }
  while (place.children.length > MOST) place.lastChild.remove();
  missed += message.missed;
  byId("events-missed").hidden = !missed;
  if (missed) say(byId("events-missed"), `${missed} events came too fast to be told here.`);
}
