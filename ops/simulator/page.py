"""The small web page: boxes, money and faults, drawn from `/simulator` once a second.

Owns its text alone. Whatever comes from outside is put on the page as text, never as markup.
"""

from __future__ import annotations

PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>simulator</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .6rem .25rem 0;
border-bottom: 1px solid #ddd; vertical-align: top } .n { text-align: right; font-variant-numeric: tabular-nums }
.none { color: #777 } button, select, input { font: inherit } #error { color: #a00 } #about { color: #555 }
</style></head><body>
<h1>Simulated marketplace</h1>
<p id="money">…</p><p id="error" role="alert"></p>
<h2>Boxes</h2><table><thead><tr><th>box</th><th>label</th><th>card</th><th>status</th><th>message</th>
<th class="n">age, s</th><th class="n">GPU, s</th><th class="n">$</th><th>faults</th></tr></thead>
<tbody id="boxes"></tbody></table>
<h2>Cause a fault</h2>
<p><label>Fault <select id="fault"></select></label> <label>Box <select id="box"></select></label>
<label>Parameters (JSON) <input id="parameters" size="44"></label> <button id="cause">Cause</button></p>
<p id="about"></p>
<h2>Rules in force</h2><table><tbody id="rules"></tbody></table>
<h2>What struck</h2><table><tbody id="struck"></tbody></table>
<h2>Past boxes</h2><table><tbody id="past"></tbody></table>
<script>
"use strict";
const $ = id => document.getElementById(id);
const row = cells => { const tr = document.createElement("tr");
  for (const cell of cells) { const td = document.createElement("td");
    if (cell instanceof Node) td.append(cell); else td.textContent = cell ?? "";
    if (typeof cell === "number") { td.className = "n"; td.textContent = cell.toFixed(cell % 1 ? 4 : 0); }
    tr.append(td); } return tr; };
const fill = (id, rows) => $(id).replaceChildren(...(rows.length ? rows : [row(["none"])]));
const options = (select, values) => { const kept = select.value;
  if ([...select.options].map(o => o.value).join() === values.map(v => v[0]).join()) return;
  select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
  if (values.some(v => v[0] === kept)) select.value = kept; };
let possible = {};
const about = () => { const fault = possible[$("fault").value];
  if (fault) { $("about").textContent = fault.about;
    $("parameters").placeholder = JSON.stringify(fault.parameters); } };
const send = async (method, path, body) => {
  try { const reply = await fetch(path, {method, headers: {"Content-Type": "application/json"},
      body: JSON.stringify(body ?? {})}); const data = await reply.json();
    $("error").textContent = reply.ok ? "" : data.msg; } catch (error) { $("error").textContent = error; } draw(); };
const remove = rule => { const button = document.createElement("button"); button.textContent = "remove";
  button.onclick = () => send("DELETE", "/simulator/faults/" + rule.id); return button; };
$("fault").onchange = about;
$("cause").onclick = () => { let given = {};
  try { given = JSON.parse($("parameters").value || "{}"); } catch (e) { $("error").textContent = e; return; }
  const box = $("box").value, body = {fault: $("fault").value, ...given};
  send("POST", box ? `/simulator/boxes/${box}/faults` : "/simulator/faults", body); };
const draw = async () => { let all;
  try { all = await (await fetch("/simulator")).json(); } catch (error) {
    $("money").textContent = "The simulator does not answer."; return; }
  possible = all.possible_faults;
  $("money").textContent = `$${all.money.spent.toFixed(4)} spent, $${all.money.credit.toFixed(2)} left, ` +
    `$${all.money.dollars_an_hour.toFixed(3)} an hour now; ${all.machines.rented} of ${all.machines.total} machines ` +
    `rented; speed ${all.speed}, seed ${all.seed}; SSH as ${all.ssh_user}`;
  fill("boxes", all.boxes.map(b => row([String(b.id), b.label, b.gpu_name, b.actual_status ?? "null", b.status_msg,
    b.age_seconds, b.bill.seconds?.gpu ?? 0, b.bill.amount ?? 0, Object.keys(b.faults).join(", ")])));
  fill("rules", all.faults.rules.map(r => row([r.fault, JSON.stringify(r.parameters), `p ${r.probability}`,
    `seen ${r.seen}`, `struck ${r.struck}`, remove(r)])));
  fill("struck", all.faults.struck.slice(-20).reverse().map(s => row([new Date(s.at * 1000).toLocaleTimeString(),
    s.fault, s.where])));
  fill("past", all.past_boxes.slice(-20).reverse().map(p => row([String(p.id), p.label, p.gpu_name,
    p.bill.seconds?.gpu ?? 0, p.bill.seconds?.storage ?? 0, p.amount])));
  options($("fault"), Object.keys(possible).map(name => [name, name]));
  options($("box"), [["", "by rule, from now on"], ...all.boxes.map(b => [String(b.id), `box ${b.id}, now`])]);
  about(); };
draw(); setInterval(draw, 1000);
</script></body></html>
"""
