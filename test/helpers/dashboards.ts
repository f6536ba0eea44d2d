/** The dashboards as Grafana would load them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { type: string; uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  repeat?: string;
  targets?: { refId: string; expr: string; datasource: { type: string; uid: string } }[];
}

export interface Dashboard {
  uid: string;
  title: string;
  schemaVersion: number;
  tags: string[];
  templating: { list: { name: string; type: string; definition?: string }[] };
  panels: Panel[];
}

export const dashboards: readonly (readonly [file: string, Dashboard])[] = readdirSync('dashboards')
  .filter((file) => file.endsWith('.json'))
  .map((file) => [file, JSON.parse(readFileSync(join('dashboards', file), 'utf8')) as Dashboard]);

/** Every expression of every panel, with where it stands. */
export const expressions: readonly { where: string; expr: string }[] = dashboards.flatMap(
  ([file, { panels }]) =>
    panels.flatMap(({ title, targets }) =>
      (targets ?? []).map(({ refId, expr }) => ({ where: `${file}: ${title}, ${refId}`, expr })),
    ),
);
