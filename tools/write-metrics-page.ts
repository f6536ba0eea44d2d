import { writeFileSync } from 'node:fs';
import { metricsPage, metricsPagePath } from './metrics-page.ts';

writeFileSync(metricsPagePath, metricsPage());
