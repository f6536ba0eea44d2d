/** A real Prometheus, with the configuration and the rules that the project ships, hastened. */
import assert from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { ExecutionContext } from 'ava';
import { until } from './run.ts';
import { temporaryFolder } from './temporary.ts';

/** Where a program of the package is: installed, or unpacked by `deploy/setup.sh --tests`; null: nowhere. */
function programPath(name: 'prometheus' | 'promtool'): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '.cache/prometheus/usr/bin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

export const prometheus = programPath('prometheus');
export const promtool = programPath('promtool');

export interface Sample {
  metric: Record<string, string>;
  value: number;
}

/** Every `[from, to]` must be there: a file that changed shall not be tested with what it was before. */
function replaced(text: string, pairs: readonly (readonly [string, string])[]): string {
  for (const [from] of pairs) assert(text.includes(from), `nothing to replace: ${from}`);
  return pairs.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}

export class Prometheus {
  readonly #base: string;

  private constructor(base: string) {
    this.#base = base;
  }

  /**
   * @param coordinators `host:port` of their metrics
   * @param others scraped as well, under the same job
   * @param runs a regular expression that selects runs, as in deploy/prometheus.yml
   */
  static async start(
    t: ExecutionContext,
    {
      coordinators,
      others = [],
      runs = '.*',
    }: { coordinators: readonly string[]; others?: readonly string[]; runs?: string },
  ): Promise<Prometheus> {
    const folder = temporaryFolder(t);
    const rules = join(folder, 'alerts.yml');
    const config = join(folder, 'prometheus.yml');
    const shippedUrl =
      '      - url: http://127.0.0.1:9464/service-discovery\n        refresh_interval: 15s\n';
    const urls = coordinators.map(
      (address) => `      - url: http://${address}/service-discovery\n        refresh_interval: 1s\n`,
    );
    const fixed = `    static_configs:\n      - targets: ${JSON.stringify(others)}\n`;
    const shipped = readFileSync('deploy/prometheus.yml', 'utf8');
    const configuration = replaced(shipped, [
      [shippedUrl, urls.join('')],
      ["regex: '.*'", `regex: '${runs}'`],
      ['scrape_interval: 15s', 'scrape_interval: 1s'],
      ['evaluation_interval: 15s', 'evaluation_interval: 1s'],
      ['../dashboards/alerts.yml', rules],
    ]);
    writeFileSync(config, others.length === 0 ? configuration : configuration + fixed);
    const hastened = replaced(readFileSync('dashboards/alerts.yml', 'utf8'), [
      ['> 900', '> 4'],
      ['+ 600', '+ 2'],
      ['for: 1m', 'for: 0s'],
      ['for: 2m', 'for: 3s'],
    ]);
    writeFileSync(rules, hastened);
    const argv = ['--config.file', config, '--storage.tsdb.path', join(folder, 'data')];
    const child = spawn(resolve(prometheus!), [...argv, '--web.listen-address', '127.0.0.1:0'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.teardown(() => end(child));
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line);
      const address = /msg="Listening on" address=(\S+)/.exec(line)?.[1];
      if (address === undefined) continue;
      child.stderr.resume();
      // It listens before it answers questions.
      const isReady = async () => (await fetch(`http://${address}/-/ready`)).ok;
      await until('Prometheus is ready', isReady);
      return new Prometheus(`http://${address}`);
    }
    throw new Error(`Prometheus ended before it was ready:\n${said.join('\n')}`);
  }

  /** The result of an expression, now. */
  async query(expression: string): Promise<Sample[]> {
    const { data } = await this.#get(`query?query=${encodeURIComponent(expression)}`);
    const { result } = data as { result: { metric: Record<string, string>; value: [number, string] }[] };
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  /** Names of the alerts that fire, each with its run. */
  async firing(): Promise<{ alert: string; run: string }[]> {
    const { data } = await this.#get('alerts');
    const { alerts } = data as { alerts: { state: string; labels: Record<string, string> }[] };
    return alerts
      .filter(({ state }) => state === 'firing')
      .map(({ labels }) => ({ alert: labels.alertname!, run: labels.run! }));
  }

  async #get(path: string): Promise<{ data: unknown }> {
    const response = await fetch(`${this.#base}/api/v1/${path}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    assert.equal(answer.status, 'success', `${path}: ${answer.error}`);
    return answer;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
