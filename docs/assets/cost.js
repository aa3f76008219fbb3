/* Seconds and memory of a fit, from the sizes that were measured (cost-data.js): no request leaves the page. */
(function () {
  "use strict";
  var NEAREST = 4, KERNEL = 3000; // rows up to which deep is an exact kernel

  function log(value) { return Math.log(Math.max(value, 1)); }

  // least squares of log(value) on log(n) and log(p), by the normal equations
  function slopes(rows, key) {
    var n = rows.map(function (r) { return log(r.n); }), p = rows.map(function (r) { return log(r.p); });
    var y = rows.map(function (r) { return Math.log(r[key]); });
    function mean(v) { return v.reduce(function (a, b) { return a + b; }, 0) / v.length; }
    var mn = mean(n), mp = mean(p), my = mean(y), nn = 1e-3, pp = 1e-1, np = 0, ny = 0, py = 0;
    for (var i = 0; i < rows.length; i++) {
      nn += (n[i] - mn) * (n[i] - mn); pp += (p[i] - mp) * (p[i] - mp); np += (n[i] - mn) * (p[i] - mp);
      ny += (n[i] - mn) * (y[i] - my); py += (p[i] - mp) * (y[i] - my);
    }
    var det = nn * pp - np * np;
    // more rows or covariates never cost less
    return [Math.max(0, (ny * pp - py * np) / det), Math.max(0, (py * nn - ny * np) / det)];
  }

  function predicted(rows, key, n, p) {
    var known = rows.filter(function (r) { return r[key] !== null; });
    if (!known.length) { return null; }
    var slope = slopes(known, key);
    var near = known.map(function (r) {
      return {row: r, far: Math.abs(log(n) - log(r.n)) + 0.5 * Math.abs(log(p) - log(r.p))};
    }).sort(function (a, b) { return a.far - b.far; }).slice(0, NEAREST);
    var found = near.map(function (each) {
      var moved = Math.log(each.row[key]) + slope[0] * (log(n) - log(each.row.n)) + slope[1] * (log(p) - log(each.row.p));
      return {value: moved, weight: 1 / (0.05 + each.far * each.far)};
    });
    var total = 0, sum = 0;
    found.forEach(function (each) { total += each.weight; sum += each.weight * each.value; });
    var values = found.map(function (each) { return Math.exp(each.value); });
    return {value: Math.exp(sum / total), low: Math.min.apply(null, values), high: Math.max.apply(null, values), nearest: near[0].row};
  }

  function spoken(seconds) {
    if (seconds < 1) { return "under a second"; }
    if (seconds < 90) { return seconds.toPrecision(2) * 1 + " s"; }
    if (seconds < 5400) { return (seconds / 60).toPrecision(2) * 1 + " min"; }
    return (seconds / 3600).toPrecision(2) * 1 + " h";
  }

  function range(found) {
    return found.high > 1.3 * found.low && found.high >= 1 ? " (" + spoken(found.low) + " to " + spoken(found.high) + ")" : "";
  }

  function update() {
    var n = +document.getElementById("cost-n").value, p = +document.getElementById("cost-p").value;
    var panel = document.getElementById("cost-panel").value === "yes";
    var body = document.querySelector("#cost-table tbody");
    body.textContent = "";
    if (!(n > 0 && p > 0)) { return; }
    ["feols", "deep", "grf", "bcf", "econml"].forEach(function (engine) {
      var rows = window.hteCost.filter(function (r) {
        if (r.engine !== engine || r.panel !== panel) { return false; }
        return engine !== "deep" || panel || (r.n <= KERNEL) === (n <= KERNEL); // two estimators, by size
      });
      var cells, most = Math.max.apply(null, rows.map(function (r) { return r.n; }));
      if (!rows.length) {
        cells = ["not measured", "not measured", ""];
      } else {
        var time = predicted(rows, "seconds", n, p), gb = predicted(rows, "gb", n, p);
        var beyond = n > 3 * most ? "beyond what was measured; roughly " : "";
        cells = [
          beyond + spoken(time.value) + range(time),
          gb ? gb.value.toPrecision(2) * 1 + " GB" : "not measured",
          time.nearest.n.toLocaleString("en") + " rows, " + time.nearest.p + " covariates: " + spoken(time.nearest.seconds)
        ];
      }
      var line = body.insertRow();
      [engine].concat(cells).forEach(function (text) { line.insertCell().textContent = text; });
    });
  }

  function start() {
    if (!document.getElementById("cost-n") || !window.hteCost) { return; }
    ["cost-n", "cost-p", "cost-panel"].forEach(function (id) { document.getElementById(id).addEventListener("input", update); });
    update();
  }
  if (document.readyState === "loading") { document.addEventListener("DOMContentLoaded", start); } else { start(); }
})();
