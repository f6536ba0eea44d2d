import { writeFileSync } from 'node:fs';
import { cliPage, cliPagePath } from './cli-page.ts';

writeFileSync(cliPagePath, cliPage());
