import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { defineRunMetrics } from '../../coordinator/metrics/run-metrics.ts';
import { Metrics } from '../../shared/process/metrics.ts';
import { coordinatorMetrics, metricsPage, metricsPagePath, workerMetrics } from '../../tools/metrics-page.ts';
import { defineWorkerMetrics } from '../../worker/perform/metrics.ts';
import { dashboards, expressions } from '../helpers/dashboards.ts';
import { possible } from '../helpers/possible.ts';
import { promtool } from '../helpers/prometheus.ts';

const testWithPromtool = possible(promtool !== null, 'promtool is missing') ? test : test.skip;
const all = [coordinatorMetrics, workerMetrics].flatMap(({ own, process }) => [...own, ...process]);
const rules = readFileSync('dashboards/alerts.yml', 'utf8');

test('the page of metrics is the one made from their definitions (npm run docs:metrics)', (t) => {
  t.is(readFileSync(metricsPagePath, 'utf8'), metricsPage());
});

test('a dashboard asks for its data source and its run, and links to the others', (t) => {
  t.deepEqual(
    dashboards.map(([, { uid }]) => uid),
    ['cornet-data', 'cornet-fleet', 'cornet-run'],
  );
  for (const [file, { templating, schemaVersion, tags }] of dashboards) {
    const [datasource, run] = templating.list;
    t.is(datasource?.type, 'datasource', file);
    t.deepEqual([run?.name, run?.definition], ['run', 'label_values(cornet_run_info, run)'], file);
    t.is(schemaVersion, 42, file);
    t.deepEqual(tags, ['cornet'], file);
  }
});

test('panels have names of their own, say what they show, and do not lie on each other', (t) => {
  for (const [file, { panels }] of dashboards) {
    t.is(new Set(panels.map(({ id }) => id)).size, panels.length, file);
    const taken = new Set<string>();
    for (const { type, title, description, gridPos, datasource, targets } of panels) {
      const where = `${file}: ${title}`;
      t.true(gridPos.x + gridPos.w <= 24, where);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          t.false(taken.has(`${x} ${y}`), where);
          taken.add(`${x} ${y}`);
        }
      }
      if (type === 'row') continue;
      t.regex(description ?? '', /^.*\.$/, where);
      t.true(targets!.length > 0, where);
      t.deepEqual(
        [datasource, ...targets!.map((target) => target.datasource)].map((source) => source?.uid),
        // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own placeholder
        [datasource, ...targets!].map(() => '${datasource}'),
        where,
      );
    }
  }
});

test('panels and rules name only metrics that there are', (t) => {
  const names = new Set(
    all.flatMap(({ name, type }) =>
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((part) => name + part) : [name],
    ),
  );
  for (const text of [...expressions.map(({ expr }) => expr), ...(rules.match(/cornet_\w+/g) ?? [])]) {
    for (const name of text.match(/\bcornet_\w+/g) ?? []) t.true(names.has(name), `${name} in ${text}`);
  }
});

test('every metric of our own is shown in some panel, asked for by a variable, or judged by a rule', (t) => {
  const variables = dashboards.flatMap(([, { templating }]) =>
    templating.list.map(({ definition }) => definition),
  );
  const used = [...expressions.map(({ expr }) => expr), ...variables, rules].join('\n');
  const unused = [...coordinatorMetrics.own, ...workerMetrics.own].filter(({ name }) => !used.includes(name));
  t.deepEqual(unused, []);
});

testWithPromtool('alerts fire after their time, and not for a run at work', (t) => {
  t.regex(
    execFileSync(promtool!, ['test', 'rules', 'test/fixtures/alert-cases.yml'], { encoding: 'utf8' }),
    /SUCCESS/,
  );
});

testWithPromtool("our own metrics are named as Prometheus' lint wants it", async (t) => {
  for (const define of [defineRunMetrics, defineWorkerMetrics]) {
    const metrics = new Metrics(() => 0);
    const common = metrics.registry.getMetricsAsArray().map(({ name }) => name);
    define(metrics);
    for (const name of common) metrics.registry.removeSingleMetric(name); // prom-client's own are as they are
    const input = await metrics.registry.metrics();
    t.is(execFileSync(promtool!, ['check', 'metrics'], { input, encoding: 'utf8' }), '');
  }
});

testWithPromtool('Prometheus accepts the configuration and the rules that are shipped', (t) => {
  const said = execFileSync(promtool!, ['check', 'config', 'deploy/prometheus.yml'], { encoding: 'utf8' });
  t.regex(said, /9 rules found/);
});
